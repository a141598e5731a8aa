"""Fetching of hub models with the hub's own client, from a small hub on this machine."""

import errno
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media_assets.models.errors import ModelCorruptError, ModelError, ModelMissingError
from media_assets.models.hub import download
from media_assets.models.hub.clip import load_clip
from media_assets.models.hub.download import fetch_snapshot
from media_assets.models.hub.offline import check_snapshot, snapshot_folder
from media_assets.models.registry import ModelPlaces, ModelSpec, model_named

torch = pytest.importorskip("torch", reason="torch is not installed (extra hub)")
pytest.importorskip("transformers", reason="transformers is not installed (extra hub)")

from media_assets_tests.integration import tiny_models  # noqa: E402

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("default"),  # of transformers, about its own future
]


@dataclass
class _Hub:
    url: str
    files: dict[str, bytes]
    asked: list[str] = field(default_factory=list)
    cut_at: int | None = None
    wrong_sha256: bool = False
    commit: str | None = None


class _HubHandler(http.server.BaseHTTPRequestHandler):
    """As much of the hub's interface as the client uses for one model."""

    hub: _Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        assert self.headers.get("Authorization") is None
        found = re.fullmatch(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<commit>[0-9a-f]{40})/(?P<name>.+)", self.path)
        if self.path.startswith("/api/models/"):
            commit = self.path.partition("/revision/")[2].partition("?")[0]
            self._send(200, json.dumps(self._described(commit)).encode(), {}, with_body)
        elif found and found["name"] in self.hub.files:
            content = self.hub.files[found["name"]]
            etag = hashlib.sha256(content).hexdigest()
            start = int(re.sub(r"\D", "", self.headers.get("Range") or "0"))
            self._send(
                206 if start else 200,
                content[start:],
                {"ETag": f'"{etag}"', "X-Repo-Commit": found["commit"]},
                with_body,
            )
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"}, with_body)

    def _described(self, commit: str) -> dict[str, object]:
        siblings = []
        for name, content in self.hub.files.items():
            one: dict[str, object] = {"rfilename": name, "size": len(content)}
            if name.endswith(".safetensors"):
                digest = "0" * 64 if self.hub.wrong_sha256 else hashlib.sha256(content).hexdigest()
                one["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
            siblings.append(one)
        return {"id": "x/y", "sha": self.hub.commit or commit, "siblings": siblings}

    def _send(self, status: int, body: bytes, headers: dict[str, str], with_body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body[: self.hub.cut_at] if self.path.endswith(".safetensors") else body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[_Hub]:
    """A hub that offers the tiny CLIP, among files that nobody should fetch."""
    torch.manual_seed(5)
    spec = tiny_models.clip(tmp_path / "origin", locked=False)
    folder = snapshot_folder(spec, tmp_path / "origin")
    files = {one.name: one.read_bytes() for one in folder.iterdir()}
    files |= {"modeling_evil.py": b"x", "pytorch_model.bin": b"x", "onnx/model.json": b"{}", "README.md": b"x"}
    handler = type("Handler", (_HubHandler,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        handler.hub = _Hub(f"http://127.0.0.1:{running.server_port}", files)  # type: ignore[attr-defined]
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield handler.hub  # type: ignore[attr-defined]
        running.shutdown()


@pytest.fixture
def spec(hub: _Hub) -> ModelSpec:
    digest = hashlib.sha256(hub.files["model.safetensors"]).hexdigest()
    return replace(model_named("clip-vit-b32"), files={"model.safetensors": digest})


def test_a_fetched_model_is_complete_locked_and_runs(hub: _Hub, spec: ModelSpec, tmp_path: Path) -> None:
    told: dict[str, tuple[int, int]] = {}

    def on_progress(name: str, done: int, total: int) -> None:
        told[name] = done, total

    folder = fetch_snapshot(spec, tmp_path / "cache", on_progress, endpoint=hub.url)
    check_snapshot(spec, folder)
    names = {one.name for one in folder.iterdir()}
    assert {"config.json", "model.safetensors", "media_assets.lock.json"} <= names
    assert not names & {"modeling_evil.py", "pytorch_model.bin", "onnx", "README.md", ".cache"}
    assert [one.name for one in folder.parent.iterdir()] == [spec.revision]
    size = len(hub.files["model.safetensors"])
    assert told["model.safetensors"] == (size, size)
    places = ModelPlaces(None, tmp_path / "cache")
    assert load_clip(spec, places).embed([np.zeros((40, 60, 3), np.uint8)]).shape == (1, 12)
    assert not any("pytorch_model.bin" in one or "evil" in one for one in hub.asked)


def test_a_missing_model_is_fetched_on_first_use_only_when_allowed(
    hub: _Hub, spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = download.fetch_snapshot
    monkeypatch.setattr(download, "fetch_snapshot", lambda spec, root: inner(spec, root, endpoint=hub.url))
    places = ModelPlaces(None, tmp_path / "cache")
    with pytest.raises(ModelMissingError, match="media-assets models pull clip-vit-b32"):
        load_clip(spec, places)
    assert hub.asked == []
    load_clip(spec, replace(places, may_fetch=True))
    count = len(hub.asked)
    load_clip(spec, places)
    assert len(hub.asked) == count > 0


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"wrong_sha256": True}, "SHA-256 differs"),
        ({"commit": "f" * 40}, "instead of"),
        ({"cut_at": 100}, "cannot be fetched from the hub"),
    ],
)
def test_what_a_bad_hub_sends_never_appears(
    hub: _Hub, spec: ModelSpec, tmp_path: Path, fault: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client waits between its attempts
    for name, value in fault.items():
        setattr(hub, name, value)
    with pytest.raises(ModelError, match=words):
        fetch_snapshot(spec, tmp_path / "cache", endpoint=hub.url)
    assert not snapshot_folder(spec, tmp_path / "cache").exists()


def test_weights_that_the_registry_does_not_know_are_refused(hub: _Hub, spec: ModelSpec, tmp_path: Path) -> None:
    with pytest.raises(ModelCorruptError, match=r"model\.safetensors arrived damaged or is not the expected file"):
        fetch_snapshot(replace(spec, files={"model.safetensors": "ab" * 32}), tmp_path / "cache", endpoint=hub.url)
    assert list((tmp_path / "cache").rglob("*.safetensors")) == []


def test_a_repository_with_pickled_weights_only_is_refused(hub: _Hub, spec: ModelSpec, tmp_path: Path) -> None:
    del hub.files["model.safetensors"]
    with pytest.raises(ModelMissingError, match="no safetensors"):
        fetch_snapshot(replace(spec, files={}), tmp_path / "cache", endpoint=hub.url)


def test_an_unreachable_hub_names_the_command_and_the_folder(spec: ModelSpec, tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError) as caught:
        fetch_snapshot(spec, tmp_path / "cache", endpoint="http://127.0.0.1:9")
    assert "media-assets models pull clip-vit-b32" in str(caught.value)
    assert str(snapshot_folder(spec, tmp_path / "cache")) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_says_so_too(tmp_path: Path) -> None:
    own = {"HF_ENDPOINT": "http://127.0.0.1:9", "MEDIA_ASSETS_MODELS": str(tmp_path / "models")}
    command = [sys.executable, "-m", "media_assets.cli", "models", "pull", "dfine-nano"]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=tmp_path, env={**os.environ, **own}, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1].startswith("failed: Model dfine-nano cannot be fetched from the hub")
    assert "Traceback" not in ended.stderr


def test_an_offline_switch_is_honoured(
    hub: _Hub, spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelMissingError, match="HF_HUB_OFFLINE forbids"):
        fetch_snapshot(spec, tmp_path / "cache", endpoint=hub.url)
    assert hub.asked == []


def test_a_full_disk_is_told_and_leaves_nothing(
    hub: _Hub, spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(ModelError, match=r"No space left on device.*Make room"):
        fetch_snapshot(spec, tmp_path / "cache", endpoint=hub.url)
    assert [one for one in (tmp_path / "cache").rglob("*") if one.is_file()] == []
