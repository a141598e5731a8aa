"""Small pictures that show what a model found: boxes, outlines, points and labels drawn on a preview.

Lives here: drawing, for people who look at a page. Must not: detect, decide what may be shown; whoever calls leaves out
texts that are not for everybody.
"""

import contextlib
import functools
import hashlib
import io
import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from media_assets.media.resize import fit_box, resize_pixels

Picture = NDArray[np.uint8]
Box = tuple[float, float, float, float]
Color = tuple[int, int, int]

# Okabe and Ito's colours, which people with any kind of colour vision tell apart, made bright, and four more.
_PALETTE: tuple[Color, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 178, 130), (240, 228, 66), (70, 120, 255), (235, 94, 0), (224, 121, 187),
    (150, 220, 60), (190, 130, 255), (255, 90, 100), (60, 220, 220),
)  # fmt: skip
_DARK, _LIGHT = (0, 0, 0), (255, 255, 255)
_TEXT_PX, _LEAST_TEXT_PX = 12, 9
_MANY = 12  # marks from which lettering and lines are smaller
_PADDING_PX = 2
_MAX_TEXT = 40  # characters
_GAP_PX = 4
_QUALITIES = (70, 45, 20)  # letters cannot be read below; rather make the picture smaller
_SMALLER, _LEAST_LONGEST_PX = 0.95, 160
# Pillow's own font has ASCII only. These are looked for where the system keeps fonts.
_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "arial.ttf")


@dataclass(frozen=True)
class Mark:
    """Something that was found.

    Attributes:
        box: ``x_min, y_min, x_max, y_max`` in pixels of the picture; parts outside of it are not drawn.
        text: What it is; "" writes the score alone. Equal texts have equal colours.
        score: 0-1, written in percent; ``None`` is not written.
        polygon: Corners in pixels, drawn instead of the box.
        points: Landmarks in pixels.
    """

    box: Box
    text: str
    score: float | None
    polygon: Sequence[tuple[float, float]] | None = None
    points: Sequence[tuple[float, float]] = ()


def annotate(
    picture: Picture | bytes, marks: Sequence[Mark], *, longest_px: int = 480, max_bytes: int = 12_000
) -> bytes:
    """Return a small WebP picture with the marks drawn on it.

    Args:
        picture: Upright sRGB, shape (height, width, 3); or the bytes of a JPEG or WebP rendition.
        marks: In pixels of that picture. The surest are drawn last, on top, and are the first to have a label.
        longest_px: Longest side of the result; nothing is enlarged.
        max_bytes: Quality and then size are lowered until it is met, to a point below which nothing could be seen.
    """
    pixels = _pixels(picture)
    return _encoded(lambda px: _drawn(pixels, marks, px), longest_px, max_bytes)


def annotate_frames(
    frames: Sequence[tuple[Picture | bytes, float, Sequence[Mark]]], *, longest_px: int = 480, max_bytes: int = 16_000
) -> bytes:
    """Return up to four frames of a video in one small WebP picture, each with its marks and its time.

    Args:
        frames: Picture, time in the video in seconds, and marks, as for :func:`annotate`.
        longest_px: Longest side of the whole.
        max_bytes: As for :func:`annotate`.

    Raises:
        ValueError: There is no frame.
    """
    if not frames:
        raise ValueError("A sheet needs one frame at least.")
    shown = [(_pixels(picture), at_s, marks) for picture, at_s, marks in frames[:4]]
    return _encoded(lambda px: _sheet(shown, px), longest_px, max_bytes)


def _sheet(shown: Sequence[tuple[Picture, float, Sequence[Mark]]], longest_px: int) -> Image.Image:
    columns, rows = _grid(len(shown), shown[0][0])
    box = tuple((longest_px - (count - 1) * _GAP_PX) // count for count in (columns, rows))
    cells = []
    for picture, at_s, marks in shown:
        height, width = picture.shape[:2]
        share = min(1.0, box[0] / width, box[1] / height)
        cells.append(_drawn(picture, marks, max(1, int(max(width, height) * share)), _time(at_s)))
    width, height = max(cell.width for cell in cells), max(cell.height for cell in cells)
    size = (columns * (width + _GAP_PX) - _GAP_PX, rows * (height + _GAP_PX) - _GAP_PX)
    sheet = Image.new("RGB", size, _LIGHT)
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        left, top = column * (width + _GAP_PX), row * (height + _GAP_PX)
        sheet.paste(cell, (left + (width - cell.width) // 2, top + (height - cell.height) // 2))
    return sheet


def color_of(text: str) -> Color:
    """Return the colour of a label: the same in every picture and every process."""
    return _PALETTE[hashlib.sha256(text.encode()).digest()[0] % len(_PALETTE)]


def _grid(count: int, first: Picture) -> tuple[int, int]:
    """Return columns and rows; two frames stand so that the sheet comes closer to a square."""
    if count == 2:
        return (1, 2) if first.shape[1] > first.shape[0] else (2, 1)
    return (1, 1) if count == 1 else (2, 2)


def _pixels(picture: Picture | bytes) -> Picture:
    if not isinstance(picture, bytes):
        return picture
    with Image.open(io.BytesIO(picture), formats=("JPEG", "WEBP")) as opened:
        return np.asarray(opened.convert("RGB"))


def _encoded(draw: Callable[[int], Image.Image], longest_px: int, max_bytes: int) -> bytes:
    """Return what is drawn in the best quality, then in the largest size, that is small enough."""
    while True:
        picture = draw(longest_px)
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            picture.save(buffer, "WEBP", quality=quality, method=4)
            if buffer.tell() <= max_bytes:
                return buffer.getvalue()
        if longest_px <= _LEAST_LONGEST_PX:
            return buffer.getvalue()
        # About as many bytes a pixel as before, or a little more.
        share = _SMALLER * math.sqrt(max_bytes / buffer.tell())
        longest_px = max(_LEAST_LONGEST_PX, int(min(longest_px, max(picture.size)) * share))


def _drawn(picture: Picture, marks: Sequence[Mark], longest_px: int, corner: str = "") -> Image.Image:
    """Return the small picture with everything drawn on it, and a text in its lower left corner."""
    full_height, full_width = picture.shape[:2]
    width, height = fit_box(full_width, full_height, longest_px)
    canvas = Image.fromarray(np.ascontiguousarray(resize_pixels(picture, (width, height))))
    scale = (width / full_width, height / full_height)
    placed = [(mark, box) for mark in marks if (box := _scaled(mark.box, scale, canvas.size)) is not None]
    placed.sort(key=lambda one: one[0].score if one[0].score is not None else 1.0)
    draw = ImageDraw.Draw(canvas)
    is_crowded = len(placed) > _MANY
    for mark, box in placed:
        _outline(draw, mark, box, scale, 1 if is_crowded or max(canvas.size) < 300 else 2)
    lettering = _Lettering(_LEAST_TEXT_PX if is_crowded or max(canvas.size) < 300 else _TEXT_PX)
    taken: list[Box] = []
    if corner:
        width, height = lettering.size(corner)
        taken.append((0, canvas.height - height, width, canvas.height))
        lettering.write(draw, corner, taken[0], _DARK)
    for mark, box in reversed(placed):
        text = _label(mark)
        place = lettering.place(text, box, canvas.size, taken) if text else None
        if place is not None:
            taken.append(place)
            lettering.write(draw, text, place, color_of(mark.text))
    return canvas


def _scaled(box: Box, scale: tuple[float, float], size: tuple[int, int]) -> Box | None:
    """Return a box in pixels of the small picture and inside it, at least one pixel wide; ``None`` if it is outside."""
    if not all(map(math.isfinite, box)):
        return None
    left, top, right, bottom = (value * scale[axis % 2] for axis, value in enumerate(box))
    if right < 0 or bottom < 0 or left > size[0] or top > size[1] or right < left or bottom < top:
        return None
    last_x, last_y = size[0] - 1.0, size[1] - 1.0
    left, top = min(max(left, 0.0), last_x), min(max(top, 0.0), last_y)
    return left, top, min(max(right, left), last_x), min(max(bottom, top), last_y)


def _outline(draw: ImageDraw.ImageDraw, mark: Mark, box: Box, scale: tuple[float, float], width_px: int) -> None:
    """Draw box or polygon, and points; dark lines beside the coloured ones are seen on any ground."""
    color = color_of(mark.text)
    if mark.polygon is not None and len(mark.polygon) > 2:
        corners = [(x * scale[0], y * scale[1]) for x, y in mark.polygon]
        for line, wide in ((_DARK, width_px + 1), (color, width_px)):
            draw.line([*corners, corners[0]], line, wide)
    else:
        left, top, right, bottom = (round(value) for value in box)
        # The dark frame is inside: thin boxes at the edge of the picture keep their colour.
        if width_px > 1 and right - left > 2 * width_px + 2 and bottom - top > 2 * width_px + 2:
            draw.rectangle((left + width_px, top + width_px, right - width_px, bottom - width_px), outline=_DARK)
        draw.rectangle((left, top, right, bottom), outline=color, width=width_px)
    for x, y in mark.points:
        at_x, at_y = x * scale[0], y * scale[1]
        draw.ellipse((at_x - 2, at_y - 2, at_x + 2, at_y + 2), color, _DARK)


def _label(mark: Mark) -> str:
    score = "" if mark.score is None else f"{mark.score:.0%}"
    return " ".join(part for part in (_one_line(mark.text), score) if part)


def _one_line(text: str) -> str:
    """Return a text without control characters, shortened."""
    clean = " ".join("".join(char if char.isprintable() else " " for char in text[:1000]).split())
    return clean if len(clean) <= _MAX_TEXT else clean[: _MAX_TEXT - 3] + "..."


def _time(at_s: float) -> str:
    minutes, seconds = divmod(round(max(at_s, 0.0), 1), 60)
    return f"{int(minutes)}:{seconds:04.1f}"


class _Lettering:
    """Labels in one size: a font of the system, else Pillow's own with letters brought down to ASCII.

    Args:
        size_px: Height of the letters.
    """

    def __init__(self, size_px: int) -> None:
        self._font, self._is_own = _font(size_px)

    def size(self, text: str) -> tuple[int, int]:
        """Return width and height of a label with its ground."""
        ascent, descent = self._font.getmetrics()
        return math.ceil(self._font.getlength(self._shown(text))) + 2 * _PADDING_PX, ascent + descent

    def place(self, text: str, box: Box, within: tuple[int, int], taken: Sequence[Box]) -> Box | None:
        """Return where a label stands at its box: above it, else inside, below, or at its right edge.

        Args:
            text: The label.
            box: What it belongs to.
            within: Size of the picture; the label is wholly inside it.
            taken: Where labels are already.

        Returns:
            ``None`` if it would hide another one wherever it stood, or is too wide for the picture.
        """
        width, height = self.size(text)
        if width > within[0] or height > within[1]:
            return None
        left, top, right, bottom = box
        for x, y in (
            *((left, edge) for edge in (top - height, top, bottom, bottom - height)),
            *((right - width, edge) for edge in (top - height, top, bottom, bottom - height)),
        ):
            x, y = min(max(round(x), 0), within[0] - width), min(max(round(y), 0), within[1] - height)
            place = (float(x), float(y), float(x + width), float(y + height))
            if not any(_overlap(place, other) for other in taken):
                return place
        return None

    def write(self, draw: ImageDraw.ImageDraw, text: str, place: Box, ground: Color) -> None:
        """Write a label on a ground of this colour, in black or white, whichever is read better."""
        luma = 0.2126 * ground[0] + 0.7152 * ground[1] + 0.0722 * ground[2]
        draw.rectangle((place[0], place[1], place[2] - 1, place[3] - 1), ground)
        draw.text((place[0] + _PADDING_PX, place[1]), self._shown(text), _DARK if luma > 100 else _LIGHT, self._font)

    def _shown(self, text: str) -> str:
        """Return the text in letters that the font has; a question mark stands for others, not an empty box."""
        if self._is_own:
            decomposed = unicodedata.normalize("NFKD", text)
            plain = "".join(char for char in decomposed if not unicodedata.combining(char))
            return plain.encode("ascii", "replace").decode()
        return "".join(char if char.isascii() or self._has(char) else "?" for char in text)

    def _has(self, char: str) -> bool:
        return bytes(self._font.getmask(char)) != _missing_glyph(self._font)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@functools.cache
def _font(size_px: int) -> tuple[ImageFont.FreeTypeFont, bool]:
    """Return a font, and whether it is the one that Pillow carries."""
    for name in _FONTS:
        with contextlib.suppress(OSError):
            return ImageFont.truetype(name, size_px), False
    own = ImageFont.load_default(size_px)
    if not isinstance(own, ImageFont.FreeTypeFont):  # Pillow without FreeType
        raise RuntimeError("Pillow was built without FreeType. Install the wheel of PyPI: pip install --force pillow.")  # noqa: TRY004
    return own, True


@functools.cache
def _missing_glyph(font: ImageFont.FreeTypeFont) -> bytes:
    """Return what the font draws for a code point that is no character."""
    return bytes(font.getmask("\uffff"))
