"""Encoding of renditions: progressive JPEG without any metadata.

Lives here: encoder settings and the files in the scratch folder. Must not: decode or choose sizes.
"""

import os
from pathlib import Path

from PIL import Image

from media_assets.media.errors import ScratchError
from media_assets.media.records import Rendition
from media_assets.media.resize import RENDITION_SIZES, cascade

JPEG_QUALITY = 85
"""Quality of rendition JPEGs, libjpeg scale."""

JPEG_SUBSAMPLING = "4:2:0"
"""Chroma subsampling of rendition JPEGs."""

_WHITE = (255, 255, 255)
_END_OF_IMAGE = b"\xff\xd9"


def flatten_on_white(picture: Image.Image) -> Image.Image:
    """Return an RGB picture; transparent parts show white, as on a page."""
    if "A" not in picture.getbands():
        return picture if picture.mode == "RGB" else picture.convert("RGB")
    rgba = picture if picture.mode == "RGBA" else picture.convert("RGBA")
    canvas = Image.new("RGB", rgba.size, _WHITE)
    canvas.paste(rgba, mask=rgba.getchannel("A"))
    return canvas


def save_jpeg(picture: Image.Image, path: Path) -> int:
    """Write a progressive JPEG (quality 85, 4:2:0, no EXIF, ICC profile or comment); return its size in bytes.

    Args:
        picture: RGB picture in sRGB.
        path: File to write. A real file, because Pillow holds the GIL while it encodes into memory.

    Raises:
        ScratchError: The file could not be written to its end.
    """
    # Pillow writes im.info["comment"] of the source into the new file unless it is taken away.
    picture.info = {}
    try:
        picture.save(path, "JPEG", quality=JPEG_QUALITY, subsampling=JPEG_SUBSAMPLING, progressive=True)
        # Pillow does not notice when the last write of a full disk is a short one.
        with path.open("rb") as file:
            file.seek(-len(_END_OF_IMAGE), os.SEEK_END)
            complete = file.read() == _END_OF_IMAGE
    except OSError as error:  # Pillow's own has no errno: pixels in memory give it no other reason than the disk
        raise ScratchError(f"A rendition could not be written ({error}).") from error
    if not complete:
        raise ScratchError("A rendition was cut short while it was written.")
    return path.stat().st_size


def _copy(source: Path, target: Path) -> int:
    try:
        return target.write_bytes(source.read_bytes())
    except OSError as error:
        raise ScratchError(f"A rendition could not be written ({error.strerror}).") from error


def write_renditions(picture: Image.Image, full_size: tuple[int, int], scratch: Path) -> tuple[Rendition, ...]:
    """Write all renditions of one picture as ``<kind>.jpg`` into ``scratch``, in the order of ``RENDITION_SIZES``.

    Kinds that come out with the same size (a source smaller than both) are encoded once and hold the same bytes.

    Args:
        picture: Upright sRGB picture, any of the modes L, RGB, RGBA; at least as large as the preview box.
        full_size: Width and height of the upright original in pixels.
        scratch: Existing folder; files of the same names are replaced.
    """
    made: dict[str, Rendition] = {}
    previous: Rendition | None = None
    for size, resized in cascade(flatten_on_white(picture), full_size):
        path = scratch / f"{size.kind}.jpg"
        width, height = resized.size
        if previous is not None and (previous.width_px, previous.height_px) == resized.size:
            size_bytes = _copy(scratch / previous.file_name, path)
        else:
            size_bytes = save_jpeg(resized, path)
        previous = Rendition(size.kind, path.name, "jpeg", width, height, size_bytes)
        made[size.kind] = previous
    return tuple(made[size.kind] for size in RENDITION_SIZES)
