"""Directories of a TIFF block (TIFF 6.0 section 2, EXIF 3.0 section 4.5.2), read from hostile bytes.

Lives here: header, entries, types, sub-directories, bounds. Must not: know what a tag means. An entry that is damaged
is left out and the others are kept; only a header that is none gives nothing at all.
"""

import io
import struct
from collections.abc import Mapping
from typing import BinaryIO

from media_assets.media.text import decode_text

MAX_ENTRIES = 1000
"""Most entries that are read of one directory; cameras write up to about 80, editors up to 200."""
MAX_VALUE_BYTES = 64 * 1024
"""Longest value that is read: longer ones are data (strips, curves), not description."""
MAX_NUMBERS = 1024
"""Most numbers of one value, for the same reason."""
MAX_PACKET_BYTES = 1024 * 1024
"""Longest value of the tags that hold a block of metadata of another kind."""
PACKET_TAGS = frozenset({700, 33723, 34377, 37500})
"""XMP packet, IPTC block, Photoshop resources, maker note: the tags that :data:`MAX_PACKET_BYTES` holds for."""

TagValue = str | bytes | float | tuple[float, ...]
"""``str`` for ASCII (without NULs at its end), ``bytes`` for BYTE and UNDEFINED, else one number or several.

A rational over 0 is NaN.
"""

# 42: TIFF, 43: BigTIFF; the rest is TIFF in all but the number: Panasonic RW2 (85), Olympus ORF ("RO", "RS").
_CLASSIC_MAGIC = {42, 0x55, 0x4F52, 0x5352}
_BIG_MAGIC = 43
_HEADERS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"IIU\0", b"IIRO", b"IIRS", b"MMOR")
_MAX_LEADING_BYTES = 64  # "Exif\0\0", once or twice, or the length field of a HEIF item
_BYTES = {1, 7}
_ASCII = 2
_NUMBERS = {3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_RATIONALS = {5: "I", 10: "i"}


class Directories:
    """The directories of one TIFF block, read when they are asked for.

    Attributes:
        damaged: Entries that were left out, because their type, length or place is impossible.
    """

    def __init__(self, source: bytes | BinaryIO) -> None:
        """Read the header.

        Args:
            source: The block, with or without leading bytes such as ``Exif`` NUL NUL; or an open file whose position is
                at the TIFF header. Offsets count from there; only directories and their values are read. The position
                afterwards is undefined.

        Raises:
            ValueError: There is no TIFF header.
            OSError: The file cannot be read.
        """
        self._file: BinaryIO = io.BytesIO(_without_leading_bytes(source)) if isinstance(source, bytes) else source
        self._base = self._file.tell()
        self._length = self._file.seek(0, io.SEEK_END) - self._base
        self.damaged = 0
        self._seen: set[int] = set()
        header = self._at(0, 16)
        order = {b"II": "<", b"MM": ">"}.get(header[:2])
        if order is None or len(header) < 8:
            raise ValueError("no TIFF header")
        self._order = order
        magic = struct.unpack_from(f"{order}H", header, 2)[0]
        self._is_big = magic == _BIG_MAGIC
        if not self._is_big and magic not in _CLASSIC_MAGIC:
            raise ValueError("no TIFF header")
        if self._is_big and len(header) < 16:
            raise ValueError("the BigTIFF header ends early")
        self._first = struct.unpack_from(f"{order}{'Q' if self._is_big else 'I'}", header, 8 if self._is_big else 4)[0]

    def first(self) -> dict[int, TagValue]:
        """Return IFD0."""
        return self.read(self._first)

    def below(self, directory: Mapping[int, object], tag: int) -> dict[int, TagValue]:
        """Return the directory that a tag of another one points to; empty when the tag is absent or no offset."""
        offset = directory.get(tag)
        if isinstance(offset, tuple):
            offset = offset[0] if offset else None
        if offset is None:
            return {}
        if not isinstance(offset, int):
            self.damaged += 1
            return {}
        return self.read(offset)

    def read(self, offset: int) -> dict[int, TagValue]:
        """Return the directory at an offset; one that was read before (a loop) or lies outside is empty and damaged."""
        count_format = f"{self._order}{'Q' if self._is_big else 'H'}"
        entry_size = 20 if self._is_big else 12
        start = offset + struct.calcsize(count_format)
        head = self._at(offset, struct.calcsize(count_format))
        if offset in self._seen or offset <= 0 or len(head) < struct.calcsize(count_format):
            self.damaged += 1
            return {}
        self._seen.add(offset)
        count = struct.unpack(count_format, head)[0]
        entries = self._at(start, min(count, MAX_ENTRIES) * entry_size)
        if count > MAX_ENTRIES or len(entries) < count * entry_size:
            self.damaged += 1
        found: dict[int, TagValue] = {}
        for position in range(0, len(entries) - entry_size + 1, entry_size):
            tag, value = self._entry(entries[position : position + entry_size])
            if value is not None:
                found.setdefault(tag, value)  # of a tag that occurs twice, exiftool and libexif take the first
        return found

    def _entry(self, entry: bytes) -> tuple[int, TagValue | None]:
        tag, kind = struct.unpack_from(f"{self._order}HH", entry)
        count = struct.unpack_from(f"{self._order}{'Q' if self._is_big else 'I'}", entry, 4)[0]
        inline = entry[12:] if self._is_big else entry[8:]
        size = count * _size_of(kind)
        if size == 0:  # an unknown type, or a tag without a value
            self.damaged += _size_of(kind) == 0
            return tag, None
        is_number = kind in _NUMBERS or kind in _RATIONALS
        if size > (MAX_PACKET_BYTES if tag in PACKET_TAGS else MAX_VALUE_BYTES) or (is_number and count > MAX_NUMBERS):
            # Too long is no damage when it is all there; strips of a RAW file are.
            return tag, None
        if size <= len(inline):
            data = inline[:size]
        else:
            data = self._at(struct.unpack(f"{self._order}{'Q' if self._is_big else 'I'}", inline)[0], size)
            if len(data) < size:
                self.damaged += 1
                return tag, None
        return tag, self._value(kind, count, data)

    def _value(self, kind: int, count: int, data: bytes) -> TagValue:
        if kind == _ASCII:
            # Each part by itself: behind the NUL of a C string there may be garbage.
            return "\0".join(map(decode_text, data.rstrip(b"\0").split(b"\0")))
        if kind in _BYTES:
            return data
        if kind in _RATIONALS:
            pairs = struct.unpack(f"{self._order}{2 * count}{_RATIONALS[kind]}", data)
            numbers = tuple(
                above / below if below else float("nan") for above, below in zip(pairs[::2], pairs[1::2], strict=True)
            )
        else:
            numbers = struct.unpack(f"{self._order}{count}{_NUMBERS[kind]}", data)
        return numbers[0] if count == 1 else numbers

    def _at(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes at an offset from the header, fewer at the end of the block."""
        if not 0 <= offset < self._length:
            return b""
        self._file.seek(self._base + offset)
        return self._file.read(min(size, self._length - offset))


def _size_of(kind: int) -> int:
    if kind in _BYTES or kind == _ASCII:
        return 1
    if kind in _RATIONALS:
        return 8
    return struct.calcsize(f"<{_NUMBERS[kind]}") if kind in _NUMBERS else 0


def _without_leading_bytes(block: bytes) -> bytes:
    starts = [start for start in (block.find(header, 0, _MAX_LEADING_BYTES) for header in _HEADERS) if start >= 0]
    return block[min(starts) :] if starts else block
