"""What became of each file in a run of op ``analyze``: the records that pass from the pipeline to Dagster and commands.

Plain data. How they become rows is in ``analysis_rows.py``.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from media_assets.models.findings import PictureFindings
from media_assets.storage.ledger_schema import MediaEntry, Preview


@dataclass(frozen=True)
class AnalysisItem:
    """One file and what to compute for it.

    Attributes:
        entry: The file.
        preview: What is read.
        assets: What to compute.
        computed_before: Assets that were computed before, so that rows may have to be removed.
    """

    entry: MediaEntry
    preview: Preview
    assets: frozenset[str]
    computed_before: frozenset[str] = frozenset()


@dataclass(frozen=True)
class FoundInFile:
    """What one asset found in one file.

    Attributes:
        findings: For each picture or frame.
        sizes: Width and height in pixels of what was looked at, for each.
        frames: Time of each in seconds, ``None`` for a picture.
        drawn: The findings on the preview, base64 of a WebP picture, if there is something to draw.
    """

    findings: tuple[PictureFindings, ...]
    sizes: tuple[tuple[int, int], ...]
    frames: tuple[float | None, ...]
    drawn: str | None = None


@dataclass(frozen=True)
class AnalysisOutcome:
    """The result of one file in one run.

    Attributes:
        item: What was to be done.
        recognizes: Whether recognition of faces was allowed.
        made: What was found, by asset.
        failed: Why an asset could not be computed, by asset; it will be tried again.
        killed: Those of ``failed`` that ended the process of the models, alone with it.
        given_up: Those of ``killed`` that are not tried again before file or model change.
        denied: Assets that were not computed because the owner has not consented.
    """

    item: AnalysisItem
    recognizes: bool
    made: Mapping[str, FoundInFile] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    killed: frozenset[str] = frozenset()
    given_up: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()

    @property
    def media_id(self) -> str:
        """The file."""
        return self.item.entry.media_id


@dataclass(frozen=True)
class AnalysisChunk:
    """Files whose rows are written. Their events come next; then ask for the next chunk."""

    outcomes: tuple[AnalysisOutcome, ...]
    at: datetime


@dataclass
class AnalysisSummary:
    """Counts of a run.

    Attributes:
        files: Number of files.
        made: Number of files by asset.
        failed: Number of files by asset.
        reasons: Why, each once: for how many files, by asset and message.
        denied: Number of files by asset that were left out for lack of consent.
    """

    files: int = 0
    made: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    denied: Counter[str] = field(default_factory=Counter)

    def add(self, outcomes: Iterable[AnalysisOutcome]) -> None:
        """Count ``outcomes``."""
        for outcome in outcomes:
            self.files += 1
            self.made.update(outcome.made.keys())
            self.failed.update(outcome.failed.keys())
            self.denied.update(outcome.denied)
            self.reasons.update((asset, message) for asset, message in outcome.failed.items())

    def failures(self, limit: int = 20) -> list[str]:
        """Return each reason once, with the number of files, the commonest first."""
        return [
            f"{asset}: {message}" + (f" ({count} files)" if count > 1 else "")
            for (asset, message), count in self.reasons.most_common(limit)
        ]
