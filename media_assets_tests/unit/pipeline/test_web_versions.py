"""Web versions in a run: their rows, and sound files of which none can be made."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.records import Appearance, FileFacts, MediaResult, Metadata, Rendition, WebVideo
from media_assets.pipeline.assets import INGEST_ASSETS, OPTIMIZED, ORIGINAL, THUMBNAILS
from media_assets.pipeline.library import Library
from media_assets.pipeline.workers import Task
from media_assets.storage import catalog
from media_assets_tests.conftest import Drop
from media_assets_tests.pictures import jpeg
from media_assets_tests.unit.pipeline.batches import Ingest, entry_of, rows

CRASH = ContentError(ReasonCode.DECODER_CRASHED, "The decoder crashed on this file (signal 11).", "decode")
LATE = ContentError(ReasonCode.DECODER_TIMEOUT, "Decoding took longer than 7200 s.", "decode")
BAD = ContentError(ReasonCode.CORRUPT, "The JPEG data is damaged.", "decode")


class Pool:
    """A pool whose answers are given: what a decoder process would write, and how it dies."""

    count = 1

    def __init__(self, media_type: Any, *, web: ContentError | None = None, always: ContentError | None = None) -> None:
        self.media_type, self.web, self.always = media_type, web, always
        self.formats = ["webp"]
        self.told: list[float] = []

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, task: Task) -> Future[MediaResult]:
        if self.always is not None or (task.optimized and self.media_type == "image" and self.web is not None):
            return failed(self.always or self.web)
        facts = FileFacts(self.media_type, "x/y", "jpeg", "jpg", 40, 30)
        made = self.write(task, "preview", "jpeg") if task.renditions else ()
        web = self.web_version(task) if task.optimized and self.media_type == "image" else ()
        looks = Appearance((), 0.5, 0.5, None, None, 0.0, 0.5, 0.0, 0.5, 1, 2) if task.appearance else None
        return finished(MediaResult(facts, Metadata(), made, web, appearance=looks))

    def submit_video(self, task: Any, on_progress: Callable[[float], None] | None = None) -> Future[Any]:
        if on_progress is not None:
            on_progress(0.5)
        return failed(self.web) if self.web is not None else finished(WebVideo(self.web_version(task), ("Encoded.",)))

    def web_version(self, task: Any) -> tuple[Rendition, ...]:
        return tuple(one for name in self.formats for one in self.write(task, "optimized", name))

    def write(self, task: Any, kind: str, format_name: str) -> tuple[Rendition, ...]:
        name = f"{kind}.{'jpg' if format_name == 'jpeg' else format_name}"
        (task.scratch / name).write_bytes(b"rendition")
        return (Rendition(kind, name, format_name, 40, 30, 9, ssim=0.99),)


def failed(error: Exception | None) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def finished(result: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(result)
    return future


@pytest.fixture
def use(library: Library, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pool]:
    def install(*arguments: Any, **options: Any) -> Pool:
        pool = Pool(*arguments, **options)
        monkeypatch.setattr(library, "worker_pool", lambda: pool)
        return pool

    return install


def web_rows(library: Library) -> set[tuple[str, str]]:
    library.compact()
    found = catalog.read_current(library.store, "renditions", ["kind", "format", "asset"]).to_pylist()
    return {(row["kind"], row["format"]) for row in found if row["asset"] == OPTIMIZED}


@pytest.mark.parametrize(("media_type", "error"), [("image", CRASH), ("video", CRASH), ("video", LATE)])
def test_a_file_whose_web_version_kills_the_decoder_is_accepted_without_it(
    library: Library, drop: Drop, ingest: Ingest, use: Callable[..., Pool], media_type: str, error: ContentError
) -> None:
    use(media_type, web=error)
    drop({"a.jpg": jpeg(1)})
    outcome = ingest(library)["a.jpg"]
    assert (outcome.state, outcome.assets) == ("materialized", frozenset(INGEST_ASSETS) - {OPTIMIZED})
    assert outcome.given_up == {OPTIMIZED: error}
    assert rows(library, "files")["a.jpg"]["status"] == "accepted"
    assert rows(library, "rejected") == {}
    assert web_rows(library) == set()
    states = library.ledger.done_in_lineage(outcome_root(library), [entry_of(library, "a.jpg").media_id])
    assert OPTIMIZED in states[entry_of(library, "a.jpg").media_id]


def outcome_root(library: Library) -> str:
    """The run that recorded the only file."""
    return str(rows(library, "files")["a.jpg"]["run_id"])


def test_a_file_that_kills_the_decoder_by_itself_is_rejected(
    library: Library, drop: Drop, ingest: Ingest, use: Callable[..., Pool]
) -> None:
    use("image", always=CRASH)
    drop({"a.jpg": jpeg(1)})
    assert ingest(library)["a.jpg"].state == "rejected"
    assert rows(library, "rejected")["a.jpg"]["reason_code"] == "decoder_crashed"


@pytest.mark.parametrize("media_type", ["image", "video"])
def test_a_damaged_file_is_not_decoded_twice(
    library: Library, drop: Drop, ingest: Ingest, use: Callable[..., Pool], media_type: str
) -> None:
    pool = use(media_type, always=BAD)
    asked: list[Task] = []
    answer = pool.submit
    pool.submit = lambda task: (asked.append(task), answer(task))[1]  # type: ignore[method-assign]
    drop({"a.jpg": jpeg(1)})
    assert ingest(library)["a.jpg"].state == "rejected"
    assert len(asked) == 1


@pytest.mark.parametrize("media_type", ["image", "video"])
def test_web_versions_are_rows_of_their_own_asset(
    library: Library, drop: Drop, ingest: Ingest, backfill: Ingest, use: Callable[..., Pool], media_type: str
) -> None:
    pool = use(media_type)
    pool.formats = ["avif", "webp"]
    told: list[tuple[str, float]] = []
    library.on_progress = lambda media_id, share: told.append((media_id, share))
    drop({"a.jpg": jpeg(1)})
    outcome = ingest(library)["a.jpg"]
    assert [one.made.kind for one in outcome.renditions_of(THUMBNAILS)] == ["preview"]
    assert web_rows(library) == {("optimized", "avif"), ("optimized", "webp")}
    assert told == ([(entry_of(library, "a.jpg").media_id, 0.5)] if media_type == "video" else [])
    # Thumbnails alone leave the web versions as they are, and the other way round.
    backfill(library, [THUMBNAILS], "a.jpg")
    assert web_rows(library) == {("optimized", "avif"), ("optimized", "webp")}
    pool.formats = ["webp"]
    assert backfill(library, [OPTIMIZED], "a.jpg")["a.jpg"].assets == {OPTIMIZED}
    assert web_rows(library) == {("optimized", "webp")}
    assert rows(library, "renditions")["a.jpg"]["asset"] in {THUMBNAILS, OPTIMIZED}


@pytest.mark.parametrize("ending", ["nothing is smaller", "the decoder dies"])
def test_a_web_version_that_is_no_longer_made_leaves_no_row(
    library: Library, drop: Drop, ingest: Ingest, backfill: Ingest, use: Callable[..., Pool], ending: str
) -> None:
    pool = use("image")
    drop({"a.jpg": jpeg(1)})
    ingest(library)
    assert web_rows(library) == {("optimized", "webp")}
    pool.formats = []
    pool.web = CRASH if ending == "the decoder dies" else None
    outcome = backfill(library, [OPTIMIZED], "a.jpg")["a.jpg"]
    assert (outcome.state, outcome.assets) == ("materialized", {OPTIMIZED} if pool.web is None else frozenset())
    assert web_rows(library) == set()
    assert set(rows(library, "renditions")) == {"a.jpg"}


def test_the_original_is_stored_also_when_the_web_version_is_given_up(
    library: Library, drop: Drop, ingest: Ingest, use: Callable[..., Pool]
) -> None:
    use("image", web=CRASH)
    content = jpeg(1)
    drop({"a.jpg": content})
    key = ingest(library, [ORIGINAL, OPTIMIZED])["a.jpg"].original_key
    assert key is not None
    assert library.store.get_bytes(key) == content
