"""In which order people read the lines of a page: from geometry alone, for pages in any of the four directions.

Columns of sentences are read one after the other; what only looks like columns, such as the prices of a receipt, is
read row by row. A recursive cut of the page at white space (Nagy and Seth, 1984), columns first.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from media_assets.models.records import PointPx

Polygon = tuple[PointPx, ...]

# A column has at least this many lines, and its lines are sentences: so many times as long as high.
_LINES_OF_COLUMN, _SENTENCE = 3, 8.0
# Page, heading and body, columns, paragraphs: deeper than that no page is cut.
_DEEPEST = 8


@dataclass(frozen=True)
class _Line:
    """Bounds of a line on the page as its reader holds it."""

    at: int
    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


def reading_order(polygons: Sequence[Polygon]) -> list[int]:
    """Return the places of the lines in the order in which they are read.

    Args:
        polygons: Four corners of each line, clockwise from the reader's upper left.
    """
    if not polygons:
        return []
    angle = _page_angle(polygons)
    cosine, sine = math.cos(-angle), math.sin(-angle)
    lines = []
    for at, polygon in enumerate(polygons):
        xs = [x * cosine - y * sine for x, y in polygon]
        ys = [x * sine + y * cosine for x, y in polygon]
        lines.append(_Line(at, min(xs), min(ys), max(xs), max(ys)))
    return [line.at for line in _ordered(lines, _DEEPEST)]


def _page_angle(polygons: Sequence[Polygon]) -> float:
    """Direction in which most text runs, in radians clockwise from the right: the best quarter, then its mean skew."""
    directions = [(b[0] - a[0], b[1] - a[1]) for a, b, *_ in polygons]
    lengths = [math.hypot(x, y) for x, y in directions]
    quarters = [round(math.atan2(y, x) / (math.pi / 2)) % 4 for x, y in directions]
    weights = [0.0] * 4
    for quarter, length in zip(quarters, lengths, strict=True):
        weights[quarter] += length
    page = weights.index(max(weights))
    along = [direction for direction, quarter in zip(directions, quarters, strict=True) if quarter == page]
    return math.atan2(sum(y for _, y in along), sum(x for x, _ in along))


def _ordered(lines: list[_Line], depth: int) -> list[_Line]:
    if depth == 0 or len(lines) < 2 * _LINES_OF_COLUMN:
        return _row_by_row(lines)
    parts = _columns(lines) or _bands(lines)
    if parts is None:
        return _row_by_row(lines)
    return [line for part in parts for line in _ordered(part, depth - 1)]


def _columns(lines: list[_Line]) -> tuple[list[_Line], list[_Line]] | None:
    """Cut at the widest white space from top to bottom between two columns of sentences."""
    spacing = median(line.height for line in lines)
    for width, left, right in _cuts(lines, lambda line: (line.left, line.right)):
        if width < spacing:
            return None
        if all(_is_column(part) for part in (left, right)):
            return left, right
    return None


def _is_column(lines: list[_Line]) -> bool:
    shapes = [(line.right - line.left) / max(line.height, 1e-6) for line in lines]
    return len(lines) >= _LINES_OF_COLUMN and median(shapes) >= _SENTENCE


def _bands(lines: list[_Line]) -> tuple[list[_Line], list[_Line]] | None:
    """Cut at the widest white space from side to side: between a heading and what is below it, say."""
    for _, above, below in _cuts(lines, lambda line: (line.top, line.bottom)):
        return above, below
    return None


def _cuts(
    lines: list[_Line], extent: Callable[[_Line], tuple[float, float]]
) -> list[tuple[float, list[_Line], list[_Line]]]:
    """Return all cuts that no line crosses, the widest first: width, lines before, lines after."""
    along = sorted(lines, key=extent)
    found, end = [], extent(along[0])[1]
    for at, line in enumerate(along):
        begin, its_end = extent(line)
        if begin > end:
            found.append((begin - end, along[:at], along[at:]))
        end = max(end, its_end)
    return sorted(found, key=lambda cut: -cut[0])


def _row_by_row(lines: list[_Line]) -> list[_Line]:
    """Rows from top to bottom, each from left to right; of one row is what has its middle at the row's height."""
    rows: list[list[_Line]] = []
    for line in sorted(lines, key=lambda line: line.middle):
        row = rows[-1] if rows else []
        height = min([line.height, *(other.height for other in row)])
        if row and line.middle - fmean(other.middle for other in row) <= height / 2:
            row.append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.left)]
