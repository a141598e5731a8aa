"""Searching for pieces of files: what is there is found wherever it lies, what is not there is not."""

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_assets.storage.traces import PIECE_BYTES, PIECES, Needles, distinct, pieces_of
from media_assets_tests.pictures import jpeg

NOISE = random.Random(7).randbytes(300_000)


@given(
    data=st.binary(max_size=400),
    needles=st.sets(st.binary(min_size=1, max_size=20), min_size=1, max_size=20),
    size=st.integers(1, 50),
)
def test_the_same_is_found_as_by_looking_for_each(data: bytes, needles: set[bytes], size: int) -> None:
    expected = {one for one in needles if one in data}
    assert Needles(needles).find(data) == expected
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    assert Needles(needles).find_in(chunks) == expected


@given(st.data())
def test_parts_of_the_data_itself_are_found(drawn: st.DataObject) -> None:
    at = drawn.draw(st.integers(0, len(NOISE) - PIECE_BYTES))
    length = drawn.draw(st.integers(1, PIECE_BYTES))
    chunk = drawn.draw(st.integers(1000, 70_000))
    needle = NOISE[at : at + length]
    chunks = (NOISE[start : start + chunk] for start in range(0, len(NOISE), chunk))
    assert needle in Needles([needle, os.urandom(64)]).find_in(chunks)


def test_an_empty_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match="everywhere"):
        Needles([b""])
    assert Needles([]).find(b"anything") == set()


def test_pieces_of_a_picture_are_its_own() -> None:
    first, second = jpeg(1), jpeg(2)
    pieces = pieces_of(first)
    assert pieces
    assert all(len(one) == PIECE_BYTES and one in first for one in pieces)
    assert Needles(pieces).find(second) == set()


def test_pieces_are_spread_and_leave_plain_areas_out() -> None:
    assert len(pieces_of(NOISE)) == PIECES
    padded = bytes(200_000) + NOISE[:1000] + bytes(200_000)
    assert all(one in NOISE or one.strip(b"\0") in NOISE for one in pieces_of(padded))
    assert pieces_of(bytes(100_000)) == []
    assert pieces_of(NOISE[:63]) == []
    assert pieces_of(NOISE[:64]) == [NOISE[:64]]


def test_what_others_have_too_tells_nothing() -> None:
    assert distinct([b"alice/a.jpg", b"alice/b.jpg"], iter([b"malice/a.jpg\nbob/c.jpg"])) == [b"alice/b.jpg"]
    assert distinct([], iter([b"x"])) == []
