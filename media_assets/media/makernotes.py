"""The few maker notes that have a column.

Lives here: Apple's content identifier of Live Photos. Must not: decode maker notes in general; they are not documented
by their makers, and what they add to the columns is small.
"""

from media_assets.media.ifd import Directories
from media_assets.media.text import clean_text

_APPLE = b"Apple iOS\0"
_APPLE_DIRECTORY_AT = 14  # signature 10, version 2, byte order 2; offsets count from the signature
_CONTENT_IDENTIFIER = 0x11
_MAX_IDENTIFIER_CHARS = 64  # a UUID has 36


def apple_content_identifier(maker_note: object) -> str | None:
    """Return what joins the photo and the video of a Live Photo (tag 0x0011), or ``None`` for other notes.

    Args:
        maker_note: Raw value of EXIF tag ``MakerNote``.
    """
    if not isinstance(maker_note, bytes) or not maker_note.startswith(_APPLE):
        return None
    order = maker_note[12:14]
    if order not in {b"MM", b"II"}:
        return None
    # The note is a TIFF block but for its first 8 bytes.
    little = order == b"II"
    header = order + (42).to_bytes(2, "little" if little else "big")
    header += _APPLE_DIRECTORY_AT.to_bytes(4, "little" if little else "big")
    value = Directories(header + maker_note[8:]).first().get(_CONTENT_IDENTIFIER)
    text = clean_text(value) if isinstance(value, str | bytes) else None
    return text if text is None or len(text) <= _MAX_IDENTIFIER_CHARS else None
