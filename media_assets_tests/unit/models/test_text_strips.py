"""Strips of text: cut out the way they are read, and divided between words."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from media_assets.models.records import Picture
from media_assets.models.text_strips import pieces_of, strip_of


def marked() -> Picture:
    """A picture whose strip from (20, 30) to (80, 50) is black at the left and white at the right."""
    picture = np.full((100, 100, 3), 128, np.uint8)
    picture[30:50, 20:50], picture[30:50, 50:80] = 0, 255
    return picture


@pytest.mark.parametrize("quarters", range(4))
def test_a_strip_begins_where_its_reader_begins(quarters: int) -> None:
    corners = np.array([[20, 30], [80, 30], [80, 50], [20, 50]], np.float32)
    image = np.ascontiguousarray(np.rot90(marked(), -quarters))  # clockwise
    for _ in range(quarters):
        corners = np.stack([100 - corners[:, 1], corners[:, 0]], axis=1)
    strip = strip_of(image, corners)
    assert strip.shape == (20, 60, 3)
    assert strip[3:-3, 3:27].max() < 10
    assert strip[3:-3, 33:-3].min() > 245


def test_a_strip_without_area_is_a_pixel() -> None:
    assert strip_of(marked(), np.full((4, 2), 40, np.float32)).shape == (1, 1, 3)


def long_line(words: int) -> Picture:
    text = " ".join(["word"] * words)
    font = ImageFont.load_default(16)
    picture = Image.new("RGB", (int(font.getlength(text)) + 10, 20), "white")
    ImageDraw.Draw(picture).text((5, 0), text, "black", font)
    return np.asarray(picture)


def test_a_short_strip_stays_whole() -> None:
    ((piece, before),) = pieces_of(long_line(5))
    assert np.array_equal(piece, long_line(5))
    assert before == ""


def test_a_long_strip_is_divided_between_words() -> None:
    strip = long_line(60)
    pieces = list(pieces_of(strip))
    assert len(pieces) > 1
    assert [before for _, before in pieces] == ["", *[" "] * (len(pieces) - 1)]
    assert np.array_equal(np.concatenate([piece for piece, _ in pieces], axis=1), strip)
    for piece, _ in pieces:
        # A little more than the even share, for the sake of the words, and white at both ends.
        assert piece.shape[1] <= 20 * 42
        assert piece[:, :1].min() > 200
        assert piece[:, -1:].min() > 200


def test_what_has_no_gaps_is_divided_without_a_space() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (20, 2000, 3), np.uint8)
    assert [before for _, before in pieces_of(noise)] == ["", "", ""]
