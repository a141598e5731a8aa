"""Blocks of metadata that picture files carry beside their pixels: XMP, IPTC, comments, the video of a motion photo.

Lives here: where each container keeps them. Must not: read what they say (``xmp.py``, ``iptc.py``), decode pixels. HEIF
and JPEG XL keep theirs in boxes that their own readers return. What is damaged here never makes a picture bad.
"""

import io
import mmap
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from media_assets.media.errors import ContentError
from media_assets.media.ifd import Directories, TagValue
from media_assets.media.isobmff import iter_boxes
from media_assets.media.text import clean_text, decode_text

MAX_BLOCK_BYTES = 1024 * 1024
"""Longest XMP or IPTC block that is read; inflated ones are cut here too."""
_MAX_COMMENT_BYTES = 16 * 1024
_MAX_COMMENTS = 50
_MAX_CHUNKS = 10_000

_XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"
_PHOTOSHOP_SEGMENT = b"Photoshop 3.0\0"
_EXIF_SEGMENT = b"Exif\0\0"
_SAMSUNG_CLIP = b"MotionPhoto_Data"
_XMP_TAG, _IPTC_TAG, _PHOTOSHOP_TAG, _ICC_TAG = 700, 33723, 34377, 34675
_IPTC_RESOURCE, _ICC_RESOURCE, _EXIF_RESOURCE, _XMP_RESOURCE = 0x0404, 0x040F, 0x0422, 0x0424
_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_IPTC_UUID = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
_EXIF_UUID = b"JpgTiffExif->JP2"
_RESTRICTED_ICC, _ANY_ICC = 2, 3  # methods of a colr box (ITU-T T.800, I.5.3.3)
_GIF_XMP_TRAILER = b"\x01\xff\xfe"


@dataclass(frozen=True)
class Embedded:
    """What the container of a picture carries; all of it as stored.

    Attributes:
        xmp: The first XMP packet.
        iptc: Records of the IPTC-IIM block.
        exif: EXIF block, for the formats of which Pillow does not return it.
        icc: ICC profile, likewise.
        text: Comments by keyword, cleaned; several of one keyword are joined by line breaks.
        has_video: An MP4 follows the picture (motion photos of Google and Samsung).
        has_clip_mark: Samsung's name for the clip of a motion photo stands in front of it.
    """

    xmp: bytes | None = None
    iptc: bytes | None = None
    exif: bytes | None = None
    icc: bytes | None = None
    text: dict[str, str] = field(default_factory=dict)
    has_video: bool = False
    has_clip_mark: bool = False


def read_embedded(path: Path, format_name: str, *, picture_end: int | None = None) -> Embedded:
    """Return what a picture file carries beside its pixels; empty for formats that have no place for it.

    The file is mapped, not read into memory.

    Args:
        path: File to read.
        format_name: Format by content; camera raw files built on TIFF count as ``tiff``.
        picture_end: Where a JPEG ends (``Structure.end``); the video of a motion photo is looked for behind it.
    """
    readers: dict[str, Callable[[mmap.mmap], Embedded]] = {
        "jpeg": lambda data: _read_jpeg(data, picture_end),
        "png": _read_png,
        "apng": _read_png,
        "gif": _read_gif,
        "webp": _read_webp,
        "psd": _read_psd,
    }
    file_readers: dict[str, Callable[[BinaryIO], Embedded]] = {"tiff": _read_tiff, "jp2": _read_jp2}
    try:
        with path.open("rb") as file:
            if format_name in file_readers:
                return file_readers[format_name](file)
            if format_name in readers:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    return readers[format_name](data)
    except (IndexError, ValueError, ContentError):  # the walk ran out of the file, or into nonsense
        return Embedded()
    return Embedded()


def jpeg_segments(data: mmap.mmap | bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (marker, contents) of the segments of a JPEG in front of its pixels (ITU-T T.81, B.1.1.4)."""
    position = 2
    for _ in range(_MAX_CHUNKS):
        position = data.find(b"\xff", position)
        if position < 0 or position + 4 > len(data):
            return
        marker = data[position + 1]
        if marker in {0x00, 0x01, 0xD8, 0xFF} or 0xD0 <= marker <= 0xD7:
            position += 1
            continue
        if marker in {0xD9, 0xDA}:
            return
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        yield marker, data[position + 4 : position + 2 + length]
        position += 2 + max(length, 2)


def jpeg_exif(data: bytes) -> bytes | None:
    """Return the first EXIF block of a JPEG from its TIFF header on, or ``None``."""
    for marker, body in jpeg_segments(data):
        if marker == 0xE1 and body.startswith(_EXIF_SEGMENT):
            return body[len(_EXIF_SEGMENT) :]
    return None


def photoshop_resources(block: bytes) -> dict[int, bytes]:
    """Return the image resources of a Photoshop block by id, the first of each (Adobe file format specification)."""
    found: dict[int, bytes] = {}
    position = 0
    while block[position : position + 4] in {b"8BIM", b"MeSa", b"PHUT", b"AgHg", b"DCSR"} and len(found) < _MAX_CHUNKS:
        name_length = block[position + 6]
        body = position + 6 + (name_length + 2) // 2 * 2 + 4
        size = int.from_bytes(block[body - 4 : body], "big")
        found.setdefault(int.from_bytes(block[position + 4 : position + 6], "big"), block[body : body + size])
        position = body + size + (size & 1)
    return found


class _Comments:
    """Comments as they are found, cleaned and bounded."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._count = 0

    def add(self, keyword: str, text: str) -> None:
        """Keep a comment; the ones after the 50th are left out."""
        name, value = clean_text(keyword), clean_text(text)
        self._count += 1
        if name and value and self._count <= _MAX_COMMENTS:
            earlier = self.found.get(name)
            self.found[name] = value if earlier in {None, value} else f"{earlier}\n{value}"


def _read_jpeg(data: mmap.mmap, picture_end: int | None) -> Embedded:
    xmp: bytes | None = None
    resources, comments = b"", _Comments()
    for marker, body in jpeg_segments(data):
        if marker == 0xE1 and xmp is None and body.startswith(_XMP_SEGMENT):
            xmp = body[len(_XMP_SEGMENT) :]
        elif marker == 0xED and body.startswith(_PHOTOSHOP_SEGMENT) and len(resources) < MAX_BLOCK_BYTES:
            resources += body[len(_PHOTOSHOP_SEGMENT) :]  # a long block goes on in the next segment
        elif marker == 0xFE:
            comments.add("Comment", decode_text(body[:_MAX_COMMENT_BYTES].strip(b"\0")))
    try:
        iptc = photoshop_resources(resources).get(_IPTC_RESOURCE)
    except IndexError:
        iptc = None
    video = None if picture_end is None else _appended_video(data, picture_end)
    has_mark = video is not None and data[video - len(_SAMSUNG_CLIP) : video] == _SAMSUNG_CLIP
    return Embedded(xmp=xmp, iptc=iptc, text=comments.found, has_video=video is not None, has_clip_mark=has_mark)


def _appended_video(data: mmap.mmap, start: int) -> int | None:
    """Return where an ISO media file begins behind the picture, or ``None``."""
    position = data.find(b"ftyp", start + 4)
    for _ in range(100):
        if position < 0:
            return None
        if 16 <= int.from_bytes(data[position - 4 : position], "big") <= 256:
            return position - 4
        position = data.find(b"ftyp", position + 4)
    return None


def _read_png(data: mmap.mmap) -> Embedded:
    """Read the text chunks (PNG third edition, 11.3.3), wherever they stand."""
    position, comments = 8, _Comments()
    blocks: dict[str, bytes] = {}
    for _ in range(_MAX_CHUNKS):
        length, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        body = position + 8
        position = body + length + 4
        if kind in {b"IEND", b""} or position > len(data):
            break
        if kind not in {b"tEXt", b"zTXt", b"iTXt"}:
            continue
        keyword, text = _png_text(kind, data[body : body + min(length, MAX_BLOCK_BYTES)])
        if keyword == "XML:com.adobe.xmp":
            blocks.setdefault("xmp", text)
        elif keyword.startswith("Raw profile type "):
            blocks.setdefault(keyword[17:], _raw_profile(text))
        else:
            encoding = "utf-8" if kind == b"iTXt" else "latin-1"
            comments.add(keyword, text[:_MAX_COMMENT_BYTES].decode(encoding, "replace"))
    iptc = blocks.get("iptc")
    if iptc is not None and iptc.startswith(b"8BIM"):
        iptc = photoshop_resources(iptc).get(_IPTC_RESOURCE)
    return Embedded(xmp=blocks.get("xmp"), iptc=iptc, text=comments.found)


def _png_text(kind: bytes, body: bytes) -> tuple[str, bytes]:
    """Return keyword and text; compressed text is inflated up to 1 MiB, and empty when it is damaged."""
    raw_keyword, _, rest = body.partition(b"\0")
    is_compressed = kind == b"zTXt" or (kind == b"iTXt" and rest[:1] == b"\1")
    if kind == b"iTXt":
        rest = rest[2:].split(b"\0", 2)[-1]  # behind the flags: language NUL translated keyword NUL text
    elif kind == b"zTXt":
        rest = rest[1:]
    if is_compressed:
        try:
            rest = zlib.decompressobj().decompress(rest, MAX_BLOCK_BYTES)
        except zlib.error:
            rest = b""
    return raw_keyword.decode("latin-1"), rest


def _raw_profile(text: bytes) -> bytes:
    """Decode the form in which ImageMagick and exiftool store profiles: name, length, hex digits over many lines."""
    parts = text.strip().split(b"\n", 2)
    try:
        return bytes.fromhex(parts[2].decode("ascii"))[: int(parts[1])]
    except (IndexError, ValueError):
        return b""


def _read_gif(data: mmap.mmap) -> Embedded:
    """Read comment and XMP extensions (GIF89a section 24; XMP specification part 3, section 1.1.2)."""
    comments, xmp = _Comments(), None
    position = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    for _ in range(_MAX_CHUNKS):
        if position >= len(data) or data[position] == 0x3B:
            break
        if data[position] == 0x2C:
            local = data[position + 9]
            position += 11 + (3 << ((local & 7) + 1) if local & 0x80 else 0)
            _, position = _gif_blocks(data, position, 0)
        elif data[position] == 0x21:
            label = data[position + 1]
            body, after = _gif_blocks(data, position + 2, _MAX_COMMENT_BYTES if label == 0xFE else 16)
            if label == 0xFE:
                comments.add("Comment", decode_text(body))
            elif label == 0xFF and body.startswith(b"XMP DataXMP") and xmp is None:
                packet = data[position + 14 : min(after, position + 14 + MAX_BLOCK_BYTES)]
                end = packet.rfind(_GIF_XMP_TRAILER)
                xmp = packet[:end] if end >= 0 else packet
            position = after
        else:
            position += 1
    return Embedded(xmp=xmp, text=comments.found)


def _gif_blocks(data: mmap.mmap, position: int, limit: int) -> tuple[bytes, int]:
    """Return up to ``limit`` bytes of a chain of sub-blocks, and where it ends."""
    parts, left = [], limit
    while data[position]:
        if left > 0:
            parts.append(data[position + 1 : position + 1 + min(data[position], left)])
            left -= len(parts[-1])
        position += 1 + data[position]
    return b"".join(parts), position + 1


def _read_webp(data: mmap.mmap) -> Embedded:
    position = 12
    for _ in range(_MAX_CHUNKS):
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        if data[position : position + 4] == b"XMP ":
            return Embedded(xmp=data[position + 8 : position + 8 + min(length, MAX_BLOCK_BYTES)])
        position += 8 + length + (length & 1)
        if position + 8 > len(data):
            break
    return Embedded()


def _read_tiff(file: BinaryIO) -> Embedded:
    is_little = file.read(2) == b"II"
    file.seek(0)
    tags = Directories(file).first()
    iptc = _as_bytes(tags.get(_IPTC_TAG), is_little=is_little)
    resources = _as_bytes(tags.get(_PHOTOSHOP_TAG), is_little=is_little)
    if iptc is None and resources is not None:
        iptc = photoshop_resources(resources).get(_IPTC_RESOURCE)
    icc = tags.get(_ICC_TAG)
    return Embedded(
        xmp=_as_bytes(tags.get(_XMP_TAG), is_little=is_little), iptc=iptc, icc=icc if isinstance(icc, bytes) else None
    )


def _as_bytes(value: TagValue | None, *, is_little: bool) -> bytes | None:
    """Return the bytes of a tag; Adobe once declared IPTC as an array of 32-bit numbers."""
    if isinstance(value, tuple) and all(isinstance(number, int) for number in value):
        return b"".join(int(number).to_bytes(4, "little" if is_little else "big") for number in value)
    return value if isinstance(value, bytes) else None


def _read_psd(data: mmap.mmap) -> Embedded:
    colors_end = 30 + int.from_bytes(data[26:30], "big")
    length = int.from_bytes(data[colors_end : colors_end + 4], "big")
    found = photoshop_resources(data[colors_end + 4 : colors_end + 4 + min(length, 16 * MAX_BLOCK_BYTES)])
    return Embedded(
        xmp=found.get(_XMP_RESOURCE),
        iptc=found.get(_IPTC_RESOURCE),
        exif=found.get(_EXIF_RESOURCE),
        icc=found.get(_ICC_RESOURCE),
    )


def _read_jp2(file: BinaryIO) -> Embedded:
    """Read the ``uuid`` boxes and the colour of the header box; a bare codestream has none."""
    if file.read(12)[4:8] != b"jP  ":
        return Embedded()
    size = file.seek(0, io.SEEK_END)
    found: dict[bytes, bytes] = {}
    for box in iter_boxes(file, 0, size):
        file.seek(box.body)
        if box.kind == b"uuid":
            found.setdefault(file.read(16), file.read(min(box.end - box.body - 16, MAX_BLOCK_BYTES)))
        elif box.kind == b"jp2h" and box.kind not in found:
            found[box.kind] = file.read(min(box.end - box.body, 16 * MAX_BLOCK_BYTES))
    return Embedded(
        xmp=found.get(_XMP_UUID),
        iptc=found.get(_IPTC_UUID),
        exif=found.get(_EXIF_UUID),
        icc=_jp2_profile(found.get(b"jp2h", b"")),
    )


def _jp2_profile(header: bytes) -> bytes | None:
    for box in iter_boxes(io.BytesIO(header), 0, len(header)):
        if box.kind == b"colr" and header[box.body] in {_RESTRICTED_ICC, _ANY_ICC}:
            return header[box.body + 3 : box.end]
    return None
