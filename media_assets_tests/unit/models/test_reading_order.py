"""Reading order: rows of receipts, columns of pages, whichever way up the page lies."""

import math
import random

import pytest

from media_assets.models.reading_order import Polygon, reading_order

LINE_PX = 20.0


def line(x: float, y: float, width: float, height: float = LINE_PX) -> Polygon:
    return ((x, y), (x + width, y), (x + width, y + height), (x, y + height))


def turned(polygon: Polygon, angle_deg: float) -> Polygon:
    """Turn a line about the origin, its corners still from where the reader begins."""
    cosine, sine = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    return tuple((x * cosine - y * sine, x * sine + y * cosine) for x, y in polygon)


PARAGRAPH = [line(50, 100 + 30 * at, 500 - 20 * (at % 3)) for at in range(6)]
RECEIPT = [one for at in range(5) for one in (line(50, 100 + 30 * at, 160), line(400, 103 + 30 * at, 60))]
HEADING = line(200, 20, 500, 40)
COLUMNS = [
    HEADING,
    *(line(50, 100 + 30 * at, 380) for at in range(5)),
    *(line(480, 100 + 30 * at, 380) for at in range(5)),
]
FOOTED = [*COLUMNS, line(50, 330, 810)]


@pytest.mark.parametrize("page", [PARAGRAPH, RECEIPT, COLUMNS, FOOTED], ids=["text", "receipt", "columns", "footer"])
@pytest.mark.parametrize("angle_deg", [0, 90, 180, 270, 4, -4, 176])
def test_a_page_is_read_in_order_whichever_way_it_lies(page: list[Polygon], angle_deg: float) -> None:
    shuffled = list(range(len(page)))
    random.Random(angle_deg).shuffle(shuffled)
    found = reading_order([turned(page[at], angle_deg) for at in shuffled])
    assert [shuffled[at] for at in found] == list(range(len(page)))


def test_words_of_a_row_need_not_be_level() -> None:
    row = [line(50, 100, 60), line(130, 106, 60), line(210, 97, 60), line(50, 130, 60)]
    assert reading_order(row) == [0, 1, 2, 3]


def test_a_low_word_does_not_pull_the_next_row_up() -> None:
    # Each is half a line below the last, as on a slope: five rows, not one.
    stairs = [line(500 - 100 * at, 100 + 12 * at, 80) for at in range(5)]
    assert reading_order(stairs) == [0, 1, 2, 3, 4]


def test_a_sideways_label_does_not_turn_the_page() -> None:
    sideways = ((20.0, 300.0), (20.0, 100.0), (40.0, 100.0), (40.0, 300.0))  # read upwards
    found = reading_order([*PARAGRAPH, sideways])
    assert [at for at in found if at < len(PARAGRAPH)] == list(range(len(PARAGRAPH)))


def test_many_lines_do_not_exhaust_the_stack() -> None:
    page = [line(50, 30.0 * at, 300) for at in range(1500)]
    assert reading_order(list(reversed(page))) == list(reversed(range(1500)))


def test_no_lines_have_no_order_and_points_are_no_reason_to_fail() -> None:
    assert reading_order([]) == []
    assert reading_order([((5.0, 5.0),) * 4, ((5.0, 5.0),) * 4]) == [0, 1]
