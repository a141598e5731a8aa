"""The cache of converted models: whole files only, one writer at a time."""

import threading
import time
from pathlib import Path

import pytest

from media_assets.models.errors import ModelCorruptError, ModelError
from media_assets.models.model_cache import only_one, read_converted, write_converted


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "m.onnx"
    assert read_converted(path, "m") is None
    write_converted(path, b"first")
    write_converted(path, b"second")
    assert read_converted(path, "m") == b"second"
    assert {one.name for one in path.parent.iterdir()} == {"m.onnx", "m.onnx.sha256"}


def test_a_changed_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    write_converted(path, b"content")
    path.write_bytes(b"contenT")
    with pytest.raises(ModelCorruptError, match=r"media-assets models pull m$"):
        read_converted(path, "m")


@pytest.mark.parametrize("lost", ["m.onnx", "m.onnx.sha256"])
def test_half_of_a_pair_counts_as_missing(tmp_path: Path, lost: str) -> None:
    path = tmp_path / "m.onnx"
    write_converted(path, b"content")
    (tmp_path / lost).unlink()
    assert read_converted(path, "m") is None


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    write_converted(path, b"old")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_converted(path, b"new")
    assert read_converted(path, "m") is None  # made anew next time, never mixed
    assert {one.name for one in tmp_path.iterdir()} == {"m.onnx"}


def test_others_wait_for_the_first(tmp_path: Path) -> None:
    path, order = tmp_path / "m.onnx", []

    def prepare() -> None:
        with only_one(path, "m", 5):
            order.append("begins")
            time.sleep(0.05)
            order.append("ends")

    threads = [threading.Thread(target=prepare) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order == ["begins", "ends"] * 3


def test_waiting_has_an_end(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    complaint = r"media-assets models pull m$"
    with only_one(path, "m", 1), pytest.raises(ModelError, match=complaint), only_one(path, "m", 0.1):
        pytest.fail("two at once")
    with only_one(path, "m", 0.1):
        pass
