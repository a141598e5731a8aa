"""The gallery as JPEG pages: a grid of thumbnails with name, format and size below each, as photographers print them.

Thumbnails come from the library and are small; whatever else is found in their place is shown as unreadable.
"""

import contextlib
import io
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from media_assets.gallery.contents import (
    Contents,
    Item,
    described_duration,
    described_size,
    fetch,
    printable,
    summary,
)
from media_assets.storage.objects import ObjectStore

FILES_PER_PAGE = 200
"""Files on one page at most."""

_COLUMNS = 10
_BOX = 200  # px that a thumbnail may take
_GAP = 14
_LINE = 16
_CELL = (_BOX + _GAP, _BOX + 3 * _LINE + _GAP)
_HEAD = 64
_MARGIN = 20
_LEAST_WIDTH = 900
_MAX_SOURCE_PX = 2048  # no rendition that a sheet is made from is larger
_FORMATS = ("JPEG", "WEBP", "AVIF")
# Pillow's own font has ASCII only, not even "ü". These are looked for where the system keeps fonts.
_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "arial.ttf")
_BACK, _FRAME, _TEXT, _SOFT = (255, 255, 255), (238, 238, 238), (20, 20, 20), (110, 110, 110)


def page_paths(first: Path, count: int) -> list[Path]:
    """Return the names of all pages: ``sheet.jpg``, ``sheet-2.jpg`` and so on; one page at least."""
    pages = max(1, math.ceil(count / FILES_PER_PAGE))
    return [first, *(first.with_name(f"{first.stem}-{number}{first.suffix}") for number in range(2, pages + 1))]


def contact_sheets(store: ObjectStore, contents: Contents, *, title: str) -> Iterator[Image.Image]:
    """Yield the pages, one at a time: RGB, white, at most 2,180 px wide."""
    starts = range(0, max(1, len(contents.items)), FILES_PER_PAGE)
    for number, start in enumerate(starts, 1):
        items = contents.items[start : start + FILES_PER_PAGE]
        found = fetch(store, [item.thumb for item in items if item.thumb is not None])
        heading = summary(contents) + (f"; page {number} of {len(starts)}" if len(starts) > 1 else "")
        yield _page(items, found, printable(title), heading)


def _page(items: Sequence[Item], found: Mapping[str, bytes], title: str, heading: str) -> Image.Image:
    columns = min(_COLUMNS, max(1, math.ceil(math.sqrt(1.5 * len(items)))))
    rows = math.ceil(len(items) / columns)
    width = max(_LEAST_WIDTH, 2 * _MARGIN + columns * _CELL[0] - _GAP)
    page = Image.new("RGB", (width, 2 * _MARGIN + _HEAD + rows * _CELL[1]), _BACK)
    draw = ImageDraw.Draw(page)
    large, middle, small = _Lettering(20), _Lettering(14), _Lettering(12)
    large.write(draw, (_MARGIN, _MARGIN), title, _TEXT, width - 2 * _MARGIN)
    middle.write(draw, (_MARGIN, _MARGIN + 28), heading, _SOFT, width - 2 * _MARGIN)
    for number, item in enumerate(items):
        row, column = divmod(number, columns)
        left, top = _MARGIN + column * _CELL[0], _MARGIN + _HEAD + row * _CELL[1]
        draw.rectangle((left, top, left + _BOX - 1, top + _BOX - 1), _FRAME)
        thumb = _thumb(found.get(item.thumb.key) if item.thumb is not None else None)
        if thumb is None:
            small.write(draw, (left + 8, top + _BOX // 2 - _LINE // 2), _absence(item), _SOFT, _BOX - 16)
        else:
            page.paste(thumb, (left + (_BOX - thumb.width) // 2, top + (_BOX - thumb.height) // 2))
        if item.is_video:
            _play_mark(page, left + _BOX // 2, top + _BOX // 2)
        for index, line in enumerate((printable(item.name), *_facts(item))):
            place = (left, top + _BOX + 3 + index * _LINE)
            small.write(draw, place, line, _SOFT if index else _TEXT, _BOX)
    return page


def _thumb(content: bytes | None) -> Image.Image | None:
    if content is None:
        return None
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as opened:
            if max(opened.size) > _MAX_SOURCE_PX:
                return None
            picture = opened.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):  # what Pillow raises for damaged files
        return None
    picture.thumbnail((_BOX, _BOX), Image.Resampling.LANCZOS)
    return picture


def _absence(item: Item) -> str:
    return f"{item.format}: no thumbnail" if item.thumb is None else f"{item.format}: thumbnail unreadable"


def _facts(item: Item) -> tuple[str, str]:
    size = f"{item.width_px} \N{MULTIPLICATION SIGN} {item.height_px}"
    length = f", {described_duration(item.duration_s)}" if item.duration_s is not None else ""
    when = f", {item.captured_at:%Y-%m-%d}" if item.captured_at is not None else ""
    return f"{item.format}, {size}{length}", described_size(item.size_bytes) + when


class _Lettering:
    """A font of the system in one size, else Pillow's own with letters brought down to ASCII."""

    def __init__(self, size: int) -> None:
        self._font: ImageFont.FreeTypeFont | ImageFont.ImageFont = ImageFont.load_default(size)
        self._is_own = True
        for name in _FONTS:
            with contextlib.suppress(OSError):
                self._font = ImageFont.truetype(name, size)
                self._is_own = False
                break

    def write(
        self, draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, color: tuple[int, int, int], width: int
    ) -> None:
        """Write one line, at most so wide."""
        draw.text(place, self._fitting(_ascii(text) if self._is_own else text, width), color, self._font)

    def _fitting(self, text: str, width: int) -> str:
        """Return the text, its middle left out where it would be too wide: the end of a name tells files apart."""
        if len(text) <= width and self._font.getlength(text) <= width:
            return text
        for kept in range(min(len(text) - 1, width) // 2, 0, -1):
            shortened = f"{text[:kept]}...{text[-kept:]}"
            if self._font.getlength(shortened) <= width:
                return shortened
        return "..."


def _ascii(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.replace("\N{MULTIPLICATION SIGN}", "x"))
    return "".join(char for char in decomposed if not unicodedata.combining(char)).encode("ascii", "replace").decode()


def _play_mark(page: Image.Image, x: int, y: int) -> None:
    """A white triangle on a dark disc, smooth at the edges."""
    scale, radius = 4, 26
    mask = Image.new("L", (2 * radius * scale, 2 * radius * scale))
    draw = ImageDraw.Draw(mask)
    draw.ellipse((0, 0, mask.width - 1, mask.height - 1), 150)
    disc = mask.resize((2 * radius, 2 * radius), Image.Resampling.BOX)
    page.paste((0, 0, 0), (x - radius, y - radius), disc)
    triangle = Image.new("L", mask.size)
    corners = [(0.38, 0.27), (0.38, 0.73), (0.76, 0.5)]
    ImageDraw.Draw(triangle).polygon([(a * mask.width, b * mask.height) for a, b in corners], 255)
    page.paste((255, 255, 255), (x - radius, y - radius), triangle.resize(disc.size, Image.Resampling.BOX))
