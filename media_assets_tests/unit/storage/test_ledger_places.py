"""Answers of geocoders in the ledger, and turns that no two processes share."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from media_assets.media.places import NOWHERE, Place
from media_assets.storage.ledger import Ledger

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
URL = "https://nominatim.example"


@pytest.fixture
def ledgers(tmp_path: Path) -> Iterator[list[Ledger]]:
    opened = [Ledger(f"sqlite:///{tmp_path / 'ledger.db'}") for _ in range(4)]
    yield opened
    for ledger in opened:
        ledger.close()


def test_answers_are_kept_by_geocoder_and_cell(ledgers: list[Ledger]) -> None:
    basel = Place("Basel", None, "CH")
    ledgers[0].remember_place(URL, (47_558, 7_573), basel, NOW)
    ledgers[0].remember_place(URL, (-90_000, -180_000), NOWHERE, NOW)
    ledgers[1].remember_place(URL, (47_558, 7_573), Place("Late", None, None), NOW)  # the first answer stays
    cells = [(47_558, 7_573), (-90_000, -180_000), (47_558, 7_574), (7_573, 47_558)]
    assert ledgers[1].known_places(URL, cells) == {cells[0]: basel, cells[1]: NOWHERE}
    assert ledgers[1].known_places("https://other.example", cells) == {}
    assert ledgers[1].known_places(URL, []) == {}


def test_more_cells_than_fit_one_statement(ledgers: list[Ledger]) -> None:
    cells = [(n, -n) for n in range(1000)]
    for cell in cells[::100]:
        ledgers[0].remember_place(URL, cell, NOWHERE, NOW)
    assert set(ledgers[0].known_places(URL, cells)) == set(cells[::100])


def test_turns_are_apart_over_all_connections(ledgers: list[Ledger]) -> None:
    def take(number: int) -> datetime | None:
        return ledgers[number % 4].take_turn(URL, NOW, SECOND, NOW + timedelta(hours=1))

    with ThreadPoolExecutor(4) as threads:
        turns = sorted(turn for turn in threads.map(take, range(20)) if turn is not None)
    assert len(turns) == 20
    assert {later - earlier for earlier, later in pairwise(turns)} == {SECOND}
    assert turns[0] == NOW


def test_a_turn_that_comes_too_late_is_not_taken(ledgers: list[Ledger]) -> None:
    (ledger, *_) = ledgers
    assert ledger.take_turn(URL, NOW, SECOND, NOW) == NOW
    for _ in range(2):
        assert ledger.take_turn(URL, NOW, SECOND, NOW + SECOND / 2) is None
    assert ledger.take_turn(URL, NOW, SECOND, NOW + SECOND) == NOW + SECOND
    assert ledger.take_turn("https://other.example", NOW, SECOND, NOW) == NOW
    later = NOW + timedelta(days=1)
    assert ledger.take_turn(URL, later, SECOND, later) == later
