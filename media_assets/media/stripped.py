"""A picture file without anything but its picture: the same pixels, coded as they were, and no metadata.

Lives here: which parts of JPEG, PNG, GIF and WebP make the picture. Must not: decode, judge whether the copy shows the
same, which depends on what was left out (orientation, colour profile). A part that is not known is left out.
"""

import re
from collections.abc import Callable, Iterator, Mapping

from media_assets.media.errors import ContentError, ReasonCode

_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_JPEG_PICTURE = {*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD} - {0xC8}  # ITU-T T.81, table B.1
_JFIF, _ADOBE = b"JFIF\0", b"Adobe"
_JFIF_BYTES, _ADOBE_BYTES = 14, 12  # without the thumbnail that may follow
_PNG_PICTURE = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"gAMA", b"sRGB", b"acTL", b"fcTL", b"fdAT"}
_GIF_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_WEBP_FRAME = {b"VP8 ", b"VP8L", b"ALPH"}
_WEBP_HAS_ALPHA, _WEBP_IS_ANIMATED = 0x10, 0x02
_ANMF_HEADER_BYTES = 16


def strip_metadata(data: bytes, format_name: str) -> bytes | None:
    """Return the file with the parts that make its picture or animation only; ``None`` for formats without a stripper.

    Left out: EXIF, XMP, IPTC, comments, colour profiles, thumbnails, other pictures and whatever follows the end.

    Args:
        data: A whole file that :func:`media_assets.media.structure.read_structure` has accepted.
        format_name: ``jpeg``, ``png``, ``apng``, ``gif`` or ``webp``.

    Raises:
        ContentError: The file ends early after all.
    """
    strippers: Mapping[str, Callable[[bytes], Iterator[bytes]]] = {
        "jpeg": _jpeg_parts,
        "png": _png_parts,
        "apng": _png_parts,
        "gif": _gif_parts,
    }
    try:
        if format_name == "webp":
            return _stripped_webp(data)
        return b"".join(strippers[format_name](data)) if format_name in strippers else None
    except IndexError as error:
        raise ContentError(
            ReasonCode.TRUNCATED, "The picture data ends early. Upload the file again.", "render"
        ) from error


def _jpeg_parts(data: bytes) -> Iterator[bytes]:
    yield data[:2]
    position = 2
    while match := _JPEG_MARKER.search(data, position):
        marker, start = data[match.start() + 1], match.end()
        if marker == 0xD9:
            yield b"\xff\xd9"
            return
        if marker in {0x01, 0xD8}:
            position = start
            continue
        position = start + int.from_bytes(data[start : start + 2], "big")
        body = data[start + 2 : position]
        if marker in _JPEG_PICTURE:
            yield data[match.start() : position]
        elif marker == 0xE0 and body.startswith(_JFIF):
            yield _segment(marker, body[: _JFIF_BYTES - 2] + bytes(2))  # a thumbnail of 0 x 0 pixels
        elif marker == 0xEE and body.startswith(_ADOBE):
            yield _segment(marker, body[:_ADOBE_BYTES])
        if marker == 0xDA:
            following = _JPEG_MARKER.search(data, position)
            end = following.start() if following else len(data)
            yield data[position:end]
            position = end
    raise IndexError("no end mark")


def _segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def _png_parts(data: bytes) -> Iterator[bytes]:
    yield data[:8]
    position = 8
    while position + 12 <= len(data):
        kind = data[position + 4 : position + 8]
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if kind in _PNG_PICTURE:
            yield data[position:end]
        if kind == b"IEND":
            return
        position = end
    raise IndexError("no end chunk")


def _gif_parts(data: bytes) -> Iterator[bytes]:
    position = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    yield data[:position]
    while position < len(data) and data[position] != 0x3B:
        start, block = position, data[position]
        if block == 0x2C:
            local = data[position + 9]
            position = _sub_blocks_end(data, position + 11 + (3 << ((local & 7) + 1) if local & 0x80 else 0))
            yield data[start:position]
        elif block == 0x21:
            label = data[position + 1]
            position = _sub_blocks_end(data, position + 2)
            is_loop = label == 0xFF and data[start + 3 : start + 14] in _GIF_LOOPS
            if label == 0xF9 or is_loop:
                yield data[start:position]
        else:  # padding that some writers leave between blocks
            position += 1
    yield b"\x3b"


def _sub_blocks_end(data: bytes, position: int) -> int:
    while data[position]:
        position += 1 + data[position]
    return position + 1


def _stripped_webp(data: bytes) -> bytes:
    chunks = list(_riff_chunks(data[12 : 8 + int.from_bytes(data[4:8], "little")]))
    kinds = {kind for kind, _ in chunks}
    kept: list[bytes] = []
    for kind, body in chunks:
        if kind == b"VP8X" and kinds & {b"ALPH", b"ANMF"}:
            flags = body[0] & (_WEBP_HAS_ALPHA | _WEBP_IS_ANIMATED)
            kept.append(_chunk(kind, bytes((flags, 0, 0, 0)) + body[4:10]))
        elif kind == b"ANMF":
            frame = [_chunk(*part) for part in _riff_chunks(body[_ANMF_HEADER_BYTES:]) if part[0] in _WEBP_FRAME]
            kept.append(_chunk(kind, body[:_ANMF_HEADER_BYTES] + b"".join(frame)))
        elif kind in _WEBP_FRAME or kind == b"ANIM":
            kept.append(_chunk(kind, body))
    picture = b"WEBP" + b"".join(kept)
    return b"RIFF" + len(picture).to_bytes(4, "little") + picture


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + 8 <= len(data):
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        yield data[position : position + 4], data[position + 8 : position + 8 + length]
        position += 8 + length + (length & 1)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(4, "little") + body + bytes(len(body) & 1)
