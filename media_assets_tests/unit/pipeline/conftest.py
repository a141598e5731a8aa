"""Uploads are processed and assets made again by one call."""

from collections.abc import Callable, Sequence
from itertools import count

import pytest

from media_assets.pipeline.assets import INGEST_ASSETS
from media_assets.pipeline.batch import run_work
from media_assets.pipeline.library import Library
from media_assets.pipeline.outcomes import FileOutcome
from media_assets.pipeline.selection import RunIdentity, select_work
from media_assets.storage import keys
from media_assets_tests.unit.pipeline.batches import Ingest, listed, start


@pytest.fixture
def run_id() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"run-{next(numbers)}"


@pytest.fixture
def ingest(run_id: Callable[[], str]) -> Ingest:
    """Process everything that waits, one run per batch; return the outcomes by source key."""

    def work(library: Library, assets: Sequence[str] = INGEST_ASSETS) -> dict[str, FileOutcome]:
        outcomes: dict[str, FileOutcome] = {}
        for batch in listed(library):
            for chunk in start(library, batch, run_id(), assets):
                outcomes |= {one.entry.source_key: one for one in chunk.outcomes}
            library.ledger.finish_batch(batch.batch_id)
        return outcomes

    return work


@pytest.fixture
def backfill(run_id: Callable[[], str]) -> Ingest:
    """Materialize assets again; arguments are the library, assets and source keys."""

    def work(library: Library, assets: Sequence[str], *source_keys: str) -> dict[str, FileOutcome]:
        name = run_id()
        run = RunIdentity(name, name)
        items = select_work(library.ledger, [keys.media_id(key) for key in source_keys], assets, run).items
        return {one.entry.source_key: one for chunk in run_work(library, items, run) for one in chunk.outcomes}

    return work
