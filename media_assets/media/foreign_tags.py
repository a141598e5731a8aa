"""What a file says besides its picture: every part of a copy that is not on the list of what may leave the library.

A walk over the structure of JPEG, PNG and MP4, apart from the writers and from the reader of metadata: it does not look
for known tags, it names whatever is not allowed. Must not: decode pixels.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

_JPEG_SOI, _JPEG_EOI, _JPEG_SOS = 0xD8, 0xD9, 0xDA
_JPEG_ALONE = {0x01, *range(0xD0, 0xD8)}
# Frame headers, tables and restart intervals; APP0 and APP2 are looked into, APP14 tells the colour transform.
_JPEG_ALLOWED = {*range(0xC0, 0xD0), 0xDB, 0xDD} - {0xC8}
_ICC = b"ICC_PROFILE\x00"

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_ALLOWED = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"sBIT", b"pHYs"}

_MP4_FOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"edts", b"mvex", b"moof", b"traf", b"mfra"}
_MP4_ALLOWED = {
    *(b"ftyp", b"mdat", b"free", b"sidx", b"mvhd", b"tkhd", b"elst", b"mdhd", b"hdlr", b"vmhd", b"smhd", b"dref"),
    *(b"stsd", b"stts", b"ctts", b"stss", b"stsc", b"stsz", b"stco", b"co64", b"sgpd", b"sbgp", b"sdtp", b"cslg"),
    *(b"trex", b"mehd", b"mfhd", b"tfhd", b"tfdt", b"trun", b"tfra", b"mfro"),
}
_MP4_TRACKS = {b"vide", b"soun"}
_MP4_NAMES = {b"", b"VideoHandler", b"SoundHandler"}  # what FFmpeg calls them when nobody else does
# What FFmpeg writes where there is nothing to say: an empty list of items.
_MP4_NOTHING_SAID = bytes.fromhex(
    "000000356d657461 00000000 0000002168646c72 00000000 00000000 6d6469726170706c 00000000 00000000 0000000008696c7374"
)
_UNDETERMINED = b"\x55\xc4"  # "und" in ISO 639-2/T, three times five bits
_READ_BYTES = 65_536
_MOST = 1000  # boxes, segments or chunks; our own writers make some dozens, but for the samples of fragments


def foreign_tags(path: Path) -> tuple[str, ...]:
    """Return a name for each part that may not leave the library; empty for a clean copy.

    Allowed are the picture, its colour profile, its density and, in videos, sound.

    Args:
        path: A JPEG, PNG or MP4 file. Of any other file the answer is that it is none of these.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if head[:2] == b"\xff\xd8":
        return tuple(_of_jpeg(path.read_bytes()))
    if head[:8] == _PNG_MAGIC:
        return tuple(_of_png(path.read_bytes()))
    if head[4:8] == b"ftyp":
        return tuple(_of_mp4(path))
    return ("format",)


def _of_jpeg(data: bytes) -> Iterator[str]:
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            yield "jpeg:bytes between segments"
            return
        marker = data[at + 1]
        if marker == _JPEG_EOI:
            if at + 2 < len(data):
                yield "jpeg:bytes behind the end"
            return
        if marker in _JPEG_ALONE:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        if not _is_allowed_segment(marker, body):
            yield f"jpeg:{_segment_name(marker, body)}"
        at += 2 + length
        if marker == _JPEG_SOS:
            at = _end_of_scan(data, at)
    if data[at : at + 2] != bytes((0xFF, _JPEG_EOI)):
        yield "jpeg:no end"


def _is_allowed_segment(marker: int, body: bytes) -> bool:
    if marker == 0xE0:  # JFIF with a thumbnail would show the picture before it was covered
        return body[:5] == b"JFIF\x00" and len(body) == 14 and body[12:14] == b"\x00\x00"
    if marker == 0xE2:
        return body.startswith(_ICC)
    if marker == 0xEE:
        return body[:5] == b"Adobe" and len(body) == 12
    return marker in _JPEG_ALLOWED or marker == _JPEG_SOS


def _segment_name(marker: int, body: bytes) -> str:
    word = body[:24].split(b"\x00")[0].decode("ascii", "replace")
    name = f"APP{marker - 0xE0}" if 0xE0 <= marker <= 0xEF else "COM" if marker == 0xFE else f"{marker:02X}"
    return f"{name} {word}".strip() if name.startswith("APP") and word.isprintable() else name


def _end_of_scan(data: bytes, at: int) -> int:
    """Offset of the first marker behind entropy-coded data."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            return len(data)
        if data[at + 1] != 0 and data[at + 1] not in _JPEG_ALONE:
            return at
        at += 2


def _of_png(data: bytes) -> Iterator[str]:
    at = len(_PNG_MAGIC)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind not in _PNG_ALLOWED:
            yield f"png:{kind.decode('ascii', 'replace')}"
        at += 12 + length
        if kind == b"IEND":
            if at != len(data):
                yield "png:bytes behind the end"
            return
    yield "png:no end"


def _of_mp4(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        todo, seen = [(0, path.stat().st_size)], 0
        while todo:
            at, end = todo.pop()
            while at < end:
                seen += 1
                file.seek(at)
                found = _box(file.read(16), end - at)
                if found is None or seen > _MOST:
                    yield "mp4:structure"
                    return
                kind, head, length = found
                if kind in _MP4_FOLDERS:
                    todo.append((at + head, at + length))
                elif kind != b"mdat":
                    file.seek(at + head)
                    yield from _of_box(kind, file.read(min(length - head, _READ_BYTES)), length - head)
                at += length


def _box(head: bytes, room: int) -> tuple[bytes, int, int] | None:
    """Kind, length of the head and whole length of a box; ``None``: there is none in these bytes."""
    if len(head) < 8:
        return None
    length, kind = struct.unpack_from(">I4s", head)
    size = 8
    if length == 1 and len(head) == 16:
        (length,), size = struct.unpack_from(">Q", head, 8), 16
    length = room if length == 0 else length
    return (kind, size, length) if size <= length <= room else None


def _of_box(kind: bytes, body: bytes, length: int) -> Iterator[str]:
    if kind == b"udta" and body == _MP4_NOTHING_SAID:
        return
    if kind not in _MP4_ALLOWED:
        yield f"mp4:{kind.decode('latin-1')}"
    elif kind == b"free":
        if any(body) or length > len(body):
            yield "mp4:free with content"
    elif kind in (b"mvhd", b"tkhd", b"mdhd"):
        width = 8 if body[:1] == b"\x01" else 4
        if any(body[4 : 4 + 2 * width]):
            yield f"mp4:time in {kind.decode()}"
        language = 32 if width == 8 else 20
        if kind == b"mdhd" and body[language : language + 2] != _UNDETERMINED:
            yield "mp4:language"
    elif kind == b"hdlr":
        if body[8:12] not in _MP4_TRACKS:
            yield f"mp4:track {body[8:12].decode('latin-1')}"
        if body[24:].rstrip(b"\x00") not in _MP4_NAMES:
            yield "mp4:name of a track"
