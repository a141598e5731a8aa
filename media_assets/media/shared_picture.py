"""Pictures that may be shared: decoded from the original, covered, encoded anew, with nothing in them but pixels.

Lives here: the way from the original to the bytes of its copy, and back from the bytes to pixels. Must not: decide what
is covered, name files.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from media_assets.media.appearance import hash_of
from media_assets.media.covers import Area, cover_pixels
from media_assets.media.decode import decode_picture
from media_assets.media.encode import encode_picture
from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.limits import Limits
from media_assets.media.resize import fit_box, resize_to
from media_assets.media.sniff import sniff_file

PictureCopyFormat = Literal["jpeg", "png"]


@dataclass(frozen=True)
class OpenedPicture:
    """An original, ready to be covered.

    Attributes:
        pixels: Upright, sRGB, shape (height, width, 3), or 4 with straight alpha; at the size of the copy.
        scale: Pixels of the copy to one of the upright original: x and y.
        format: Of the copy: PNG where something is transparent, else JPEG.
    """

    pixels: NDArray[np.uint8]
    scale: tuple[float, float]
    format: PictureCopyFormat

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """The picture without its alpha channel: what is transparent may show a face all the same."""
        return np.ascontiguousarray(self.pixels[..., :3])


def open_original(path: Path, limits: Limits, *, longest_px: int | None) -> OpenedPicture:
    """Decode an original as every other part of the project does: upright, colours in sRGB, the first frame only.

    Args:
        path: Picture of any known format; motion photos lose their video.
        limits: What the file may cost.
        longest_px: Longest side of the copy; ``None``: that of the original.

    Raises:
        ContentError: It is no picture, damaged, or too large.
    """
    with path.open("rb") as file:
        sniffed = sniff_file(file)
    if sniffed.media_type != "image":
        raise ContentError(ReasonCode.UNSUPPORTED_TYPE, "The file is no picture. Upload the original.", "protect")
    # In full, then scaled: a decoder that scales gives another picture than the one in which the faces were found.
    decoded = decode_picture(path, sniffed, limits, longest_px=None)
    picture = decoded.picture
    if longest_px is not None and max(picture.size) > longest_px:
        picture = resize_to(picture, fit_box(*picture.size, longest_px))
    is_transparent = picture.mode == "RGBA" and picture.getchannel("A").getextrema() != (255, 255)
    pixels = np.array(picture.convert("RGBA" if is_transparent else "RGB"))
    scale = (picture.width / decoded.width_px, picture.height / decoded.height_px)
    return OpenedPicture(pixels, scale, "png" if is_transparent else "jpeg")


def covered(opened: OpenedPicture, areas: Sequence[Area]) -> NDArray[np.uint8]:
    """Return a copy of the pixels in which the areas are covered."""
    pixels = opened.pixels.copy()
    if opened.format == "png":
        pixels[pixels[..., 3] == 0] = 0  # what cannot be seen is not published either
    cover_pixels(pixels, areas)
    return pixels


def encode_copy(pixels: NDArray[np.uint8], format_name: PictureCopyFormat, quality: int) -> bytes:
    """Return the bytes of a copy: pixels, and the header that a decoder needs; no metadata and no profile (sRGB).

    Args:
        pixels: Shape (height, width, 3), for PNG 4.
        format_name: JPEG with colour at full size, or PNG.
        quality: Of JPEG, 1-100.
    """
    if format_name == "jpeg":
        return encode_picture(pixels, "jpeg", quality, full_chroma=True)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def decode_copy(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a copy as whoever receives it sees them, RGB, shape (height, width, 3)."""
    with Image.open(io.BytesIO(data), formats=["JPEG", "PNG"]) as image:
        return np.asarray(image.convert("RGB"))


def hash_of_copy(pixels: NDArray[np.uint8]) -> str:
    """Return the perceptual hash as table ``appearance`` computes it, 16 hexadecimal digits."""
    return f"{hash_of(Image.fromarray(pixels)):016x}"
