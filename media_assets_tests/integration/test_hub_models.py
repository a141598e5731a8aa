"""Hub models through the real transformers and torch: tiny ones with random weights.

The answers of our classes are compared with those of transformers' own pipelines.
"""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from media_assets.models.errors import ModelCorruptError, ModelMissingError
from media_assets.models.hub.clip import scene_labels
from media_assets.models.hub.offline import snapshot_folder
from media_assets.models.records import Caption, DetectedObject, Picture
from media_assets.models.registry import ModelPlaces, ModelSpec

torch = pytest.importorskip("torch", reason="torch is not installed (extra hub)")
transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra hub)")

from media_assets_tests.integration import tiny_models  # noqa: E402

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("default"),  # of transformers, about its own future
]


@pytest.fixture
def places(tmp_path: Path) -> ModelPlaces:
    torch.manual_seed(5)
    return ModelPlaces(tmp_path / "models", tmp_path / "cache")


@pytest.fixture
def pictures() -> list[Picture]:
    random = np.random.default_rng(7)
    # Smooth noise: pictures that models see differently, in portrait and landscape.
    return [
        np.asarray(Image.fromarray(random.integers(0, 256, (4, 5, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC))
        for size in ((80, 48), (60, 90), (64, 64))
    ]


def _load(spec: ModelSpec, places: ModelPlaces) -> Any:
    module, _, function = spec.loader.partition(":")
    return getattr(importlib.import_module(module), function)(spec, places)


def _oracle(task: str, spec: ModelSpec, places: ModelPlaces) -> Any:
    assert places.folder is not None
    return transformers.pipeline(task, model=str(snapshot_folder(spec, places.folder)), device="cpu")


@pytest.mark.parametrize("make", [tiny_models.d_fine, tiny_models.rt_detr_v2])
def test_detections_are_those_of_the_library_in_pixels_of_the_picture(
    make: Any, places: ModelPlaces, pictures: list[Picture]
) -> None:
    assert places.folder is not None
    spec = make(places.folder)
    found = _load(spec, places).detect(pictures, 0.0)
    oracle = _oracle("object-detection", spec, places)
    for picture, things in zip(pictures, found, strict=True):
        assert [one.score for one in things] == sorted((one.score for one in things), reverse=True)
        expected = oracle(Image.fromarray(picture), threshold=0.0)
        assert len(things) == len(expected) > 0
        for one in expected:
            box = tuple(one["box"][side] for side in ("xmin", "ymin", "xmax", "ymax"))
            assert any(abs(one["score"] - thing.score) < 1e-4 and _is_near(thing, box) for thing in things)


def _is_near(thing: DetectedObject, box: tuple[int, int, int, int]) -> bool:
    return all(
        abs(ours - theirs) <= 1.001 for ours, theirs in zip(thing.box, box, strict=True)
    )  # theirs are cut to int


def test_detections_have_names_of_coco_and_keep_the_threshold(places: ModelPlaces, pictures: list[Picture]) -> None:
    assert places.folder is not None
    detector = _load(tiny_models.rt_detr_v2(places.folder), places)
    everything = [one for things in detector.detect(pictures, 0.0) for one in things]
    middle = sorted(one.score for one in everything)[len(everything) // 2]
    kept = [one for things in detector.detect(pictures, middle) for one in things]
    assert len(kept) == sum(one.score >= middle for one in everything) < len(everything)
    assert {one.label for one in everything} <= {"person", "bicycle", "car", "motorcycle", "airplane"}
    for things, picture in zip(detector.detect(pictures, 0.0), pictures, strict=True):
        height, width = picture.shape[:2]
        for one in things:
            assert 0 <= one.box[0] < one.box[2] <= width
            assert 0 <= one.box[1] < one.box[3] <= height
    assert detector.detect([], 0.5) == []


@pytest.mark.parametrize("make", [tiny_models.clip, tiny_models.siglip])
def test_vectors_are_normalised_and_do_not_depend_on_the_batch(
    make: Any, places: ModelPlaces, pictures: list[Picture]
) -> None:
    assert places.folder is not None
    model = _load(make(places.folder), places)
    vectors = model.embed(pictures)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = np.concatenate([model.embed([picture]) for picture in pictures])
    assert np.allclose(vectors, alone, atol=1e-5)
    texts = model.embed_texts(["a dog", "A photo of the sea", "x" * 500])
    assert texts.shape == (3, vectors.shape[1])
    assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    assert model.embed([]).shape == model.embed_texts([]).shape == (0, vectors.shape[1])


def test_one_pass_serves_vectors_and_labels(places: ModelPlaces, pictures: list[Picture]) -> None:
    assert places.folder is not None
    model = _load(tiny_models.clip(places.folder), places)
    passes = []
    inner = model._loaded.model.get_image_features
    model._loaded.model.get_image_features = lambda **inputs: passes.append(1) or inner(**inputs)
    vectors = model.embed(pictures)
    model.classify(pictures, 3)
    assert len(passes) == 1
    others = [picture[::-1].copy() for picture in pictures]
    assert not np.allclose(model.embed(others), vectors)
    assert len(passes) == 2


def test_labels_are_those_of_the_library(places: ModelPlaces, pictures: list[Picture]) -> None:
    assert places.folder is not None
    spec = tiny_models.clip(places.folder)
    found = _load(spec, places).classify(pictures, 4)
    oracle = _oracle("zero-shot-image-classification", spec, places)
    for picture, labels in zip(pictures, found, strict=True):
        expected = oracle(
            Image.fromarray(picture), candidate_labels=list(scene_labels()), hypothesis_template="a photo of {}"
        )
        assert [label.score for label in labels] == pytest.approx([one["score"] for one in expected[:4]], abs=1e-5)
        assert labels[0].label == re.sub(r"^(a|an|the) ", "", expected[0]["label"])


def test_vectors_of_labels_are_kept_and_made_anew_when_damaged(places: ModelPlaces, pictures: list[Picture]) -> None:
    assert places.folder is not None
    spec = tiny_models.clip(places.folder)
    labels = _load(spec, places).classify(pictures, 3)
    (kept,) = places.cache.rglob("labels-*.npy")
    second = _load(spec, places)
    texts: list[int] = []
    inner = second.embed_texts
    second.embed_texts = lambda words: texts.append(len(words)) or inner(words)
    assert second.classify(pictures, 3) == labels
    assert len(scene_labels()) not in texts
    kept.write_bytes(b"damaged")
    third = _load(spec, places)
    assert third.classify(pictures, 3) == labels
    assert kept.read_bytes() != b"damaged"


def test_siglip_sees_texts_in_lower_case_and_padded(places: ModelPlaces) -> None:
    assert places.folder is not None
    spec = tiny_models.siglip(places.folder)
    model = _load(spec, places)
    upper, lower, other = model.embed_texts(["A Dog", "a dog", "a cat"])
    assert np.allclose(upper, lower)
    assert not np.allclose(lower, other)
    inputs = model._loaded.processor(text=["a dog"], padding="max_length", max_length=64, return_tensors="pt")
    with torch.inference_mode():
        features = model._loaded.model.get_text_features(input_ids=inputs["input_ids"])
    expected = getattr(features, "pooler_output", features)[0].numpy()
    assert np.allclose(lower, expected / np.linalg.norm(expected), atol=1e-5)


@pytest.mark.parametrize("make", [tiny_models.blip, tiny_models.florence2])
def test_captions_are_text_of_the_named_model(make: Any, places: ModelPlaces, pictures: list[Picture]) -> None:
    assert places.folder is not None
    spec = make(places.folder)
    captioner = _load(spec, places)
    captions = captioner.caption(pictures)
    assert len(captions) == len(pictures)
    for one in captions:
        assert one is None or (one.source == spec.name and one.text == one.text.strip() != "")
        assert one is None or not re.search(r"[<\[]|a picture of", one.text)
    assert [captioner.caption([picture])[0] for picture in pictures] == captions
    assert captioner.caption([]) == []


def test_the_prompt_is_no_part_of_a_caption(places: ModelPlaces) -> None:
    assert places.folder is not None
    captioner = _load(tiny_models.blip(places.folder), places)
    assert captioner._caption(" a picture  of a dog ") == Caption("a dog", "blip-large")
    assert captioner._caption("a picture of") is None


def test_ratings_are_those_of_the_library(places: ModelPlaces, pictures: list[Picture]) -> None:
    assert places.folder is not None
    spec = tiny_models.vit_rater(places.folder)
    found = _load(spec, places).rate(pictures)
    oracle = _oracle("image-classification", spec, places)
    for picture, scores in zip(pictures, found, strict=True):
        expected = {one["label"]: one["score"] for one in oracle(Image.fromarray(picture))}
        assert [(one.category, one.score) for one in scores] == [("nsfw", pytest.approx(expected["nsfw"], abs=1e-5))]


def test_no_code_of_a_repository_runs(places: ModelPlaces) -> None:
    assert places.folder is not None
    spec = tiny_models.clip(places.folder, locked=False)
    folder = snapshot_folder(spec, places.folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "unheard_of", "auto_map": {"AutoModel": "evil.Evil", "AutoConfig": "evil.EvilConfig"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(places.folder / 'ran')!r}, 'w')\n")
    tiny_models.lock(spec, folder)  # even when everything was fetched and locked so
    with pytest.raises(ValueError, match="trust_remote_code"):
        _load(spec, places)
    assert not (places.folder / "ran").exists()


def test_pickled_weights_are_never_loaded(places: ModelPlaces) -> None:
    assert places.folder is not None
    spec = tiny_models.clip(places.folder, locked=False)
    folder = snapshot_folder(spec, places.folder)
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    tiny_models.lock(spec, folder)
    with pytest.raises(ModelMissingError, match="no weights"):
        _load(spec, places)


def test_altered_weights_are_not_loaded(places: ModelPlaces) -> None:
    assert places.folder is not None
    spec = tiny_models.clip(places.folder)
    weights = snapshot_folder(spec, places.folder) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelCorruptError, match="media-assets models pull clip-vit-b32"):
        _load(spec, places)
