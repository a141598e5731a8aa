"""JPEG XL (ISO/IEC 18181): codestreams and containers, through libjxl.

Lives here: pylibjxl, and the check that the boxes of a container are all there. Must not: other formats. libjxl turns
the pixels by the orientation of the codestream; the EXIF tag beside it is information only (18181-2, section 9.5).
"""

import mmap
from pathlib import Path

from PIL import Image

from media_assets.media.exif import ExifData, read_exif, stored_orientation
from media_assets.media.isobmff import iter_boxes
from media_assets.media.limits import Limits
from media_assets.media.picture import (
    DecodedPicture,
    check_pixels,
    codec_errors,
    has_alpha,
    icc_facts,
    truncated,
    upright_srgb,
)

_CODESTREAM = b"\xff\x0a"


def decode_jxl(path: Path, limits: Limits, *, longest_px: int | None) -> DecodedPicture:
    """Decode the first frame of a JPEG XL file, upright and in sRGB.

    The frames of an animation are not counted: libjxl tells their number only after it has decoded them all, and
    damage behind the first frame of a bare codestream is not found.

    Args:
        path: File to read.
        limits: Checked against the header before pixels are allocated.
        longest_px: Longest side of the result, never enlarged; ``None`` for the whole picture.

    Raises:
        ContentError: The file is damaged, cut or too large.
    """
    import pylibjxl

    _check_container(path)
    warnings: list[str] = []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data, codec_errors("JPEG XL"):
        header = pylibjxl.probe(data)
        full_size = header["width"], header["height"]
        check_pixels(*full_size, limits)
        # One thread: there is a worker for each core.
        with pylibjxl.JXL(threads=1, pool_size=1) as codec:
            pixels, blocks = codec.decode(data, metadata=True)
        image = Image.fromarray(pixels)
        icc = blocks.get("icc")
        if icc:
            image.info["icc_profile"] = icc
        picture = upright_srgb(image, full_size, longest_px, 1, warnings)
    exif = read_exif(blocks["exif"], warnings) if blocks.get("exif") else ExifData()
    icc_name, has_icc = icc_facts(icc)
    return DecodedPicture(
        picture=picture,
        width_px=full_size[0],
        height_px=full_size[1],
        orientation=stored_orientation(exif),
        exif=exif,
        xmp=blocks.get("xmp") or None,
        icc_name=icc_name,
        has_icc_profile=has_icc,
        has_alpha=has_alpha(image),
        bit_depth=header["bits_per_sample"] or None,
        frame_count=None,
        duration_s=None,
        is_animated=bool(header["have_animation"]),
        warnings=tuple(warnings),
    )


def _check_container(path: Path) -> None:
    """Raise ContentError when a box of a container ends beyond the file; a bare codestream passes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(2) != _CODESTREAM and any(box.end > size for box in iter_boxes(file, 0, size)):
            raise truncated("JPEG XL")
