"""Walks over JPEG, PNG, GIF and WebP files without decoding: is all of it there, how large, how many frames.

Lives here: the checks that Pillow does not make (it shows damaged JPEG and GIF files as good and allocates a WebP
canvas while it opens the file). Must not: decode pixels or read descriptive metadata.
"""

import mmap
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from media_assets.media.errors import ContentError, ReasonCode

_MAX_JPEG_SCANS = 500  # real progressive files have about ten; thousands of scans keep a decoder busy for minutes
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_JPEG_SUPPORTED_SOF = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}  # baseline, extended and progressive; Huffman or arithmetic
_JPEG_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PNG_CRITICAL = {b"acTL", b"fcTL", b"fdAT"}  # of an animation; the others start with a capital letter
_PNG_FIRST_ANCILLARY = ord("a")


@dataclass(frozen=True)
class Structure:
    """What a walk over the file found.

    Attributes:
        width_px: Width before orientation.
        height_px: Height before orientation.
        bit_depth: Bits of a channel; ``None`` when the format does not say.
        frame_count: Frames; ``None`` for JPEG, which has none.
        duration_s: Sum of the frame delays of an animation, else ``None``.
        is_animated: More than one frame.
        damaged_parts: Byte ranges (start, end) that only describe the picture and are damaged: a decoder that is
            strict about them must not see them.
        warnings: Recoverable oddities, for people.
        end: Offset behind the end mark of a JPEG, where other files may be appended; ``None`` for other formats.
    """

    width_px: int
    height_px: int
    bit_depth: int | None = None
    frame_count: int | None = None
    duration_s: float | None = None
    is_animated: bool = False
    damaged_parts: tuple[tuple[int, int], ...] = ()
    warnings: tuple[str, ...] = ()
    end: int | None = None


def _corrupt(what: str, detail: str) -> ContentError:
    return ContentError(ReasonCode.CORRUPT, f"The {what} data is damaged ({detail}). Upload the file again.", "decode")


def _truncated(what: str) -> ContentError:
    return ContentError(
        ReasonCode.TRUNCATED, f"The {what} data ends early (truncated upload). Upload the file again.", "decode"
    )


def read_structure(path: Path, format_name: str, *, max_frames: int) -> Structure | None:
    """Walk over a JPEG, PNG, GIF or WebP file; ``None`` for every other format.

    The file is mapped, not read into memory.

    Raises:
        ContentError: ``TRUNCATED``, ``CORRUPT``, ``TOO_MANY_FRAMES``, or ``UNSUPPORTED_TYPE`` for JPEG processes that
            no common decoder knows (lossless, 12 bits).
    """
    walks: dict[str, tuple[str, Callable[[mmap.mmap, int], Structure]]] = {
        "jpeg": ("JPEG", _walk_jpeg),
        "png": ("PNG", _walk_png),
        "apng": ("PNG", _walk_png),
        "gif": ("GIF", _walk_gif),
        "webp": ("WebP", _walk_webp),
    }
    if format_name not in walks:
        return None
    name, walk = walks[format_name]
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            found = walk(data, max_frames)
        except IndexError as error:
            raise _truncated(name) from error
    if found.width_px < 1 or found.height_px < 1:
        raise _corrupt(name, "a side of zero pixels")
    return found


def _check_frames(count: int, max_frames: int) -> None:
    if count > max_frames:
        raise ContentError(
            ReasonCode.TOO_MANY_FRAMES,
            f"The animation has more than {max_frames} frames. Upload a shorter one or a video.",
            "decode",
        )


def _walk_jpeg(data: mmap.mmap, _max_frames: int) -> Structure:
    """Follow the markers to EOI (ITU-T T.81 annex B). What follows EOI (a motion photo's video) is not read."""
    position, size, scans = 2, len(data), 0
    frame: Structure | None = None
    while position < size:
        match = _JPEG_MARKER.search(data, position)  # also skips garbage between segments, as libjpeg does
        if match is None:
            break
        marker, position = data[match.start() + 1], match.end()
        if marker == 0xD9:
            if frame is None or scans == 0:
                raise ContentError(ReasonCode.NO_PICTURE, "The JPEG holds no picture. Upload the original.", "decode")
            return replace(frame, end=position)
        if marker in {0x01, 0xD8}:
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        if length < 2:
            raise _corrupt("JPEG", "a segment without a length")
        if marker in _JPEG_SOF and frame is None:
            frame = _jpeg_frame(data, position, marker)
        if marker == 0xDA:
            scans += 1
            if scans > _MAX_JPEG_SCANS:
                raise _corrupt("JPEG", f"more than {_MAX_JPEG_SCANS} scans")
        position += length
    raise _truncated("JPEG")


def _jpeg_frame(data: mmap.mmap, position: int, marker: int) -> Structure:
    precision = data[position + 2]
    if marker not in _JPEG_SUPPORTED_SOF or precision != 8:
        raise ContentError(
            ReasonCode.UNSUPPORTED_TYPE,
            f"The JPEG uses a rare coding ({precision} bits, process {marker - 0xC0}) that cannot be decoded. "
            "Upload it as a common JPEG, PNG or TIFF.",
            "decode",
        )
    height = int.from_bytes(data[position + 3 : position + 5], "big")
    width = int.from_bytes(data[position + 5 : position + 7], "big")
    return Structure(width, height, bit_depth=precision)


def _walk_png(data: mmap.mmap, max_frames: int) -> Structure:
    """Check order and CRC of the chunks that make the picture (PNG third edition, section 5)."""
    position, size = 8, len(data)
    width = height = depth = frames = 0
    duration, has_data = 0.0, False
    damaged: list[tuple[int, int]] = []
    with memoryview(data) as view:
        while position + 12 <= size:
            length = int.from_bytes(data[position : position + 4], "big")
            kind, body = data[position + 4 : position + 8], position + 8
            if body + length + 4 > size:
                raise _truncated("PNG")
            with view[position + 4 : body + length] as covered:
                crc = zlib.crc32(covered)
            if crc != int.from_bytes(data[body + length : body + length + 4], "big"):
                if kind in _PNG_CRITICAL or kind[0] < _PNG_FIRST_ANCILLARY:
                    raise _corrupt("PNG", f"wrong checksum of chunk {kind.decode('ascii', 'replace')}")
                damaged.append((position, body + length + 4))
            if not width and kind != b"IHDR" and kind != b"CgBI":
                raise _corrupt("PNG", "no header chunk")
            if kind == b"IHDR":
                width, height = (int.from_bytes(data[body + i : body + i + 4], "big") for i in (0, 4))
                depth = data[body + 8]
                if not width or not height:
                    raise _corrupt("PNG", "a side of zero pixels")
            elif kind == b"acTL":
                frames = int.from_bytes(data[body : body + 4], "big")
                _check_frames(frames, max_frames)
            elif kind == b"fcTL" and length >= 24:
                numerator, denominator = (int.from_bytes(data[body + i : body + i + 2], "big") for i in (20, 22))
                duration += numerator / (denominator or 100)  # APNG: a denominator of 0 means 100
            has_data = has_data or kind == b"IDAT"
            position = body + length + 4
            if kind == b"IEND":
                if not has_data:
                    raise _corrupt("PNG", "no picture data")
                animated = frames > 1
                notes = ("A descriptive chunk of the PNG is damaged and was ignored.",) if damaged else ()
                seconds = duration if animated else None
                return Structure(width, height, depth, max(frames, 1), seconds, animated, tuple(damaged), notes)
    raise _truncated("PNG")


def _gif_sub_blocks_end(data: mmap.mmap, position: int) -> int:
    """Return the offset after a chain of sub-blocks; IndexError when the file ends inside it."""
    while data[position]:
        position += 1 + data[position]
    return position + 1


def _walk_gif(data: mmap.mmap, max_frames: int) -> Structure:
    """Follow the blocks to the trailer (GIF89a section 15 to 27)."""
    width, height = (int.from_bytes(data[i : i + 2], "little") for i in (6, 8))
    flags, size = data[10], len(data)
    position = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    frames, delay_cs, warnings = 0, 0, ["The GIF has no end mark."]
    while position < size:
        block = data[position]
        if block == 0x3B:
            warnings = []
            break
        if block == 0x2C:
            frames += 1
            _check_frames(frames, max_frames)
            local = data[position + 9]
            position += 10 + (3 << ((local & 7) + 1) if local & 0x80 else 0)
            if not 1 <= data[position] <= 11:
                raise _corrupt("GIF", "an impossible code size")
            position = _gif_sub_blocks_end(data, position + 1)
        elif block == 0x21:
            if data[position + 1] == 0xF9 and data[position + 2] == 4:
                delay_cs += int.from_bytes(data[position + 4 : position + 6], "little")
            position = _gif_sub_blocks_end(data, position + 2)
        elif block == 0:  # padding that some writers leave between blocks
            position += 1
        else:
            raise _corrupt("GIF", "an unknown block")
    if not frames:
        raise ContentError(ReasonCode.NO_PICTURE, "The GIF holds no picture. Upload the original.", "decode")
    animated = frames > 1
    return Structure(width, height, None, frames, delay_cs / 100 if animated else None, animated, (), tuple(warnings))


def _walk_webp(data: mmap.mmap, max_frames: int) -> Structure:
    """Follow the RIFF chunks (WebP container specification); read the size before libwebp allocates a canvas."""
    end = int.from_bytes(data[4:8], "little") + 8
    if end > len(data):
        raise _truncated("WebP")
    position, frames, duration_ms = 12, 0, 0
    width = height = 0
    while position + 8 <= end:
        kind, length = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        body = position + 8
        if body + length > end:
            raise _truncated("WebP")
        if kind == b"VP8X":
            width, height = (1 + int.from_bytes(data[body + i : body + i + 3], "little") for i in (4, 7))
        elif kind == b"ANMF":
            frames += 1
            _check_frames(frames, max_frames)
            duration_ms += int.from_bytes(data[body + 12 : body + 15], "little")
        elif kind == b"VP8 " and not width:
            width, height = (int.from_bytes(data[body + i : body + i + 2], "little") & 0x3FFF for i in (6, 8))
        elif kind == b"VP8L" and not width:
            bits = int.from_bytes(data[body + 1 : body + 5], "little")
            width, height = (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
        position = body + length + (length & 1)
    animated = frames > 1
    return Structure(width, height, 8, max(frames, 1), duration_ms / 1000 if animated else None, animated)


def check_stream_complete(path: Path, format_name: str) -> None:
    """Raise ContentError ``TRUNCATED`` when an AVI, Matroska or WebM file is shorter than its outermost element says.

    Elements of unknown size, as live recorders write them, pass.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4096)
    if format_name == "avi":
        end: int | None = int.from_bytes(head[4:8], "little") + 8
    elif format_name in {"mkv", "webm"}:
        end = _segment_end(head)
    else:
        return
    if end is not None and end > size:
        raise _truncated("video")


def _segment_end(head: bytes) -> int | None:
    """Return where the Matroska Segment ends (RFC 8794), or ``None`` when its size is unknown or not in the head."""
    position = 0
    while position + 12 <= len(head):
        id_length = 9 - head[position].bit_length()
        size_at = position + id_length
        if id_length > 4 or size_at >= len(head):
            return None
        size_length = 9 - head[size_at].bit_length()
        if size_length > 8:
            return None
        body = size_at + size_length
        unknown = (1 << 7 * size_length) - 1
        length = int.from_bytes(head[size_at:body], "big") & unknown
        if head[position:size_at] == b"\x18\x53\x80\x67":
            return None if length == unknown else body + length
        if length == unknown:
            return None
        position = body + length
    return None
