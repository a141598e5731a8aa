"""Tests of media_assets.media.covers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_assets.media.covers import Area, Style, area_mask, cover_pixels, face_polygon, grown_polygon

_SHAPE = (200, 300)
_SQUARE = ((100.0, 50.0), (180.0, 50.0), (180.0, 130.0), (100.0, 130.0))


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, shape, np.uint8)


def _landmarks(box: tuple[float, float, float, float], degrees: float) -> list[tuple[float, float]]:
    middle_x, middle_y, side = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0]
    upright = [(-0.2, -0.15), (0.2, -0.15), (0.0, 0.05), (-0.15, 0.25), (0.15, 0.25)]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [(middle_x + side * (x * cosine - y * sine), middle_y + side * (x * sine + y * cosine)) for x, y in upright]


@given(degrees=st.floats(-180, 180), side=st.floats(8, 60))
def test_the_cover_of_a_head_holds_the_box_of_its_face_at_any_turn(degrees: float, side: float) -> None:
    box = (150 - side / 2, 100 - side / 2, 150 + side / 2, 100 + side / 2)

    hidden = area_mask(_SHAPE, [face_polygon(box, _landmarks(box, degrees))])

    inside = hidden[round(box[1]) : round(box[3]), round(box[0]) : round(box[2])]
    assert inside.mean() >= 0.95


@pytest.mark.parametrize("degrees", [-90, -30, 0, 20, 45, 90, 180])
def test_covers_turn_as_the_eyes_are(degrees: float) -> None:
    box = (100.0, 60.0, 160.0, 120.0)
    upper_left, upper_right = face_polygon(box, _landmarks(box, degrees))[:2]

    turn = math.degrees(math.atan2(upper_right[1] - upper_left[1], upper_right[0] - upper_left[0]))

    assert (turn - degrees + 180) % 360 - 180 == pytest.approx(0, abs=1)


def test_a_face_without_landmarks_has_an_upright_cover_that_is_higher_than_wide() -> None:
    corners = np.array(face_polygon((100, 60, 160, 120)))

    width, height = corners.max(axis=0) - corners.min(axis=0)

    assert set(corners[:, 0]) == {corners[0, 0], corners[1, 0]}
    assert height > width > 60


@pytest.mark.parametrize("style", ["solid", "pixelate", "blur"])
@pytest.mark.parametrize("shape", [_SHAPE, (*_SHAPE, 3), (*_SHAPE, 4)])
def test_nothing_outside_of_a_cover_changes(style: Style, shape: tuple[int, ...]) -> None:
    before = _noise(*shape)
    after = before.copy()

    cover_pixels(after, [Area(_SQUARE, style)])

    hidden = area_mask(_SHAPE, [_SQUARE])
    assert (after[~hidden] == before[~hidden]).all()
    assert (after[hidden] != before[hidden]).mean() > 0.9 * (3 / 4 if shape[2:] == (4,) else 1)


def test_a_solid_cover_is_one_colour_and_opaque() -> None:
    pixels = _noise(*_SHAPE, 4)

    cover_pixels(pixels, [Area(_SQUARE)])

    (colour,) = np.unique(pixels[area_mask(_SHAPE, [_SQUARE])], axis=0)
    assert colour[3] == 255


def test_a_pixelated_cover_has_no_more_than_six_cells_on_a_side() -> None:
    pixels = _noise(*_SHAPE, 3)

    cover_pixels(pixels, [Area(_SQUARE, "pixelate")])

    row, column = pixels[90, 101:180], pixels[51:130, 140]
    for line in (row, column):
        assert (np.diff(line.astype(int), axis=0) != 0).any(axis=1).sum() <= 5


def test_what_a_solid_cover_hides_does_not_shine_through_a_weaker_one() -> None:
    pixels = np.zeros((*_SHAPE, 3), np.uint8)
    pixels[50:131, 100:181] = 255
    larger = grown_polygon(_SQUARE, 20)

    cover_pixels(pixels, [Area(_SQUARE), Area(larger, "blur")])

    assert len(np.unique(pixels[area_mask(_SHAPE, [_SQUARE])], axis=0)) == 1


@pytest.mark.parametrize(
    "polygon", [((-50.0, -50.0), (-10.0, -50.0), (-10.0, -10.0)), ((400.0, 5.0), (500.0, 5.0), (500.0, 90.0))]
)
def test_covers_outside_of_the_picture_change_nothing(polygon: tuple[tuple[float, float], ...]) -> None:
    before = _noise(*_SHAPE, 3)
    after = before.copy()

    cover_pixels(after, [Area(polygon)])

    assert (after == before).all()


def test_covers_that_reach_out_of_the_picture_cover_its_edge() -> None:
    pixels = _noise(*_SHAPE, 3)

    cover_pixels(pixels, [Area(((-40.0, -40.0), (40.0, -40.0), (40.0, 40.0), (-40.0, 40.0)), "pixelate")])

    assert len(np.unique(pixels[:40, :40].reshape(-1, 3), axis=0)) <= 36
