"""Cleaning of text that files carry, before it reaches a table or a message.

Lives here: bounds, NUL, control characters, encodings. Must not: know any tag or format.
"""

import unicodedata

MAX_TEXT_CHARS = 1000
"""Longest text that is kept of one tag."""

_SPACES = str.maketrans({"\t": " ", "\n": " ", "\r": " ", "\v": " ", "\f": " "})


def clean_text(value: str | bytes) -> str | None:
    """Return readable text of a tag, or ``None`` when nothing is left.

    Cut at the first NUL (C strings in EXIF and QuickTime end there), control characters out, line breaks become
    spaces, surrounding blanks out, at most :data:`MAX_TEXT_CHARS` characters. Bytes are UTF-8, else Latin-1. Direction
    marks and other format characters stay: they are part of some scripts, and who shows the text escapes it.
    """
    text = decode_text(value) if isinstance(value, bytes) else value
    text = text[: 8 * MAX_TEXT_CHARS].partition("\0")[0].translate(_SPACES)
    if not text.isprintable():  # most texts are, and looking at each character is slow
        text = "".join(char for char in text if unicodedata.category(char) not in {"Cc", "Cs"})
    return text.strip()[:MAX_TEXT_CHARS].rstrip() or None


def decode_text(value: bytes) -> str:
    """Return bytes as UTF-8 (EXIF 3.0 section 4.6.2 allows it), or as Latin-1 when they are not UTF-8."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def repair_latin1(value: str) -> str:
    """Return text that was decoded as Latin-1 although it was UTF-8, as Pillow does with EXIF, decoded rightly."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def safe_name(file_name: str) -> str:
    """Return a file name for messages: its last component, readable, at most 100 characters."""
    name = file_name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(char if char.isprintable() else "?" for char in name)
    return shown if len(shown) <= 100 else f"{shown[:60]}…{shown[-39:]}"
