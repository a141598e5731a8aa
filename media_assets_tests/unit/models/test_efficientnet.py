"""Labels and vectors of whole pictures, with the real network on pictures of installed packages."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from media_assets.models.efficientnet import EfficientNet, imagenet_labels, load_efficientnet
from media_assets.models.errors import ModelCorruptError
from media_assets.models.registry import ModelPlaces, model_named

SPEC = model_named("efficientnet-lite0")
PLACES = ModelPlaces(None, Path("unused"))


@pytest.fixture(scope="module")
def network() -> EfficientNet:
    return load_efficientnet(SPEC, PLACES)


@pytest.fixture(scope="module")
def cat() -> NDArray[np.uint8]:
    return np.asarray(pytest.importorskip("skimage.data").chelsea())


@pytest.fixture(scope="module")
def coffee() -> NDArray[np.uint8]:
    return np.asarray(pytest.importorskip("skimage.data").coffee())


def test_there_are_1000_labels_in_the_order_of_wordnet() -> None:
    labels = imagenet_labels()
    assert len(labels) == 1000
    places = {0: "tench", 2: "great white shark", 7: "cock", 281: "tabby", 504: "coffee mug", 999: "toilet tissue"}
    assert {index: labels[index] for index in places} == places
    assert all(label == label.strip() and "_" not in label and "," not in label for label in labels)


def test_known_things_are_named(network: EfficientNet, cat: NDArray[np.uint8], coffee: NDArray[np.uint8]) -> None:
    cats, cups = network.classify([cat, coffee], 5)
    assert {"tabby", "tiger cat", "Egyptian cat"} & {one.label for one in cats[:2]}
    assert cups[0].label in ("espresso", "cup", "coffee mug")
    for labels in (cats, cups):
        scores = [one.score for one in labels]
        assert len(scores) == 5
        assert scores == sorted(scores, reverse=True)
        assert 0 < sum(scores) <= 1


def test_probabilities_of_all_labels_sum_to_one(network: EfficientNet, cat: NDArray[np.uint8]) -> None:
    (labels,) = network.classify([cat], 1000)
    assert sum(one.score for one in labels) == pytest.approx(1, abs=1e-4)


def test_vectors_have_length_one_and_bring_like_to_like(
    network: EfficientNet, cat: NDArray[np.uint8], coffee: NDArray[np.uint8]
) -> None:
    small = cat[::2, ::2]
    vectors = network.embed([cat, small, coffee])
    assert (vectors.shape, vectors.dtype) == ((3, 1280), np.float32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    alike = vectors @ vectors.T
    assert alike[0, 1] > 0.8 > 0.5 > alike[0, 2]


def test_a_batch_says_what_single_pictures_say(
    network: EfficientNet, cat: NDArray[np.uint8], coffee: NDArray[np.uint8]
) -> None:
    pictures = [cat, coffee, np.zeros((1, 1, 3), np.uint8), cat[:, :40].copy(), coffee[:30].copy()]
    together = network.embed(pictures)
    apart = np.concatenate([network.embed([picture]) for picture in pictures])
    assert np.abs(together - apart).max() < 1e-4


def test_labels_and_vectors_of_one_batch_take_one_pass(
    network: EfficientNet, cat: NDArray[np.uint8], coffee: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    session = network._session

    class Counting:
        def run(self, names: Any, inputs: Any) -> Any:
            runs.append(len(inputs["images"]))
            return session.run(names, inputs)

    monkeypatch.setattr(network, "_session", Counting())
    first, second = cat.copy(), coffee.copy()
    network.classify([first, second], 5)
    vectors = network.embed([first, second])
    assert sum(runs) == 2
    other = network.embed([second, first])  # another order is another batch
    assert sum(runs) == 4
    assert np.abs(other - vectors[::-1]).max() < 1e-4


def test_no_pictures_no_answers(network: EfficientNet) -> None:
    assert network.classify([], 5) == []
    assert network.embed([]).shape == (0, 1280)


def test_another_file_in_the_package_is_refused() -> None:
    from dataclasses import replace

    (name,) = SPEC.files
    with pytest.raises(ModelCorruptError, match="efficientnet-lite0"):
        load_efficientnet(replace(SPEC, files={name: "0" * 64}), PLACES)
