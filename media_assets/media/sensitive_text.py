"""Texts that tell who somebody is: e-mail addresses, telephone and account numbers, plates and the like.

Lives here: rules for a text as it was read. Must not: read texts, cover them. No detector of plates exists here: a
plate is covered when its characters were read and look like those of a plate.
"""

import re
from collections.abc import Sequence
from typing import Literal

Kind = Literal["email", "phone", "payment_card", "iban", "national_id", "plate"]

_EMAIL = re.compile(r"[\w.+-]{1,64}\s?@\s?[\w-]{1,63}(\s?\.\s?[A-Za-z]{2,24}){1,4}", re.UNICODE)
_PHONE = re.compile(r"(?<![\w.,/-])(?:\+|00)?\(?\d[\d\s().\-/]{5,20}\d(?![\w,:/-]|\.\d)")
_CARD = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
_IBAN = re.compile(r"(?<![A-Z0-9])[A-Z]{2}\d{2}(?:\s?[A-Z0-9]){11,30}")
_NATIONAL_IDS = (
    re.compile(r"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)"),  # United States
    re.compile(r"(?<![A-Z0-9])[ABCEGHJ-PRSTW-Z][ABCEGHJ-NPRSTW-Z]\s?\d{2}\s?\d{2}\s?\d{2}\s?[A-D](?![A-Z0-9])"),  # UK
    re.compile(r"(?<!\d)\d{6}[-+ ]\d{4}(?!\d)"),  # Sweden, Denmark
    re.compile(r"(?<![A-Z0-9])\d{8}-?[A-HJ-NP-TV-Z](?![A-Z0-9])"),  # Spain
    re.compile(r"(?<![A-Z0-9])[A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z](?![A-Z0-9])"),  # Italy
    re.compile(r"(?<!\d)[12]\s?\d{2}\s?(?:0[1-9]|1[0-2])\s?\d{2}\s?\d{3}\s?\d{3}\s?\d{2}(?!\d)"),  # France
    re.compile(r"[A-Z0-9<]{5,}<<[A-Z0-9<]{5,}"),  # machine-readable lines of passports
)
_PLATES = (
    re.compile(r"[A-ZÄÖÜ]{1,3}[ \-:·.]{1,3}[A-Z]{1,2}[ \-]?\d{1,4}[HE]?"),  # Germany
    re.compile(r"[A-Z]{2}[ -]?\d{3}[ -]?[A-Z]{2}"),  # France, Italy
    re.compile(r"[A-Z]{2}\d{2}\s?[A-Z]{3}"),  # United Kingdom
    re.compile(r"\d{4}\s?[BCDFGHJ-NPR-TV-Z]{3}"),  # Spain
    re.compile(r"[A-Z]{3}[ \-·]?\d{3,4}"),  # parts of the United States, Sweden, Brazil before 2018
    re.compile(r"\d[A-Z]{3}\d{3}"),  # California
    re.compile(r"[A-Z]{3}\d[A-Z]\d{2}"),  # Mercosur
    re.compile(r"[A-Z]{2}[ -]\d{2}[ -]?[A-Z]{1,2}[ -]?\d{4}"),  # India
    re.compile(r"(?:[A-Z]{2}-\d{2}-\d{2}|\d{2}-\d{2}-[A-Z]{2}|\d{2}-[A-Z]{2,3}-\d{1,2}|[A-Z]{2}-\d{3}-[A-Z])"),  # NL
)
# A date or a version is no telephone number; neither is a price list.
_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(?:[ T]+\d{1,2}[:.]\d{2}(?:[:.]\d{2})?)?")
_PHONE_DIGITS = (7, 15)  # E.164 ends at 15
_CARD_STARTS = "23456"
_MOST_PARTS = 5
_CENTRE_SHARE = 0.5  # of the lower line: two texts whose middles are closer in height are on one line


def sensitive_kinds(text: str) -> tuple[Kind, ...]:
    """Return what kinds of telling text are in a text, each once; nothing for a harmless one.

    Card numbers must pass the check of ISO/IEC 7812-1 annex B (Luhn), IBANs that of ISO 13616 (modulo 97).

    Args:
        text: One line, as it was read.
    """
    found: list[Kind] = []
    upper = text.strip().upper()
    if _EMAIL.search(text):
        found.append("email")
    if any(_is_card(match.group()) for match in _CARD.finditer(text)):
        found.append("payment_card")
    if any(_has_iban(match.group()) for match in _IBAN.finditer(upper)):
        found.append("iban")
    if any(pattern.search(upper) for pattern in _NATIONAL_IDS):
        found.append("national_id")
    if any(_is_phone(match.group()) for match in _PHONE.finditer(text)):
        found.append("phone")
    if any(pattern.fullmatch(upper) for pattern in _PLATES):
        found.append("plate")
    return tuple(found)


def sensitive_places(texts: Sequence[str], boxes: Sequence[tuple[float, float, float, float]]) -> tuple[int, ...]:
    """Return which of the texts of a picture are telling, alone or with what stands right of them on their line.

    Args:
        texts: As they were read.
        boxes: Where: x_min, y_min, x_max, y_max.

    Returns:
        Positions, rising.
    """
    alone = {at for at, text in enumerate(texts) if sensitive_kinds(text)}
    telling = set(alone)
    for line in _lines(boxes):
        for start in range(len(line)):
            # Readers split a long number at its blanks: into two to five parts.
            for end in range(start + 2, min(len(line), start + _MOST_PARTS) + 1):
                parts = line[start:end]
                if alone.isdisjoint(parts) and _is_number(texts, parts):
                    telling.update(parts)
                    break
    return tuple(sorted(telling))


def _is_number(texts: Sequence[str], parts: Sequence[int]) -> bool:
    """Tell whether parts of a line are a telling number, and the first one belongs to it; plates are read whole."""
    joined, rest = (set(sensitive_kinds(" ".join(texts[at] for at in some))) - {"plate"} for some in (parts, parts[1:]))
    return bool(joined - rest)


def _lines(boxes: Sequence[tuple[float, float, float, float]]) -> list[list[int]]:
    """Return positions of boxes that stand side by side and close, from left to right."""
    lines: list[list[int]] = []
    for at in sorted(range(len(boxes)), key=lambda one: boxes[one][0]):
        for line in lines:
            if _follows(boxes[line[-1]], boxes[at]):
                line.append(at)
                break
        else:
            lines.append([at])
    return [line for line in lines if len(line) > 1]


def _follows(left: tuple[float, float, float, float], right: tuple[float, float, float, float]) -> bool:
    height = min(left[3] - left[1], right[3] - right[1])
    apart = abs((left[1] + left[3]) - (right[1] + right[3])) / 2
    return apart <= _CENTRE_SHARE * height and right[0] - left[2] <= 2 * height


def _digits(text: str) -> str:
    return "".join(one for one in text if one.isdigit())


def _is_card(text: str) -> bool:
    digits = _digits(text)
    if digits[0] not in _CARD_STARTS or len(set(digits)) == 1:
        return False
    doubled = [int(one) * (1 + at % 2) for at, one in enumerate(reversed(digits))]
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0


def _has_iban(text: str) -> bool:
    """Return whether a text starts with an IBAN; what follows it may look like more of it."""
    compact = "".join(text.split())
    return any(_is_iban(compact[:length]) for length in range(15, min(len(compact), 34) + 1))


def _is_iban(compact: str) -> bool:
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(one, 36)) for one in turned)) % 97 == 1


def _is_phone(text: str) -> bool:
    digits = _digits(text)
    if not _PHONE_DIGITS[0] <= len(digits) <= _PHONE_DIGITS[1] or _DATE.fullmatch(text.strip()):
        return False
    # Without a sign that it is one, a run of digits is a number of something: a plus, a leading zero, or groups.
    return text.startswith(("+", "0", "(")) or len(re.findall(r"\d+", text)) >= 3
