"""Overlaps, suppression and agreement of boxes: small cases that can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from media_assets.models.candidates import (
    Candidates,
    agree,
    candidates_above,
    limit_rivals,
    overlaps,
    suppress,
)

CAT, DOG = 0, 1
SQUARE = (0.0, 0.0, 10.0, 10.0)
NEARLY = (1.0, 0.0, 11.0, 10.0)  # overlaps SQUARE with 90 / 110
FAR = (50.0, 50.0, 60.0, 60.0)

edges = st.floats(0, 100, width=32)


def found(*entries: tuple[tuple[float, float, float, float], float, int]) -> Candidates:
    return Candidates(
        np.array([box for box, _, _ in entries], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in entries], np.float32),
        np.array([class_ for _, _, class_ in entries], np.int64),
    )


def boxes(*entries: tuple[float, float, float, float]) -> NDArray[np.float32]:
    return np.array(entries, np.float32)


def test_overlap_is_intersection_over_union() -> None:
    assert overlaps(boxes(SQUARE), boxes(SQUARE, NEARLY, FAR))[0] == pytest.approx([1, 90 / 110, 0])


def test_an_empty_box_overlaps_nothing() -> None:
    assert overlaps(boxes((5, 5, 5, 5), (9, 9, 1, 1)), boxes((5, 5, 5, 5), SQUARE)).tolist() == [[0, 0], [0, 0]]


@given(st.tuples(edges, edges, edges, edges), st.tuples(edges, edges, edges, edges))
def test_overlap_is_symmetric_and_a_share(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> None:
    there, back = overlaps(boxes(one), boxes(other))[0, 0], overlaps(boxes(other), boxes(one))[0, 0]
    assert there == pytest.approx(back, abs=1e-5)
    assert 0 <= there <= 1 + 1e-5


def test_every_class_of_a_box_is_a_candidate_and_only_the_surest_are_kept() -> None:
    scores = np.array([[0.9, 0.2], [0.05, 0.6]], np.float32)
    kept = candidates_above(boxes(SQUARE, FAR), scores, 0.1, 2)
    assert kept.scores == pytest.approx([0.9, 0.6])
    assert kept.classes.tolist() == [CAT, DOG]
    assert len(candidates_above(boxes(SQUARE, FAR), scores, 0.1, 9)) == 3


def test_suppression_is_within_a_class() -> None:
    kept = suppress(found((NEARLY, 0.6, CAT), (SQUARE, 0.9, CAT), (NEARLY, 0.5, DOG), (FAR, 0.1, CAT)), 0.5)
    assert kept.scores == pytest.approx([0.9, 0.5, 0.1])
    assert kept.classes.tolist() == [CAT, DOG, CAT]


def test_what_was_suppressed_suppresses_nothing() -> None:
    # A chain: the middle box falls to the first one, so that the last one stays.
    chain = [((3.0 * step, 0.0, 3.0 * step + 10, 10.0), 0.9 - step / 10, CAT) for step in range(3)]
    assert suppress(found(*chain), 0.5).scores == pytest.approx([0.9, 0.7])


def test_nothing_stays_nothing() -> None:
    nothing = found()
    assert len(suppress(nothing, 0.5)) == len(agree(nothing, nothing, 0.5)) == len(limit_rivals(nothing, 0.8)) == 0


def test_views_that_agree_have_the_mean_of_box_and_score() -> None:
    merged = agree(found((SQUARE, 0.6, CAT)), found((NEARLY, 0.2, CAT)), 0.55)
    assert merged.scores == pytest.approx([0.4])
    assert merged.boxes[0] == pytest.approx([0.25, 0, 10.25, 10])  # weights 0.6 and 0.2


def test_what_one_view_shows_counts_half() -> None:
    merged = agree(found((SQUARE, 0.6, CAT), (FAR, 0.9, CAT)), found((SQUARE, 0.8, DOG), (FAR, 0.9, CAT)), 0.55)
    assert merged.scores == pytest.approx([0.9, 0.4, 0.3])
    assert merged.classes.tolist() == [CAT, DOG, CAT]


def test_a_box_agrees_with_one_box_only() -> None:
    merged = agree(found((SQUARE, 0.8, CAT), (NEARLY, 0.4, CAT)), found((SQUARE, 0.6, CAT)), 0.55)
    assert merged.scores == pytest.approx([0.7, 0.2])


def test_one_place_is_one_thing() -> None:
    limited = limit_rivals(found((SQUARE, 0.7, CAT), (SQUARE, 0.6, DOG), (FAR, 0.5, DOG)), 0.8)
    assert limited.scores == pytest.approx([0.7, 0.5, 0.3])
    assert limited.classes.tolist() == [CAT, DOG, DOG]


def test_boxes_of_one_class_are_no_rivals() -> None:
    assert limit_rivals(found((SQUARE, 0.7, CAT), (SQUARE, 0.6, CAT)), 0.8).scores == pytest.approx([0.7, 0.6])
