"""Headers of ICO, PSD and JPEG 2000 files: size and kind of the picture, before a decoder allocates it.

Lives here: what Pillow reads too late (an icon is decoded while it is opened) or refuses without a reason. Must not:
decode pixels or read descriptive metadata.
"""

from pathlib import Path
from typing import BinaryIO

from media_assets.media.isobmff import iter_boxes
from media_assets.media.picture import corrupt, truncated, unsupported
from media_assets.media.structure import Structure

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIZ_MARKER = b"\xff\x51"
# Colour mode and bits of a channel that Pillow composes (Adobe Photoshop file format, file header section).
_PSD_MODES = {
    0: "bilevel",
    1: "greyscale",
    2: "indexed",
    3: "RGB",
    4: "CMYK",
    7: "multichannel",
    8: "duotone",
    9: "Lab",
}
_PSD_SUPPORTED = {(0, 1), (1, 8), (2, 8), (3, 8), (4, 8), (9, 8)}


def read_header(path: Path, format_name: str) -> Structure | None:
    """Return size and bit depth of an ICO, PSD or JPEG 2000 picture; ``None`` for every other format.

    Raises:
        ContentError: ``TRUNCATED``, ``CORRUPT``, or ``UNSUPPORTED_TYPE`` for kinds of Photoshop documents that
            cannot be shown.
    """
    readers = {"ico": _read_ico, "psd": _read_psd, "jp2": _read_jp2}
    if format_name not in readers:
        return None
    with path.open("rb") as file:
        found = readers[format_name](file, path.stat().st_size)
    if found.width_px < 1 or found.height_px < 1:
        raise corrupt(format_name.upper(), "a side of zero pixels")
    return found


def _read_ico(file: BinaryIO, size: int) -> Structure:
    """Return the largest size that any picture of the icon announces in its own header, not in the list."""
    count = int.from_bytes(file.read(6)[4:6], "little")
    entries = [file.read(16) for _ in range(count)]
    largest = (0, 0)
    for entry in entries:
        length, offset = (int.from_bytes(entry[i : i + 4], "little") for i in (8, 12))
        if len(entry) < 16 or offset + length > size:
            raise truncated("icon")
        file.seek(offset)
        head = file.read(24)
        if head.startswith(_PNG_SIGNATURE):
            width, height = (int.from_bytes(head[i : i + 4], "big") for i in (16, 20))
        else:  # a bitmap without file header; its height counts the mask below the picture
            width = abs(int.from_bytes(head[4:8], "little", signed=True))
            height = abs(int.from_bytes(head[8:12], "little", signed=True)) // 2
        largest = max(largest, (width, height), key=lambda sides: sides[0] * sides[1])
    return Structure(*largest)


def _read_psd(file: BinaryIO, _size: int) -> Structure:
    head = file.read(26)
    if len(head) < 26:
        raise truncated("PSD")
    height, width = (int.from_bytes(head[i : i + 4], "big") for i in (14, 18))
    bits, mode = (int.from_bytes(head[i : i + 2], "big") for i in (22, 24))
    if (mode, bits) not in _PSD_SUPPORTED:
        raise unsupported("PSD", f"{bits} bits, {_PSD_MODES.get(mode, 'an unknown colour mode')}")
    return Structure(width, height, bits)


def _read_jp2(file: BinaryIO, size: int) -> Structure:
    """Read the SIZ segment, the first of every codestream (ITU-T T.800, A.5.1)."""
    start = 0
    if file.read(8)[4:] == b"jP  ":
        start = next((box.body for box in iter_boxes(file, 0, size) if box.kind == b"jp2c"), size)
    file.seek(start)
    head = file.read(43)
    if len(head) < 43:
        raise truncated("JPEG 2000")
    if head[2:4] != _SIZ_MARKER:
        raise corrupt("JPEG 2000", "no size")
    right, bottom, left, top = (int.from_bytes(head[i : i + 4], "big") for i in (8, 12, 16, 20))
    return Structure(right - left, bottom - top, (head[42] & 0x7F) + 1)
