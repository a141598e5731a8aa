"""The header of Windows Media files (ASF specification, Microsoft, 2004, section 3).

Lives here: when the file was made and whether all of it is there. Must not: decode; FFmpeg reads the rest.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from media_assets.media.errors import ContentError, ReasonCode

_HEAD_BYTES = 64 * 2**10
_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_FIRST_YEAR = 1990  # older than the format: the writer did not know
_HEADER_OBJECT_BYTES = 30
_MAX_OBJECTS = 1000


@dataclass(frozen=True)
class AsfProperties:
    """What the file properties object says.

    Attributes:
        created: Creation time in UTC; ``None`` when it is zero or no date.
    """

    created: datetime | None


def read_asf_properties(path: Path) -> AsfProperties:
    """Return the file properties of an ASF file.

    Raises:
        ContentError: ``TRUNCATED`` when the file is shorter than a finished recording says it is.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    position = _HEADER_OBJECT_BYTES
    for _ in range(_MAX_OBJECTS):
        length = int.from_bytes(head[position + 16 : position + 24], "little")
        if head[position : position + 16] == _FILE_PROPERTIES and position + 104 <= len(head):
            return _read_properties(head[position : position + 104], size)
        if length < 24 or position + length >= len(head):
            break
        position += length
    return AsfProperties(None)


def _read_properties(properties: bytes, file_size: int) -> AsfProperties:
    stated_size = int.from_bytes(properties[40:48], "little")
    is_broadcast = properties[88] & 1  # the fields are not valid in a file that is still being written
    if not is_broadcast and stated_size > file_size:
        raise ContentError(
            ReasonCode.TRUNCATED, "The video data ends early (truncated upload). Upload the file again.", "decode"
        )
    return AsfProperties(None if is_broadcast else from_file_time(int.from_bytes(properties[48:56], "little")))


def from_file_time(ticks: int) -> datetime | None:
    """Return the UTC time of a Windows file time (100 ns since 1601), or ``None`` when it is no plausible date."""
    try:
        found = _EPOCH + timedelta(microseconds=ticks // 10)
    except OverflowError:
        return None
    return found if found.year >= _FIRST_YEAR else None
