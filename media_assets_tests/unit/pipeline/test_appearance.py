"""Looks in a run: their row, and sound files of which none can be measured."""

from concurrent.futures import Future
from typing import Any

import pytest

from media_assets.media.dominant_colors import DominantColor
from media_assets.media.records import Appearance, FileFacts, MediaResult, Metadata
from media_assets.pipeline.assets import APPEARANCE, INGEST_ASSETS, METADATA, ORIGINAL
from media_assets.pipeline.library import Library
from media_assets.pipeline.workers import Task
from media_assets.storage import catalog
from media_assets_tests.conftest import Drop
from media_assets_tests.pictures import jpeg
from media_assets_tests.unit.pipeline.batches import Ingest, rows

LOOKS = Appearance(
    (DominantColor("#204080", 0.75), DominantColor("#ffffff", 0.25)),
    *(0.5, 0.4, None, None, 0.1, 0.2, -0.3, 0.6, 2**64 - 1, 2**63),
)


class Pool:
    """A pool whose answers are given."""

    count = 1

    def __init__(self, looks: Appearance | None) -> None:
        self.looks = looks
        self.asked: list[bool] = []

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, task: Task) -> Future[MediaResult]:
        self.asked.append(task.appearance)
        future: Future[MediaResult] = Future()
        looks = self.looks if task.appearance else None
        future.set_result(MediaResult(FileFacts("image", "x/y", "jpeg", "jpg", 40, 30), Metadata(), appearance=looks))
        return future


@pytest.fixture
def pool(library: Library, monkeypatch: pytest.MonkeyPatch) -> Pool:
    made = Pool(LOOKS)
    monkeypatch.setattr(library, "worker_pool", lambda: made)
    return made


def looks_of(library: Library) -> list[dict[str, Any]]:
    library.compact()
    return catalog.read_current(library.store, "appearance").to_pylist()


def test_looks_are_a_row(library: Library, drop: Drop, ingest: Ingest, pool: Pool) -> None:
    drop({"a.jpg": jpeg(1)})
    assert APPEARANCE in ingest(library)["a.jpg"].assets
    (row,) = looks_of(library)
    assert row["dominant_colors"] == [{"rgb_hex": "#204080", "share": 0.75}, {"rgb_hex": "#ffffff", "share": 0.25}]
    assert (row["phash"], row["dhash"]) == (2**64 - 1, 2**63)
    assert (row["exposure"], row["blur_score"], row["color_temperature"]) == (-0.3, None, None)


def test_looks_are_not_measured_for_other_assets(library: Library, drop: Drop, ingest: Ingest, pool: Pool) -> None:
    drop({"a.jpg": jpeg(1)})
    ingest(library, [ORIGINAL, METADATA])
    assert pool.asked == [False]
    assert looks_of(library) == []


def test_a_file_without_looks_is_accepted(
    library: Library, drop: Drop, ingest: Ingest, backfill: Ingest, pool: Pool
) -> None:
    drop({"a.jpg": jpeg(1)})
    pool.looks = None
    outcome = ingest(library)["a.jpg"]
    assert (outcome.state, outcome.assets) == ("materialized", frozenset(INGEST_ASSETS) - {APPEARANCE})
    assert set(outcome.given_up) == {APPEARANCE}
    assert rows(library, "files")["a.jpg"]["status"] == "accepted"
    assert looks_of(library) == []
    pool.looks = LOOKS
    assert backfill(library, [APPEARANCE], "a.jpg")["a.jpg"].assets == {APPEARANCE}
    assert len(looks_of(library)) == 1
