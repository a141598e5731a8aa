"""Which work a run of op ``analyze`` has to do for which files. Pure decisions over ledger entries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from media_assets.pipeline.analysis_outcomes import AnalysisItem
from media_assets.pipeline.selection import RunIdentity
from media_assets.storage.ledger import Ledger
from media_assets.storage.ledger_schema import Outcome, Preview


@dataclass(frozen=True)
class AnalysisSelection:
    """The work of a run.

    Attributes:
        items: What to do, in order.
        already_done: Files of which nothing is left to do.
        without_preview: Files that have no preview: ``thumbnails`` has to be materialized first.
        unknown: Partition keys that the ledger does not know.
    """

    items: tuple[AnalysisItem, ...]
    already_done: tuple[str, ...]
    without_preview: tuple[str, ...]
    unknown: tuple[str, ...]


def select_analysis(
    ledger: Ledger, media_ids: Sequence[str], assets: Iterable[str], run: RunIdentity, *, only_missing: bool
) -> AnalysisSelection:
    """Decide what a run over ``media_ids`` has to do for ``assets``.

    Args:
        ledger: What is known.
        media_ids: The partitions of the run.
        assets: What was asked for.
        run: Who asks. What an earlier run of its lineage has done is not done again.
        only_missing: Leave out what is there for the present version of the file, whoever made it.
    """
    wanted = sorted(assets)
    entries, previews = ledger.entries(media_ids), ledger.previews(media_ids)
    results = ledger.results_of(media_ids, wanted)
    items, already_done, without_preview = [], [], []
    for media_id in media_ids:
        entry, preview, known = entries.get(media_id), previews.get(media_id), results.get(media_id, {})
        if entry is None:
            continue
        if preview is None or preview.input_version != entry.sha256:
            without_preview.append(media_id)
            continue
        left = frozenset(asset for asset in wanted if not _is_done(known.get(asset), preview, run, only_missing))
        if left:
            items.append(AnalysisItem(entry, preview, left, frozenset(known)))
        else:
            already_done.append(media_id)
    unknown = tuple(media_id for media_id in media_ids if media_id not in entries)
    return AnalysisSelection(tuple(items), tuple(already_done), tuple(without_preview), unknown)


def _is_done(result: Outcome | None, preview: Preview, run: RunIdentity, only_missing: bool) -> bool:
    if result is None or result.state == "failed" or result.input_version != preview.input_version:
        return False
    return only_missing or result.root_run_id == run.root_run_id
