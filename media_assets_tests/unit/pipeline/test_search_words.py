import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_assets.pipeline.search.words import count_matches, fold, forms, is_match, prefilter, said_words, tokens


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *[("bikes", "bike"), ("biking", "bike"), ("knives", "knife"), ("leaves", "leaf"), ("ponies", "pony")],
        *[("movies", "movie"), ("buses", "bus"), ("boxes", "box"), ("beaches", "beach"), ("potatoes", "potato")],
        *[("swimming", "swim"), ("skiing", "ski"), ("skis", "ski"), ("people", "person"), ("children", "child")],
        *[("houses", "house"), ("glasses", "glass"), ("painted", "paint"), ("dances", "dancing"), ("ÉTÉ", "ete")],
        *[("Straße", "STRASSE"), ("ｃａｆé", "cafe")],
    ],
)
def test_forms_of_one_word_match(one: str, other: str) -> None:
    (first,), (second,) = tokens(one), tokens(other)
    assert is_match(first, second)
    assert is_match(second, first)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *[("car", "care"), ("plan", "plane"), ("win", "wine"), ("cat", "category"), ("bed", "bee"), ("king", "kin")],
        *[("sky", "ski"), ("glass", "glas"), ("dog", "god"), ("2024", "202")],
    ],
)
def test_words_that_only_look_alike_do_not_match(one: str, other: str) -> None:
    assert not is_match(one, other)
    assert not is_match(other, one)


def test_words_without_spaces_are_found_inside_runs() -> None:
    (run,) = tokens("東京タワー")
    assert is_match("東京", run)
    assert not is_match("大阪", run)
    assert not is_match("at", "cat")


def test_tokens_are_runs_of_letters_and_digits() -> None:
    assert tokens("IMG_2024-05a.JPG, Anna's dog") == ["img", "2024", "05a", "jpg", "anna", "dog"]
    assert tokens("!?  _") == []


def test_letters_and_digits_of_a_token_are_found_alone() -> None:
    parts = tuple(tokens("beach2019.png beach"))
    assert count_matches("beach", parts) == 2
    assert count_matches("2019", parts) == 1
    assert count_matches("beach2019", parts) == 1
    assert count_matches("each", parts) == 0


def test_empty_words_are_left_out() -> None:
    assert said_words("a dog on the beach, a dog") == ["dog", "beach"]
    assert said_words("the") == []


_LETTERS = st.text(st.sampled_from("abcdeiknosvyfgß é東ア1"), min_size=1, max_size=9)


@given(_LETTERS, _LETTERS)
def test_the_prefilter_lets_every_match_pass(query: str, text: str) -> None:
    for word in tokens(query):
        if count_matches(word, tuple(tokens(text))):
            assert re.search(prefilter([word]), text)


@given(
    st.sampled_from(
        [
            "bike",
            "knife",
            "pony",
            "movie",
            "bus",
            "box",
            "person",
            "child",
            "house",
            "ski",
            "glass",
            "paint",
            "swim",
            "leaf",
            "hero",
        ]
    )
)
def test_the_prefilter_lets_plurals_pass(word: str) -> None:
    for ending in ("s", "es", "ing", "ed"):
        text = f"Two {word}{ending} here".upper()
        if count_matches(word, tuple(tokens(text))):
            assert re.search(prefilter([word]), text)
    assert re.search(prefilter(["person"]), "PEOPLE")
    assert not re.search(prefilter(["person"]), "a dog")


@given(st.text(max_size=40))
def test_folding_again_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(_LETTERS)
def test_a_word_is_among_its_forms(word: str) -> None:
    assert all(token in forms(token) for token in tokens(word))
