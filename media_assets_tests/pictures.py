"""Tiny pictures made in code, sound and broken ones, for tests of everything above the media layer."""

import functools
import io

from PIL import Image


def jpeg(seed: int = 0, size: tuple[int, int] = (48, 32)) -> bytes:
    """A JPEG that differs from those of other seeds below 1000."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (seed % 8 * 32, seed // 8 % 8 * 32, seed // 64 * 15)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def png(seed: int = 0, size: tuple[int, int] = (48, 32)) -> bytes:
    """A PNG with transparency."""
    buffer = io.BytesIO()
    Image.new("RGBA", size, (seed % 256, 90, 10, 200)).save(buffer, "PNG")
    return buffer.getvalue()


def truncated_jpeg() -> bytes:
    """The first half of a picture with so much detail that its data is cut, not only its end mark."""
    buffer = io.BytesIO()
    Image.effect_noise((160, 120), 90).convert("RGB").save(buffer, "JPEG", quality=90)
    return buffer.getvalue()[: len(buffer.getvalue()) // 2]


@functools.cache
def slow_png() -> bytes:
    """A small file that takes a decoder about a second: many pixels that compress to nothing."""
    buffer = io.BytesIO()
    Image.new("L", (12000, 12000)).save(buffer, "PNG")
    return buffer.getvalue()


TIFF_SHORT, TIFF_LONG, TIFF_ASCII, TIFF_UNDEFINED, TIFF_SRATIONAL = 3, 4, 2, 7, 10
Tags = dict[int, tuple[int, bytes]]


def short(*numbers: int) -> tuple[int, bytes]:
    """A TIFF value of 16-bit numbers: its type and its bytes."""
    return TIFF_SHORT, b"".join(number.to_bytes(2, "little") for number in numbers)


def long(*numbers: int) -> tuple[int, bytes]:
    """A TIFF value of 32-bit numbers."""
    return TIFF_LONG, b"".join(number.to_bytes(4, "little") for number in numbers)


def ascii_text(text: str) -> tuple[int, bytes]:
    """A TIFF value of text."""
    return TIFF_ASCII, text.encode("ascii") + b"\0"


_SIZES = {TIFF_SHORT: 2, TIFF_LONG: 4, TIFF_ASCII: 1, TIFF_UNDEFINED: 1, TIFF_SRATIONAL: 8}
_STRIP_OFFSETS, _STRIP_BYTE_COUNTS, _SUB_IFDS = 273, 279, 330


def tiff(tags: Tags, *strips: bytes, below: tuple[tuple[Tags, bytes], ...] = (), magic: bytes = b"II*\0") -> bytes:
    """A little-endian TIFF with one directory in the chain and others, with a strip each, in its SubIFDs."""
    blob = bytearray(magic + bytes(4))
    offsets = [_append_directory(blob, dict(inner), (strip,)) for inner, strip in below]
    first = dict(tags)
    if offsets:
        first[_SUB_IFDS] = long(*offsets)
    blob[4:8] = _append_directory(blob, first, strips).to_bytes(4, "little")
    return bytes(blob)


def _append_directory(blob: bytearray, tags: Tags, strips: tuple[bytes, ...]) -> int:
    def put(part: bytes) -> int:
        blob.extend(bytes(len(blob) % 2))
        blob.extend(part)
        return len(blob) - len(part)

    if strips:
        tags |= {_STRIP_OFFSETS: long(*map(put, strips)), _STRIP_BYTE_COUNTS: long(*map(len, strips))}
    entries = b""
    for tag, (kind, value) in sorted(tags.items()):
        place = value.ljust(4, b"\0") if len(value) <= 4 else put(value).to_bytes(4, "little")
        entries += tag.to_bytes(2, "little") + kind.to_bytes(2, "little")
        entries += (len(value) // _SIZES[kind]).to_bytes(4, "little") + place
    return put(len(tags).to_bytes(2, "little") + entries + bytes(4))


def dng(
    size: tuple[int, int] = (160, 120),
    *,
    orientation: int = 1,
    preview: bytes | None = None,
    preview_size: tuple[int, int] = (0, 0),
    compression: int = 1,
) -> bytes:
    """A DNG of a 16-bit Bayer sensor that saw red on the left and blue on the right, with or without a JPEG preview."""
    width, height = size
    rows = []
    for y in range(height):
        row = bytearray()
        for x in range(width):
            is_red, is_blue = y % 2 == 0 and x % 2 == 0, y % 2 == 1 and x % 2 == 1
            lit = is_red if x < width // 2 else is_blue
            row += (40_000 if lit else 1_000).to_bytes(2, "little")
        rows.append(bytes(row))
    identity = b"".join(
        (int(row == column)).to_bytes(4, "little") + (1).to_bytes(4, "little")
        for row in range(3)
        for column in range(3)
    )
    sensor: Tags = {
        254: long(0),
        256: long(width),
        257: long(height),
        258: short(16),
        259: short(compression),
        262: short(32803),
        277: short(1),
        33421: short(2, 2),
        33422: (TIFF_UNDEFINED, bytes([0, 1, 1, 2])),
    }
    camera: Tags = {
        271: ascii_text("TestCam"),
        272: ascii_text("Model 1"),
        274: short(orientation),
        50706: (TIFF_UNDEFINED, bytes([1, 4, 0, 0])),
        50708: ascii_text("TestCam Model 1"),
        50721: (TIFF_SRATIONAL, identity),
    }
    data = b"".join(rows)
    if preview is None:
        return tiff(camera | sensor, data)
    shown: Tags = {
        254: long(1),
        256: long(preview_size[0]),
        257: long(preview_size[1]),
        258: short(8, 8, 8),
        259: short(7),
        262: short(6),
        277: short(3),
    }
    return tiff(camera | shown, preview, below=((sensor, data),))
