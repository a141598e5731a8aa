"""Squares: always inside, around faces without cutting them, else around what stands out."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from media_assets.media.crop import Box, SquareCrop, choose_square

Picture = NDArray[np.uint8]
GREY = 118


def grey(width: int, height: int) -> Picture:
    return np.full((height, width, 3), GREY, np.uint8)


def with_spot(width: int, height: int, box: tuple[int, int, int, int], color: Sequence[int]) -> Picture:
    picture = grey(width, height)
    picture[box[1] : box[3], box[0] : box[2]] = color
    return picture


def square(picture: Picture, *faces: Box) -> SquareCrop:
    return choose_square(picture, lambda _: faces)


def begin(crop: SquareCrop) -> int:
    return crop.x_px + crop.y_px


sizes = st.tuples(st.integers(1, 150), st.integers(1, 150))


@st.composite
def pictures_with_faces(draw: st.DrawFn) -> tuple[int, int, list[Box]]:
    """Width, height and boxes that lie inside, in whole pixels."""
    width, height = draw(sizes)
    faces = []
    for _ in range(draw(st.integers(1, 4))):
        x = draw(st.integers(0, width - 1))
        y = draw(st.integers(0, height - 1))
        right, bottom = draw(st.integers(x + 1, width)), draw(st.integers(y + 1, height))
        faces.append((float(x), float(y), float(right), float(bottom)))
    return width, height, faces


def spans(width: int, height: int, faces: Sequence[Box]) -> list[tuple[float, float, float]]:
    """Begin, end and area of each face, along the side on which the square slides."""
    first = 1 if height > width else 0
    return [(face[first], face[first + 2], (face[2] - face[0]) * (face[3] - face[1])) for face in faces]


@given(pictures_with_faces())
def test_the_square_has_the_shorter_side_and_lies_inside(known: tuple[int, int, list[Box]]) -> None:
    width, height, faces = known
    crop = square(grey(width, height), *faces)
    assert crop.side_px == min(width, height)
    assert 0 <= crop.x_px <= width - crop.side_px
    assert 0 <= crop.y_px <= height - crop.side_px
    assert crop.reason == ("center" if width == height else "faces")


@given(pictures_with_faces())
def test_no_face_is_cut_when_all_fit(known: tuple[int, int, list[Box]]) -> None:
    width, height, faces = known
    side, found = min(width, height), spans(*known)
    if max(end for _, end, _ in found) - min(start for start, _, _ in found) > side:
        return
    at = begin(square(grey(width, height), *faces))
    assert all(at <= start and end <= at + side for start, end, _ in found)


@given(pictures_with_faces())
def test_no_place_shows_more_of_whole_faces_for_less_of_cut_ones(known: tuple[int, int, list[Box]]) -> None:
    width, height, faces = known
    side, found = min(width, height), [span for span in spans(*known) if span[1] - span[0] <= min(width, height)]

    def gain(at: int) -> float:
        whole = sum(area for start, end, area in found if at <= start and end <= at + side)
        outside = sum(area for start, end, area in found if end <= at or start >= at + side)
        return whole - (sum(area for _, _, area in found) - whole - outside)

    if len(found) < len(faces):
        return  # a face that cannot be shown whole has a rule of its own
    best = max(gain(at) for at in range(max(width, height) - side + 1))
    # Surer faces count a little more than their area says.
    assert gain(begin(square(grey(width, height), *faces))) >= best - 0.08 * sum(area for _, _, area in found)


@given(pictures_with_faces())
@example((78, 12, [(0.0, 0.0, 68.0, 1.0), (0.0, 0.0, 1.0, 4.0), (13.0, 0.0, 78.0, 1.0), (0.0, 0.0, 1.0, 1.0)]))
def test_a_mirrored_picture_is_cut_at_the_mirrored_place(known: tuple[int, int, list[Box]]) -> None:
    width, height, faces = known
    mirrored = [(width - right, y, width - x, bottom) for x, y, right, bottom in faces]
    crop, other = square(grey(width, height), *faces), square(grey(width, height), *mirrored)
    assert abs(other.x_px - (width - crop.side_px - crop.x_px)) <= 1
    assert other.y_px == crop.y_px


@given(st.integers(0, 2**32 - 1), st.integers(8, 40), st.integers(1, 4))
@settings(max_examples=50)
def test_what_stands_out_is_found_at_the_mirrored_place(seed: int, side: int, cell_px: int) -> None:
    # 64 cells of whole pixels, as many as are looked at: Pillow's box filter gives a pixel between two cells to the one
    # on its left, so other mirrored pictures are not reduced to the mirrored one.
    cells = np.random.default_rng(seed).integers(0, 256, (side, 64, 3))
    picture = np.kron(cells, np.ones((cell_px, cell_px, 1))).astype(np.uint8)
    crop, other = choose_square(picture, None), choose_square(np.ascontiguousarray(picture[:, ::-1]), None)
    assert abs(other.x_px - (picture.shape[1] - crop.side_px - crop.x_px)) <= 1
    upright = choose_square(np.ascontiguousarray(picture.transpose(1, 0, 2)), None)
    assert abs(upright.y_px - crop.x_px) <= 1  # neither side is preferred


@given(sizes)
def test_an_even_picture_is_cut_in_the_middle(size: tuple[int, int]) -> None:
    width, height = size
    crop = choose_square(grey(width, height), None)
    side = min(size)
    assert crop == SquareCrop((width - side) // 2, (height - side) // 2, side, "center")


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 5), (5, 1), (2, 3), (1, 3000), (3000, 1)])
def test_tiny_and_thin_pictures(width: int, height: int) -> None:
    picture = np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)
    crop = choose_square(picture, lambda _: [(0.0, 0.0, 1.0, 1.0)])
    assert crop.side_px == min(width, height)
    assert (crop.x_px, crop.y_px) == (0, 0)


def test_a_square_picture_and_a_middle_cut_need_no_faces() -> None:
    def unwanted(_: Picture) -> Sequence[Box]:
        raise AssertionError("looked for faces")

    assert choose_square(grey(40, 40), unwanted) == SquareCrop(0, 0, 40, "center")
    assert choose_square(grey(90, 40), unwanted, smart=False) == SquareCrop(25, 0, 40, "center")


def test_a_face_stands_in_the_middle_of_a_wide_picture_and_in_the_upper_half_of_a_tall_one() -> None:
    wide = square(grey(600, 200), (400, 80, 440, 120))
    assert wide == SquareCrop(320, 0, 200, "faces")
    tall = square(grey(200, 600), (80, 400, 120, 440))
    assert tall == SquareCrop(0, 340, 200, "faces")  # the middle of the face is 40 % down


def test_faces_keep_room_for_hair_and_ears() -> None:
    # Both fit with little to spare: what is left over is shared, although the left one is much larger.
    crop = square(grey(600, 200), (200, 20, 280, 120), (335, 60, 355, 80))
    assert 200 - 28 >= crop.x_px >= 355 + 7 - 200


def test_where_not_all_faces_fit_a_face_is_in_or_out_but_not_cut() -> None:
    large, small = (100.0, 20.0, 180.0, 100.0), (290.0, 20.0, 320.0, 50.0)
    crop = square(grey(500, 200), small, large)
    assert crop.x_px <= 100
    assert crop.x_px + 200 <= 290


def test_a_face_that_is_larger_than_the_square_is_centred() -> None:
    crop = square(grey(500, 100), (150, 0, 350, 100))
    assert crop == SquareCrop(200, 0, 100, "faces")


@pytest.mark.parametrize(
    "box",
    [(10.0, 10.0, 10.5, 20.0), (900.0, 0.0, 950.0, 50.0), (30.0, 30.0, 20.0, 40.0), (float("nan"),) * 4],
    ids=["below a pixel", "outside", "inside out", "not a number"],
)
def test_boxes_that_are_none_do_not_count(box: Box) -> None:
    assert square(grey(90, 40), box) == SquareCrop(25, 0, 40, "center")


def test_a_box_that_reaches_over_the_edge_counts_with_its_part_inside() -> None:
    assert square(grey(300, 100), (-20, 20, 40, 80)).x_px == 0
    assert square(grey(300, 100), (260, 20, 340, 80)).x_px == 200


@pytest.mark.parametrize("color", [(200, 30, 30), (235, 235, 235), (10, 10, 10)], ids=["red", "light", "dark"])
@pytest.mark.parametrize("is_tall", [False, True], ids=["wide", "tall"])
def test_what_stands_out_is_kept(color: Sequence[int], is_tall: bool) -> None:
    # In the middle third from end to end, so that the middle square cuts it.
    picture = with_spot(640, 360, (420, 150, 520, 240), color)
    crop = choose_square(np.ascontiguousarray(picture.transpose(1, 0, 2)) if is_tall else picture, None)
    assert crop.reason == "entropy"
    assert begin(crop) <= 420
    assert begin(crop) + 360 >= 520


def test_two_equal_things_leave_the_square_in_the_middle() -> None:
    picture = with_spot(640, 200, (40, 60, 120, 140), (200, 30, 30))
    picture[:, ::-1][60:140, 40:120] = (200, 30, 30)
    assert abs(choose_square(picture, None).x_px - 220) <= 1


def test_a_larger_picture_is_cut_at_the_same_place() -> None:
    picture = with_spot(320, 180, (200, 60, 260, 120), (30, 30, 200))
    larger = np.kron(picture, np.ones((4, 4, 1), np.uint8))
    assert abs(choose_square(larger, None).x_px - 4 * choose_square(picture, None).x_px) <= 4
