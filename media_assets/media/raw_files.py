"""Containers of camera raw files: where their tags, their sensor data and their previews are.

Lives here: TIFF-like files, Canon CR3 boxes, the headers of Fuji RAF and Minolta MRW. Must not: decode pixels. The tags
are those of the raw file itself, not of its preview, wherever it has its own.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags

from media_assets.media.embedded import jpeg_exif, read_embedded
from media_assets.media.exif import ExifData, read_exif
from media_assets.media.ifd import Directories, TagValue
from media_assets.media.isobmff import Box, iter_boxes
from media_assets.media.picture import truncated
from media_assets.media.tiff import extents, numbers

_Base = ExifTags.Base
_MAX_HEADER_BYTES = 1024 * 1024  # enough of a preview, or of an MRW header, to hold its EXIF
_MAX_SUB_DIRECTORIES = 16
_MAX_BOXES_DEEP = 1000
_SENSOR_PHOTOMETRICS = {32803, 34892}  # colour filter array, linear raw (DNG 1.7, chapter 2)
_JPEG_COMPRESSIONS = {6, 7}

_CR3_METADATA = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_CR3_PREVIEW = bytes.fromhex("eaf42b5e1c984b88b9fbb7dc406e4d16")
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_RAF_JPEG_AT = 84
_MRW_TAGS = b"\x00TTW"


@dataclass(frozen=True)
class RawFile:
    """What the container of a camera raw file says.

    Attributes:
        exif: Directories of the raw file.
        xmp: XMP packet, or ``None``.
        iptc: IPTC-IIM records, or ``None``.
        icc: ICC profile, or ``None``.
        bit_depth: Bits of a sensor value; ``None`` when the container does not say.
        preview: Offset and length of the largest JPEG that the directories name, or ``None``.
    """

    exif: ExifData = field(default_factory=ExifData)
    xmp: bytes | None = None
    iptc: bytes | None = None
    icc: bytes | None = None
    bit_depth: int | None = None
    preview: tuple[int, int] | None = None


def read_raw_file(path: Path, format_name: str, warnings: list[str]) -> RawFile:
    """Return the tags of a camera raw file and where its preview is.

    Args:
        path: File to read: directories only, not the sensor data.
        format_name: Format by content.
        warnings: Gets a sentence for what cannot be read.

    Raises:
        ContentError: ``TRUNCATED`` when the sensor data, by the directories or boxes, ends beyond the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if format_name == "cr3":
            return _read_cr3(file, size, warnings)
        if format_name == "raf":
            return _read_raf(file, size, warnings)
        if format_name == "mrw":
            return _read_mrw(file, warnings)
        if format_name in {"crw", "x3f"}:  # their tags are in structures of their own
            return RawFile()
        return _read_tiff_like(file, path, size, warnings)


def _read_tiff_like(file: BinaryIO, path: Path, size: int, warnings: list[str]) -> RawFile:
    exif = read_exif(file, warnings)
    embedded = read_embedded(path, "tiff")
    icc = exif.main.get(_Base.InterColorProfile)
    bit_depth: int | None = None
    previews: list[tuple[int, int]] = []
    file.seek(0)
    for directory in _directories(file):
        if directory.get(_Base.PhotometricInterpretation) in _SENSOR_PHOTOMETRICS:
            bits = _first_number(directory.get(_Base.BitsPerSample))
            bit_depth = bit_depth or bits
            if any(offset + length > size for offset, length in extents(directory)):
                raise truncated("raw")
        preview = _jpeg_extent(directory)
        if preview is not None and sum(preview) <= size:
            previews.append(preview)
    return RawFile(
        exif=exif,
        xmp=embedded.xmp,
        iptc=embedded.iptc,
        icc=icc if isinstance(icc, bytes) else None,
        bit_depth=bit_depth,
        preview=max(previews, key=lambda extent: extent[1], default=None),
    )


def _directories(file: BinaryIO) -> Iterator[Mapping[int, TagValue]]:
    """Yield IFD0 and the directories that its SubIFDs name."""
    try:
        reader = Directories(file)
    except ValueError:
        return
    main = reader.first()
    yield main
    for offset in numbers(main.get(_Base.SubIFDs))[:_MAX_SUB_DIRECTORIES]:
        yield reader.read(offset)


def _jpeg_extent(directory: Mapping[int, TagValue]) -> tuple[int, int] | None:
    """Return where the JPEG of a directory is: by its own tags, or as the only strip (TIFF technical note 2)."""
    old = [_first_number(directory.get(tag)) for tag in (_Base.JpegIFOffset, _Base.JpegIFByteCount)]
    if old[0] and old[1]:
        return old[0], old[1]
    is_sensor = directory.get(_Base.PhotometricInterpretation) in _SENSOR_PHOTOMETRICS
    if is_sensor or directory.get(_Base.Compression) not in _JPEG_COMPRESSIONS:
        return None
    strips = list(extents(directory))
    return strips[0] if len(strips) == 1 else None


def _first_number(value: TagValue | None) -> int | None:
    return next(iter(numbers(value)), None)


def _read_cr3(file: BinaryIO, size: int, warnings: list[str]) -> RawFile:
    """Read Canon's boxes: CMT1 is IFD0, CMT2 the Exif IFD, CMT4 the GPS IFD, each a TIFF block of its own."""
    blocks: dict[bytes, bytes] = {}
    preview: tuple[int, int] | None = None
    xmp: bytes | None = None
    for box in iter_boxes(file, 0, size):
        if box.end > size:
            raise truncated("CR3")
        if box.kind == b"moov":
            blocks.update(_canon_blocks(file, box))
        elif box.kind == b"uuid":
            file.seek(box.body)
            owner = file.read(16)
            if owner == _XMP:
                xmp = file.read(min(box.end - box.body - 16, _MAX_HEADER_BYTES))
            elif owner == _CR3_PREVIEW:
                preview = _canon_preview(file, box)
    main, exif, gps = (
        read_exif(blocks[kind], warnings).main if kind in blocks else {} for kind in (b"CMT1", b"CMT2", b"CMT4")
    )
    return RawFile(exif=ExifData(main, exif, gps), xmp=xmp, preview=preview)


def _canon_blocks(file: BinaryIO, moov: Box) -> dict[bytes, bytes]:
    """Return the CMT boxes of Canon's ``uuid`` box in ``moov``."""
    found: dict[bytes, bytes] = {}
    for box in _bounded(file, moov.body, moov.end):
        file.seek(box.body)
        if box.kind != b"uuid" or file.read(16) != _CR3_METADATA:
            continue
        for inner in _bounded(file, box.body + 16, box.end):
            if inner.kind.startswith(b"CMT"):
                file.seek(inner.body)
                found.setdefault(inner.kind, file.read(min(inner.end - inner.body, _MAX_HEADER_BYTES)))
    return found


def _bounded(file: BinaryIO, start: int, end: int) -> Iterator[Box]:
    for box, _ in zip(iter_boxes(file, start, end), range(_MAX_BOXES_DEEP), strict=False):
        yield box


def _canon_preview(file: BinaryIO, box: Box) -> tuple[int, int] | None:
    """Return the JPEG of the ``PRVW`` box: 24 bytes in front of it, the last four are its length."""
    for inner in _bounded(file, box.body + 24, box.end):
        if inner.kind == b"PRVW":
            file.seek(inner.body + 12)
            length = int.from_bytes(file.read(4), "big")
            return (inner.body + 16, length) if inner.body + 16 + length <= box.end else None
    return None


def _read_raf(file: BinaryIO, size: int, warnings: list[str]) -> RawFile:
    """Read the header of a RAF: big-endian offset and length of the JPEG, of the tags and of the sensor data."""
    file.seek(_RAF_JPEG_AT)
    header = file.read(24)
    numbers = [int.from_bytes(header[i : i + 4], "big") for i in range(0, 24, 4)]
    jpeg_at, jpeg_length, _, _, data_at, data_length = numbers
    if data_at + data_length > size or jpeg_at + jpeg_length > size:
        raise truncated("RAF")
    file.seek(jpeg_at)
    block = jpeg_exif(file.read(min(jpeg_length, _MAX_HEADER_BYTES)))
    exif = read_exif(block, warnings) if block else ExifData()
    return RawFile(exif=exif, preview=(jpeg_at, jpeg_length) if jpeg_length else None)


def _read_mrw(file: BinaryIO, warnings: list[str]) -> RawFile:
    """Read the blocks of an MRW header; TTW holds a TIFF block."""
    data = io.BytesIO(file.read(_MAX_HEADER_BYTES))
    data.seek(8)
    for _ in range(_MAX_BOXES_DEEP):
        kind, length = data.read(4), int.from_bytes(data.read(4), "big")
        if kind == _MRW_TAGS:
            return RawFile(exif=read_exif(data.read(length), warnings))
        if not kind:
            break
        data.seek(length, io.SEEK_CUR)
    return RawFile()
