"""Which work a run has to do for which files, and where it reads them from.

Pure decisions over ledger entries. A run of a batch does the pending uploads of that batch; any other run (backfill,
a partition picked in the UI) redoes what it was asked for, except what an earlier run of its lineage has done.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from media_assets.pipeline.assets import ORIGINAL
from media_assets.storage.ledger import Ledger
from media_assets.storage.ledger_schema import MediaEntry

Source = Literal["inbox", "original"]


@dataclass(frozen=True)
class RunIdentity:
    """Who does the work.

    Attributes:
        run_id: Id of the Dagster run.
        root_run_id: Id of the first run of its lineage; equal to ``run_id`` unless it is a retry.
        batch_id: The batch that the run was started for, if any.
    """

    run_id: str
    root_run_id: str
    batch_id: str | None = None


@dataclass(frozen=True)
class WorkItem:
    """One file and the assets to compute for it."""

    entry: MediaEntry
    assets: frozenset[str]
    source: Source


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
    return Selection(tuple(items), tuple(already_done), tuple(not_ingested), unknown)
