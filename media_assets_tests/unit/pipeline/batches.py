"""Batches of uploads, worked off without Dagster, and what they leave in the catalog."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from media_assets.pipeline.assets import INGEST_ASSETS
from media_assets.pipeline.batch import Chunk, run_work
from media_assets.pipeline.intake import plan_batches, sweep
from media_assets.pipeline.library import Library
from media_assets.pipeline.outcomes import FileOutcome
from media_assets.pipeline.selection import RunIdentity, select_work
from media_assets.storage import catalog, keys
from media_assets.storage.ledger_schema import Batch, MediaEntry

Ingest: TypeAlias = Callable[..., dict[str, FileOutcome]]


def listed(library: Library) -> list[Batch]:
    """List the inbox and plan its batches."""
    inbox = library.inbox()
    sweep(library.ledger, inbox, page_size=1000, max_pages=None, take_over=True)
    plan_batches(library.ledger, inbox.url, dict, max_files=100, max_bytes=2**30)
    return library.ledger.open_batches(inbox.url, 100)


def start(library: Library, batch: Batch, run_id: str, assets: Sequence[str] = INGEST_ASSETS) -> Iterator[Chunk]:
    """Start the run of a batch."""
    run = RunIdentity(run_id, run_id, batch.batch_id)
    library.ledger.start_batch(batch.batch_id, run_id, "host:1:1.0")
    ids = [entry.media_id for entry in library.ledger.batch_members(batch.batch_id)]
    return run_work(library, select_work(library.ledger, ids, assets, run).items, run)


def rows(library: Library, table: str) -> dict[str, dict[str, Any]]:
    """Current rows of a table by source key; of several renditions the last one."""
    library.compact()
    names = {
        row["media_id"]: row["source_key"]
        for name in ("files", "rejected")
        for row in catalog.read_current(library.store, name).to_pylist()
    }
    return {names[row["media_id"]]: row for row in catalog.read_current(library.store, table).to_pylist()}


def entry_of(library: Library, key: str) -> MediaEntry:
    """What the ledger knows of an upload."""
    return library.ledger.entries([keys.media_id(key)])[keys.media_id(key)]
