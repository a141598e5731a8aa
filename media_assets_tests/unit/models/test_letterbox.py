"""Pictures in the square input of a network, and the way back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_assets.models.letterbox import letterbox

FILL = 114


@pytest.mark.parametrize(("is_centred", "top"), [(False, 0), (True, 104)])
def test_a_wide_picture_fills_the_width(is_centred: bool, top: int) -> None:
    picture = np.full((400, 800, 3), 200, np.uint8)
    as_is, _ = letterbox(picture, 416, FILL, is_centred=is_centred)
    assert as_is.canvas.shape == (416, 416, 3)
    rows = np.flatnonzero((as_is.canvas == 200).all(axis=(1, 2)))
    assert (rows[0], rows[-1]) == (top, top + 207)
    assert (np.delete(as_is.canvas, rows, axis=0) == FILL).all()


def test_the_mirrored_view_is_the_mirror_image_in_the_same_place() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (320, 160, 3), np.uint8)
    as_is, mirrored = letterbox(picture, 64, 0, is_centred=True)
    assert np.array_equal(mirrored.canvas, as_is.canvas[:, ::-1])
    as_is, mirrored = letterbox(picture, 64, 0, is_centred=False)
    width = 32
    assert np.array_equal(mirrored.canvas[:, :width], as_is.canvas[:, :width][:, ::-1])


@given(
    st.integers(1, 900),
    st.integers(1, 900),
    st.booleans(),
    st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4),
)
def test_boxes_come_back_from_both_views(width: int, height: int, is_centred: bool, parts: list[float]) -> None:
    x_min, x_max = sorted((parts[0] * width, parts[2] * width))
    y_min, y_max = sorted((parts[1] * height, parts[3] * height))
    box = np.array([[x_min, y_min, x_max, y_max]], np.float32)
    for view in letterbox(np.zeros((height, width, 3), np.uint8), 416, FILL, is_centred=is_centred):
        seen = box if not view.is_mirrored else np.array([[width - x_max, y_min, width - x_min, y_max]], np.float32)
        placed = seen * np.float32(view.scale) + np.array([view.left_px, view.top_px] * 2, np.float32)
        assert view.to_picture(placed)[0] == pytest.approx(box[0], abs=0.05)


def test_boxes_end_at_the_edges_of_the_picture() -> None:
    view, _ = letterbox(np.zeros((100, 200, 3), np.uint8), 416, FILL, is_centred=True)
    assert view.to_picture(np.array([[-50, -50, 900, 900]], np.float32))[0].tolist() == [0, 0, 200, 100]


def test_thin_things_of_a_large_picture_are_not_skipped() -> None:
    picture = np.zeros((4160, 4160, 3), np.uint8)
    picture[:, 5::10] = 255  # a tenth of it, between the samples of a linear filter
    view, _ = letterbox(picture, 416, 0, is_centred=False)
    assert view.canvas.mean() == pytest.approx(25.5, abs=1)
