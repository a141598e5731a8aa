"""Tests of media_assets.media.sensitive_text. All numbers are examples of standards and of offices, or made up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_assets.media.sensitive_text import sensitive_kinds, sensitive_places


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to jane.doe+photos@example.org", "email"),
        ("jane @ example . org", "email"),
        ("+49 30 901820", "phone"),
        ("Tel. (030) 90 18 20", "phone"),
        ("call 555-013-4477 now", "phone"),
        ("0171/5550147", "phone"),
        ("4111 1111 1111 1111", "payment_card"),
        ("5500005555555559", "payment_card"),
        ("378282246310005", "payment_card"),
        ("GB29 NWBK 6016 1331 9268 19", "iban"),
        ("IBAN DE89370400440532013000", "iban"),
        ("078-05-1120", "national_id"),
        ("AB 12 34 56 C", "national_id"),
        ("P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "national_id"),
        ("B-MA 1234", "plate"),
        ("AB 123 CD", "plate"),
        ("BD51 SMR", "plate"),
        ("1234 BCD", "plate"),
        ("7ABC123", "plate"),
    ],
)
def test_telling_texts_are_known(text: str, kind: str) -> None:
    assert kind in sensitive_kinds(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "HOT",
        "OPEN 24 HOURS",
        "2026-11-23",
        "23.11.2026 12:34",
        "Nikon D850 f/2.8 1/250",
        "1,234,567.89",
        "4111 1111 1111 1112",  # fails the check of ISO/IEC 7812-1
        "0000000000000000",
        "12:30 - 14:45",
        "@home",
        "The quick brown fox",
        "v2.10.3",
    ],
)
def test_harmless_texts_are_left_alone(text: str) -> None:
    assert sensitive_kinds(text) == ()


def test_account_numbers_must_pass_their_check() -> None:
    assert "iban" not in sensitive_kinds("GB29 NWBK 6016 1331 9268 18")


@given(st.text(max_size=80))
def test_any_text_has_an_answer(text: str) -> None:
    assert len(set(sensitive_kinds(text))) == len(sensitive_kinds(text))


def test_a_number_that_was_read_in_parts_is_covered_whole() -> None:
    texts = ["4111", "1111", "1111", "1111", "Chocolate", "4111"]
    boxes = [(100.0 * at, 10.0, 100.0 * at + 80, 40.0) for at in range(4)]
    boxes += [(0.0, 80.0, 90.0, 110.0), (0.0, 300.0, 80.0, 330.0)]

    assert sensitive_places(texts, boxes) == (0, 1, 2, 3)


def test_parts_that_stand_far_apart_are_no_number() -> None:
    texts = ["4111", "1111", "1111", "1111"]
    boxes = [(500.0 * at, 10.0, 500.0 * at + 80, 40.0) for at in range(4)]

    assert sensitive_places(texts, boxes) == ()


def test_only_the_telling_texts_of_a_picture_are_named() -> None:
    texts = ["Invoice", "jane@example.org", "Total 12.00"]
    boxes = [(0.0, 30.0 * at, 200.0, 30.0 * at + 20) for at in range(3)]

    assert sensitive_places(texts, boxes) == (1,)
