"""Detection: what networks receive, how their output is read, and that scores are probabilities of what is found."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from media_assets.models.candidates import overlaps
from media_assets.models.coco_labels import COCO_LABELS
from media_assets.models.errors import ModelCorruptError, ModelMissingError
from media_assets.models.letterbox import Letterbox, letterbox
from media_assets.models.nanodet import NanodetNetwork, expected_bins
from media_assets.models.object_detection import CalibratedDetector, Calibration, load_yolox
from media_assets.models.records import Picture
from media_assets.models.registry import ModelPlaces, model_named
from media_assets.models.yolox import YoloxNetwork

SHARED = Path(os.environ.get("MEDIA_ASSETS_SHARED", Path(__file__).resolve().parents[4] / "shared"))
AS_IT_IS = Calibration(slope=1, offset=0)
CELLS = 52 * 52 + 26 * 26 + 13 * 13
SECOND_MAP = 52 * 52
CAT = COCO_LABELS.index("cat")

needs_yolox = [
    pytest.mark.corpus,
    pytest.mark.skipif(
        not (SHARED / "models" / "yolox_nano.onnx").is_file(),
        reason="no shared models: set MEDIA_ASSETS_SHARED to their parent folder",
    ),
]


class Session:
    """A network that gives what it is told, and remembers what it was given."""

    def __init__(self, *outputs: NDArray[np.float32]) -> None:
        self.outputs = outputs
        self.given: dict[str, NDArray[np.float32]] = {}

    def run(self, _: object, inputs: dict[str, NDArray[np.float32]]) -> tuple[NDArray[np.float32], ...]:
        self.given = inputs
        return self.outputs

    def get_inputs(self) -> list[Any]:
        return [type("Input", (), {"name": "input_1"})()]


class BrightSquare:
    """A network that proposes the box of what is white on black, as a cat, with a score for each view."""

    def __init__(self, as_is: float, mirrored: float) -> None:
        self.scores = [as_is, mirrored]

    def views(self, picture: Picture) -> tuple[Letterbox, Letterbox]:
        self.left = list(self.scores)
        return letterbox(picture, 416, 0, is_centred=True)

    def propose(self, canvas: Picture) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rows, columns = np.nonzero(canvas[:, :, 0] > 127)
        scores = np.zeros((1, 80), np.float32)
        scores[0, CAT] = self.left.pop(0)
        return np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32), scores


def picture_with_square() -> Picture:
    picture = np.zeros((416, 832, 3), np.uint8)
    picture[100:200, 500:700] = 255
    return picture


def test_both_views_find_the_thing_in_its_place() -> None:
    ((cat,),) = CalibratedDetector(BrightSquare(0.9, 0.7), AS_IT_IS).detect([picture_with_square()], 0.5)
    assert (cat.label, cat.score) == ("cat", pytest.approx(0.8))
    assert cat.box == pytest.approx((500, 100, 700, 200), abs=1.5)


def test_what_one_view_shows_is_half_as_likely() -> None:
    detector = CalibratedDetector(BrightSquare(0.9, 0.0), AS_IT_IS)
    assert detector.detect([picture_with_square()], 0.5) == [[]]
    ((cat,),) = detector.detect([picture_with_square()], 0.4)
    assert cat.score == pytest.approx(0.45)


@pytest.mark.parametrize("scores", [(0.9, 0.7), (0.95, 0.3), (0.99, 0.55), (0.6, 0.6), (0.35, 0.2)])
@pytest.mark.parametrize("calibration", [AS_IT_IS, Calibration(2.5, 0.7), Calibration(0.5, -1)])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.75])
def test_a_threshold_only_leaves_out(scores: tuple[float, float], calibration: Calibration, threshold: float) -> None:
    """Work that is saved because of a threshold changes nothing of what reaches it."""
    detector = CalibratedDetector(BrightSquare(*scores), calibration)
    (everything,) = detector.detect([picture_with_square()], 0.0)
    assert detector.detect([picture_with_square()], threshold) == [[o for o in everything if o.score >= threshold]]


def test_no_pictures_no_answers() -> None:
    assert CalibratedDetector(BrightSquare(1, 1), AS_IT_IS).detect([], 0.5) == []


@given(st.floats(0.3, 4), st.floats(-3, 3), st.floats(0.02, 0.98))
def test_calibration_has_a_way_back(slope: float, offset: float, score: float) -> None:
    calibration = Calibration(slope, offset)
    (probability,) = calibration.probabilities(np.array([score], np.float32))
    if 0.001 < probability < 0.999:
        assert calibration.score_of(float(probability)) == pytest.approx(score, abs=1e-3)


def test_calibration_keeps_the_order_and_the_bounds() -> None:
    probabilities = Calibration(2.4, 0.7).probabilities(np.linspace(0, 1, 50, dtype=np.float32))
    assert (np.diff(probabilities) > 0).all()
    assert 0 <= probabilities[0] < probabilities[-1] <= 1


def test_there_are_80_different_classes() -> None:
    assert len(set(COCO_LABELS)) == len(COCO_LABELS) == 80


def test_yolox_reads_cells_strides_and_logarithms() -> None:
    output = np.zeros((1, CELLS, 85), np.float32)
    cell = SECOND_MAP + 3 * 26 + 5  # row 3, column 5 of the map with stride 16
    output[0, cell, :5] = 0.5, 0.25, np.log(4), np.log(2), 0.8
    output[0, cell, 5 + CAT] = 0.5
    session = Session(output)
    boxes, scores = YoloxNetwork(session).propose(np.zeros((416, 416, 3), np.uint8))
    x, y = (5 + 0.5) * 16, (3 + 0.25) * 16
    assert boxes[cell] == pytest.approx([x - 32, y - 16, x + 32, y + 16])
    assert scores[cell, CAT] == pytest.approx(0.4)
    assert scores.shape == (CELLS, 80)


def test_yolox_receives_bgr_as_it_is() -> None:
    session = Session(np.zeros((1, CELLS, 85), np.float32))
    canvas = np.zeros((416, 416, 3), np.uint8)
    canvas[:, :, 0] = 250  # red
    YoloxNetwork(session).propose(canvas)
    given_ = session.given["images"]
    assert given_.shape == (1, 3, 416, 416)
    assert [channel.max() for channel in given_[0]] == [0, 0, 250]
    assert given_[0, 2].min() == 250


def nanodet_outputs() -> dict[tuple[int, int], NDArray[np.float32]]:
    return {
        (side, values): np.zeros((1, side * side, values), np.float32) for side in (52, 26, 13) for values in (80, 44)
    }


def test_nanodet_reads_distributions_of_distances() -> None:
    outputs = nanodet_outputs()
    cell = 3 * 26 + 5
    outputs[26, 80][0, cell, CAT] = 0.6
    logits = np.full((4, 11), -50, np.float32)
    logits[[0, 1, 2, 3], [1, 2, 3, 4]] = 50  # left, top, right, bottom in strides
    outputs[26, 44][0, cell] = logits.reshape(-1)
    session = Session(*reversed(outputs.values()))  # in any order: told apart by their shapes
    boxes, scores = NanodetNetwork(session).propose(np.zeros((416, 416, 3), np.uint8))
    x, y = 5.5 * 16 - 0.5, 3.5 * 16 - 0.5
    assert boxes[SECOND_MAP + cell] == pytest.approx([x - 16, y - 32, x + 48, y + 64], abs=1e-3)
    assert scores[SECOND_MAP + cell, CAT] == pytest.approx(0.6)


def test_nanodet_receives_normalised_bgr() -> None:
    session = Session(*nanodet_outputs().values())
    canvas = np.full((416, 416, 3), (124, 116, 104), np.uint8)  # about the mean of RGB
    NanodetNetwork(session).propose(canvas)
    assert np.abs(session.given["input_1"]).max() < 0.02
    canvas[:, :, 2] = 255  # blue comes first
    NanodetNetwork(session).propose(canvas)
    assert session.given["input_1"].mean(axis=(0, 2, 3)) == pytest.approx([2.64, 0, 0], abs=0.02)


def test_a_flat_distribution_means_its_middle() -> None:
    assert expected_bins(np.zeros((1, 4, 11), np.float32))[0] == pytest.approx([5, 5, 5, 5])


def test_yolox_without_its_file_says_what_to_do(tmp_path: Path) -> None:
    spec = model_named("yolox-nano")
    with pytest.raises(ModelMissingError, match="media-assets models pull yolox-nano"):
        load_yolox(spec, ModelPlaces(tmp_path, tmp_path))
    (tmp_path / "yolox_nano.onnx").write_bytes(b"cut")
    with pytest.raises(ModelCorruptError, match="media-assets models pull yolox-nano"):
        load_yolox(spec, ModelPlaces(tmp_path, tmp_path))


@pytest.mark.parametrize("name", [pytest.param("yolox-nano", marks=needs_yolox)])
def test_the_real_network_finds_a_person_where_she_is(name: str) -> None:
    skimage = pytest.importorskip("skimage.data")
    picture = skimage.astronaut()
    spec = model_named(name)
    found = load_yolox(spec, ModelPlaces(SHARED / "models", SHARED)).detect([picture], spec.threshold or 0)[0]
    people = [one for one in found if one.label == "person"]
    assert len(people) == 1
    truth = np.array([[0, 0, 460, 512]], np.float32)  # by eye
    assert overlaps(np.array([people[0].box], np.float32), truth)[0, 0] > 0.6
    assert people[0].score > 0.8
