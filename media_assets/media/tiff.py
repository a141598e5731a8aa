"""Layout of TIFF pictures (TIFF 6.0, BigTIFF), and the kinds of them that Pillow reads wrongly or not at all.

Lives here: the first directory, the chain of pages, and FFmpeg as the decoder of rare kinds. Must not: tags that
describe the picture, camera raw files.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from media_assets.media.ifd import Directories, TagValue
from media_assets.media.picture import TRANSPOSES, corrupt, truncated, unsupported

_Base = ExifTags.Base
_SAMPLE_FORMAT, _EXTRA_SAMPLES = 339, _Base.ExtraSamples
_FLOAT, _SEPARATE_PLANES = 3, 2
_WHITE_IS_ZERO, _GREY, _RGB, _SEPARATED, _LAB = 0, 1, 2, 5, 8
_SIXTEEN_BITS, _THIRTY_TWO_BITS = 16, 32
_MAX_SIDE = 2**31


@dataclass(frozen=True)
class TiffLayout:
    """How the first page is stored.

    Attributes:
        width_px: Width before orientation.
        height_px: Height before orientation.
        bit_depth: Bits of the first channel; 1 when the file does not say (TIFF 6.0, BitsPerSample).
        page_count: Directories in the chain, up to one more than was asked for.
        orientation: EXIF orientation, 1 to 8; anything else is 1.
        needs_ffmpeg: Pillow shows 16-bit planes as stripes and refuses float colour; FFmpeg reads both.
        is_inverted: White is zero in more than 8 bits, which Pillow shows as a negative.
    """

    width_px: int
    height_px: int
    bit_depth: int
    page_count: int
    orientation: int
    needs_ffmpeg: bool
    is_inverted: bool


def read_tiff_layout(path: Path, *, max_pages: int) -> TiffLayout:
    """Return how the first page of a TIFF is stored.

    Args:
        path: File to read: directories only.
        max_pages: Where counting the pages ends.

    Raises:
        ContentError: The first directory is damaged, or the pixels are of a kind that no decoder here knows.
    """
    with path.open("rb") as file:
        try:
            tags = Directories(file).first()
        except ValueError as error:
            raise corrupt("TIFF", "no header") from error
        width, height = (_number(tags.get(tag), 0) for tag in (_Base.ImageWidth, _Base.ImageLength))
        if not 0 < width < _MAX_SIDE or not 0 < height < _MAX_SIDE:
            raise corrupt("TIFF", "a picture without a size")
        pages = _count_pages(file, max_pages)
        size = file.seek(0, io.SEEK_END)
    bits = _number(tags.get(_Base.BitsPerSample), 1)
    photometric = _number(tags.get(_Base.PhotometricInterpretation), _GREY)
    orientation = _number(tags.get(_Base.Orientation), 1)
    needs_ffmpeg = _needs_ffmpeg(tags, bits, photometric)
    # Pillow and libtiff find missing data themselves, and bear lengths that are only written wrongly.
    if needs_ffmpeg and any(offset + length > size for offset, length in extents(tags)):
        raise truncated("TIFF")
    return TiffLayout(
        width_px=width,
        height_px=height,
        bit_depth=bits,
        page_count=pages,
        orientation=orientation if orientation in TRANSPOSES else 1,
        needs_ffmpeg=needs_ffmpeg,
        is_inverted=photometric == _WHITE_IS_ZERO and bits == _SIXTEEN_BITS,
    )


def extents(directory: Mapping[int, TagValue]) -> Iterator[tuple[int, int]]:
    """Yield offset and length of the strips or tiles of a directory, as far as both are given."""
    for where, how_long in (
        (_Base.StripOffsets, _Base.StripByteCounts),
        (_Base.TileOffsets, _Base.TileByteCounts),
    ):
        yield from zip(numbers(directory.get(where)), numbers(directory.get(how_long)), strict=False)


def numbers(value: TagValue | None) -> tuple[int, ...]:
    """Return the whole numbers of a tag; empty when it has none."""
    values: tuple[object, ...] = value if isinstance(value, tuple) else (value,)
    return tuple(number for number in values if isinstance(number, int))


def _number(value: TagValue | None, default: int) -> int:
    return next(iter(numbers(value)), default)


def _needs_ffmpeg(tags: dict[int, TagValue], bits: int, photometric: int) -> bool:
    """Return whether FFmpeg has to read the picture; ContentError when that would be wrong too."""
    samples = _number(tags.get(_Base.SamplesPerPixel), 1)
    is_float = _number(tags.get(_SAMPLE_FORMAT), 1) == _FLOAT
    has_planes = samples > 1 and _number(tags.get(_Base.PlanarConfiguration), 1) == _SEPARATE_PLANES
    is_tiled = _Base.TileOffsets in tags
    if is_float and bits == _THIRTY_TWO_BITS and samples == 1:
        return False
    is_rare = (is_float and samples >= 1) or (has_planes and bits > 8)
    if not is_rare:
        return False
    can_ffmpeg = (
        photometric == _RGB
        and not is_tiled
        and (
            (is_float and bits == _THIRTY_TWO_BITS and samples == 3 and not has_planes)
            or (not is_float and bits == _SIXTEEN_BITS and samples in {3, 4})
        )
    )
    if not can_ffmpeg:
        raise unsupported("TIFF", f"{samples} channels of {bits} bits{' of float' if is_float else ''}")
    return True


def _count_pages(file: BinaryIO, max_pages: int) -> int:
    """Follow the chain of directories (TIFF 6.0, section 2), which may loop or leave the file."""
    file.seek(0)
    header = file.read(16)
    order: Literal["little", "big"] = "little" if header[:2] == b"II" else "big"
    is_big = int.from_bytes(header[2:4], order) == 43
    count_size, entry_size, offset_size = (8, 20, 8) if is_big else (2, 12, 4)
    offset = int.from_bytes(header[8:16] if is_big else header[4:8], order)
    seen: set[int] = set()
    while offset and offset not in seen and len(seen) <= max_pages:
        file.seek(offset)
        raw_count = file.read(count_size)
        if len(raw_count) < count_size:
            break
        seen.add(offset)
        file.seek(offset + count_size + entry_size * int.from_bytes(raw_count, order))
        offset = int.from_bytes(file.read(offset_size), order)
    return max(1, len(seen))


def decode_rare_tiff(path: Path, layout: TiffLayout) -> Image.Image:
    """Return the pixels of a kind that :attr:`TiffLayout.needs_ffmpeg` names, upright, 8 bits, mode RGB or RGBA.

    Raises:
        ContentError: FFmpeg refuses them.
    """
    import av

    decoder = av.CodecContext.create("tiff", "r")
    decoder.thread_count = 1
    try:
        frames = [*decoder.decode(av.Packet(path.read_bytes())), *decoder.decode(None)]
        values: NDArray[Any] = frames[0].to_ndarray()
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise corrupt("TIFF") from error
    if (frames[0].width, frames[0].height) != (layout.width_px, layout.height_px):
        raise corrupt("TIFF", "two sizes")
    if values.dtype == np.float32:
        # Scene-referred values above 1 are light that a print cannot show.
        values = np.clip(np.nan_to_num(values, nan=0.0), 0.0, 1.0) * 255.0 + 0.5
    elif values.dtype == np.uint16:
        values = values >> 8
    picture = Image.fromarray(values.astype(np.uint8))
    transpose = TRANSPOSES.get(layout.orientation)
    return picture if transpose is None else picture.transpose(transpose)
