"""Folders of hub models without torch: where they lie, and what is wrong with them."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from media_assets.models.errors import ModelCorruptError, ModelError, ModelMissingError
from media_assets.models.hub.clip import scene_labels
from media_assets.models.hub.download import fetch_snapshot
from media_assets.models.hub.offline import (
    LOCK_FILE,
    Lock,
    check_snapshot,
    find_snapshot,
    sha256_of,
    snapshot_folder,
    verified_snapshot,
)
from media_assets.models.registry import ModelPlaces, ModelSpec, choose, model_named, registered

_FILES = {"config.json": b'{"model_type": "clip"}', "vocab.txt": b"a\nb\n", "model.safetensors": bytes(range(200))}


@pytest.fixture
def places(tmp_path: Path) -> ModelPlaces:
    return ModelPlaces(tmp_path / "models", tmp_path / "cache")


@pytest.fixture
def spec() -> ModelSpec:
    return replace(model_named("clip-vit-b32"), files={})


def _fill(spec: ModelSpec, root: Path, *, locked: bool = True) -> Path:
    folder = snapshot_folder(spec, root)
    folder.mkdir(parents=True)
    for name, content in _FILES.items():
        (folder / name).write_bytes(content)
    if locked:
        Lock(str(spec.package), spec.revision, {one.name: sha256_of(one) for one in folder.iterdir()}).write(folder)
    return folder


def test_a_folder_as_it_was_fetched_is_used(spec: ModelSpec, places: ModelPlaces) -> None:
    folder = _fill(spec, places.cache)
    assert folder == places.cache / "hub" / "openai--clip-vit-base-patch32" / spec.revision
    assert verified_snapshot(spec, places) == folder


def test_the_users_folder_comes_before_the_cache(spec: ModelSpec, places: ModelPlaces) -> None:
    assert places.folder is not None
    _fill(spec, places.cache)
    own = _fill(spec, places.folder)
    assert find_snapshot(spec, places) == own
    assert find_snapshot(spec, replace(places, folder=None)) == snapshot_folder(spec, places.cache)


@pytest.mark.parametrize("name", [*_FILES])
def test_a_changed_file_is_not_loaded(spec: ModelSpec, places: ModelPlaces, name: str) -> None:
    folder = _fill(spec, places.cache)
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelCorruptError, match=f"{name}.*media-assets models pull clip-vit-b32"):
        verified_snapshot(spec, places)


@pytest.mark.parametrize("name", ["modeling.py", "pytorch_model.bin", "adapter_config.json", "other.safetensors"])
def test_a_file_that_was_not_fetched_is_refused(spec: ModelSpec, places: ModelPlaces, name: str) -> None:
    (_fill(spec, places.cache) / name).write_bytes(b"{}")
    with pytest.raises(ModelCorruptError, match=name):
        verified_snapshot(spec, places)


def test_a_missing_file_is_named(spec: ModelSpec, places: ModelPlaces) -> None:
    (_fill(spec, places.cache) / "vocab.txt").unlink()
    with pytest.raises(ModelMissingError, match=r"vocab\.txt is missing"):
        verified_snapshot(spec, places)


def test_a_lock_of_another_commit_is_refused(spec: ModelSpec, places: ModelPlaces) -> None:
    folder = _fill(spec, places.cache)
    Lock(str(spec.package), "0" * 40, {}).write(folder)
    with pytest.raises(ModelCorruptError, match="holds openai/clip-vit-base-patch32 at 0000"):
        verified_snapshot(spec, places)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"repository": 1}', b"\xff"])
def test_a_broken_lock_is_a_model_error(spec: ModelSpec, places: ModelPlaces, content: bytes) -> None:
    (_fill(spec, places.cache) / LOCK_FILE).write_bytes(content)
    with pytest.raises(ModelCorruptError, match=LOCK_FILE):
        verified_snapshot(spec, places)


def test_a_folder_filled_by_hand_needs_weights_that_the_registry_knows(spec: ModelSpec, places: ModelPlaces) -> None:
    folder = _fill(spec, places.cache, locked=False)
    with pytest.raises(ModelCorruptError, match=r"nothing says what .*model\.safetensors"):
        check_snapshot(spec, folder)
    known = replace(spec, files={"model.safetensors": sha256_of(folder / "model.safetensors")})
    check_snapshot(known, folder)
    (folder / "modeling_clip.py").write_text("print('never')")
    with pytest.raises(ModelCorruptError, match=r"modeling_clip\.py"):
        check_snapshot(known, folder)


def test_the_registry_has_the_last_word_over_a_lock(spec: ModelSpec, places: ModelPlaces) -> None:
    folder = _fill(spec, places.cache)  # lock and file agree on weights that are not the registered ones
    with pytest.raises(ModelCorruptError, match=r"model\.safetensors"):
        check_snapshot(replace(spec, files={"model.safetensors": "ab" * 32}), folder)


def test_a_missing_model_names_the_command_and_the_folder(spec: ModelSpec, places: ModelPlaces) -> None:
    with pytest.raises(ModelMissingError) as caught:
        verified_snapshot(spec, places)
    assert "media-assets models pull clip-vit-b32" in str(caught.value)
    assert str(snapshot_folder(spec, places.folder or Path())) in str(caught.value)


def test_without_the_extra_fetching_names_it(spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match=r"pip install 'media_assets\[hub\]'"):
        fetch_snapshot(spec, tmp_path)
    assert list(tmp_path.rglob("*")) == []


def test_hub_models_are_pinned_to_commits_and_safe_files() -> None:
    hub = [spec for spec in registered().values() if spec.tier == "hub"]
    assert hub
    for spec in hub:
        assert spec.package is not None
        assert len(spec.revision) == 40
        assert set(spec.revision) <= set("0123456789abcdef")
        assert spec.origin == f"https://huggingface.co/{spec.package}"
        assert spec.accuracy is None or spec.accuracy.startswith("published:")
        assert all(name.endswith(".safetensors") and len(digest) == 64 for name, digest in spec.files.items())


def test_the_tier_of_the_hub_is_chosen_only_when_asked_for(places: ModelPlaces) -> None:
    for task in ("objects", "embeddings", "scenes", "captions", "safety"):
        by_hub, bundled = (choose(task, places, tier=tier, name=None) for tier in ("hub", "bundled"))
        assert by_hub is not None
        assert by_hub.tier == "hub"
        assert bundled is not None
        assert bundled.tier != "hub"
    faces = choose("faces", places, tier="hub", name=None)
    assert faces is not None
    assert faces.tier == "bundled"  # the hub has no better one that may be used freely


def test_scene_labels_are_phrases_that_occur_once() -> None:
    labels = scene_labels()
    assert len(labels) > 200
    assert len(set(labels)) == len(labels)
    assert all(label == label.strip() and "#" not in label for label in labels)
