"""When a month may be archived: it ended long ago, and nothing of it waits, has failed, or is not in the catalog.

Archiving takes the partition keys of its files out of the orchestrator. Their rows, originals and renditions stay, and
so does what the ledger knows of them. Decisions and marks are here, keys and events in ``defs.archiving``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from media_assets.pipeline.analysis_recipe import vision_recipe_of
from media_assets.pipeline.assets import ANALYZE_ASSETS
from media_assets.pipeline.library import Library
from media_assets.storage import catalog

_MONTHS_OF_A_YEAR = 12


@dataclass(frozen=True)
class MonthState:
    """A month, and what keeps it from being archived.

    Attributes:
        month: ``yyyy-mm``, in which its files were first seen (UTC).
        files: Files with a stored original.
        archived: Those of them that are archived.
        hindrances: Number of files, parts or months by reason; empty: it can be archived.
    """

    month: str
    files: int
    archived: int
    hindrances: Mapping[str, int] = field(default_factory=dict)

    @property
    def can_be_archived(self) -> bool:
        """Whether nothing hinders, and there is something to archive."""
        return not self.hindrances and self.archived < self.files


def months_since(month: str, now: datetime) -> int:
    """Return how many whole months lie between a month, ``yyyy-mm``, and now; -1 for the present month."""
    year, number = map(int, month.split("-"))
    now = now.astimezone(UTC)
    return (now.year - year) * _MONTHS_OF_A_YEAR + now.month - number - 1


def month_states(library: Library, now: datetime) -> list[MonthState]:
    """Return every month that has files, the oldest first.

    Raises:
        StorageError: Ledger or tables cannot be read.
        ModelError: The settings name a model that does not exist.
    """
    counts = library.ledger.month_counts()
    not_in_catalog = catalog.pending_by_month(library.store)
    analyses: list[str] = []
    if library.settings.analyze:
        vision = vision_recipe_of(library.settings)
        analyses = [asset for asset in ANALYZE_ASSETS if vision.is_on(asset)]
    states = []
    for month, counted in counts.items():
        hindrances = library.ledger.archive_hindrances(month)
        # An archived file is never analysed, so what is not analysed yet must not be archived.
        if unanalyzed := len(library.ledger.unanalyzed(analyses, month=month)):
            hindrances["unanalyzed"] = unanalyzed
        if month in not_in_catalog:
            hindrances["not_in_catalog"] = not_in_catalog[month]
        if months_since(month, now) < library.settings.archive_after_months:
            hindrances["too_young"] = library.settings.archive_after_months
        states.append(MonthState(month, counted.files, counted.archived, hindrances))
    return states


def hindrances_text(hindrances: Mapping[str, int]) -> str:
    """Say for people what keeps a month from being archived."""
    said = {
        "waiting": "{} files wait to be processed",
        "in_batches": "{} files belong to a batch that is not closed",
        "sidecars": "{} files have new sidecars",
        "failed": "{} files have results that failed",
        "unanalyzed": "{} files are not analysed yet",
        "not_in_catalog": "{} parts are not in the catalog yet",
        "too_young": "it ended less than {} months ago",
    }
    return "; ".join(said[name].format(count) for name, count in hindrances.items())
