"""Which work a run has to do for which files, and where it reads them from.

Pure decisions over ledger entries. A run of a batch does the pending uploads of that batch, or computes the metadata of
its files again because of their sidecars. Any other run (backfill, a partition picked in the UI) redoes what it was
asked for, except what an earlier run of its lineage has done.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from media_assets.pipeline.assets import METADATA, ORIGINAL
from media_assets.pipeline.recipe import DEFAULT_RECIPE, Recipe
from media_assets.storage.ledger import Ledger
from media_assets.storage.ledger_schema import REFRESH_PREFIX, MediaEntry

Source = Literal["inbox", "original"]


@dataclass(frozen=True)
class RunIdentity:
    """Who does the work.

    Attributes:
        run_id: Id of the Dagster run.
        root_run_id: Id of the first run of its lineage; equal to ``run_id`` unless it is a retry.
        batch_id: The batch that the run was started for, if any.
        recipe: How its results are made.
    """

    run_id: str
    root_run_id: str
    batch_id: str | None = None
    recipe: Recipe = DEFAULT_RECIPE


@dataclass(frozen=True)
class WorkItem:
    """One file and the assets to compute for it.

    Attributes:
        entry: The file.
        assets: What to compute.
        source: Where to read the file from.
        sidecars: Its sidecars, the most trusted first; empty unless ``metadata`` is computed.
    """

    entry: MediaEntry
    assets: frozenset[str]
    source: Source
    sidecars: tuple[MediaEntry, ...] = ()


@dataclass(frozen=True)
class Selection:
    """The work of a run.

    Attributes:
        items: What to do, in order.
        already_done: Files that this lineage or another run has finished.
        not_ingested: Files that have no stored original yet and whose ``original`` this run was not asked for.
        unknown: Partition keys that the ledger does not know.
    """

    items: tuple[WorkItem, ...]
    already_done: tuple[str, ...]
    not_ingested: tuple[str, ...]
    unknown: tuple[str, ...]


def _source(entry: MediaEntry) -> Source:
    """New and rejected uploads are read from the inbox, everything else from the stored original."""
    if entry.state == "pending" or entry.original_key is None:
        return "inbox"
    return "original"


def select_work(ledger: Ledger, media_ids: Sequence[str], assets: Iterable[str], run: RunIdentity) -> Selection:
    """Decide what a run over ``media_ids`` has to do for ``assets``."""
    wanted = frozenset(assets)
    if run.batch_id is not None and run.batch_id.startswith(REFRESH_PREFIX):
        return _select_refreshes(ledger, media_ids, wanted, run.batch_id)
    entries = ledger.entries(media_ids)
    done = {} if run.batch_id else ledger.done_in_lineage(run.root_run_id, media_ids)
    items: list[WorkItem] = []
    already_done: list[str] = []
    not_ingested: list[str] = []
    for media_id in media_ids:
        entry = entries.get(media_id)
        if entry is None:
            continue
        if run.batch_id is not None:
            if entry.batch_id == run.batch_id and entry.state == "pending":
                items.append(WorkItem(entry, wanted, "inbox"))
            elif entry.batch_id == run.batch_id:
                already_done.append(media_id)
            continue
        left = wanted - done.get(media_id, set())
        source = _source(entry)
        if not left:
            already_done.append(media_id)
        elif source == "inbox" and ORIGINAL not in wanted:
            not_ingested.append(media_id)
        else:
            items.append(WorkItem(entry, left, source))
    unknown = tuple(media_id for media_id in media_ids if media_id not in entries)
    return Selection(_with_sidecars(ledger, items), tuple(already_done), tuple(not_ingested), unknown)


def _select_refreshes(ledger: Ledger, media_ids: Sequence[str], wanted: frozenset[str], batch_id: str) -> Selection:
    """The files of the batch whose sidecars changed: only ``metadata``, from the stored originals."""
    waiting = {entry.media_id: entry for entry in ledger.batch_members(batch_id)}
    items = [
        WorkItem(waiting[media_id], wanted & {METADATA}, "original") for media_id in media_ids if media_id in waiting
    ]
    done = tuple(media_id for media_id in media_ids if media_id not in waiting)
    return Selection(_with_sidecars(ledger, [item for item in items if item.assets]), done, (), ())


def _with_sidecars(ledger: Ledger, items: Sequence[WorkItem]) -> tuple[WorkItem, ...]:
    """Look the sidecars of all files up at once."""
    sidecars = ledger.sidecars_of([item.entry for item in items if METADATA in item.assets])
    return tuple(
        replace(item, sidecars=tuple(sidecars[item.entry.media_id])) if item.entry.media_id in sidecars else item
        for item in items
    )
