"""What a decoded picture is, whatever decoder made it, and the rules that all decoders of pictures share.

Lives here: the record, the check of the size before pixels are allocated, the turn to upright, errors of codecs. Must
not: open files or know formats.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from PIL import Image

from media_assets.media.color import profile_name, to_srgb
from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.exif import ExifData
from media_assets.media.limits import Limits
from media_assets.media.resize import fit_box, reduce_towards, resize_to

TRANSPOSES: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of EXIF orientation 2 to 8 upright."""


@dataclass(frozen=True)
class DecodedPicture:
    """One decoded picture and what its file says about it.

    Attributes:
        picture: Upright, sRGB, mode L, RGB or RGBA, 8 bits; fitted into the box that was asked for.
        width_px: Width of the whole upright picture, before it was fitted.
        height_px: Height of the whole upright picture.
        orientation: EXIF orientation as stored, 1-8, or ``None``.
        exif: EXIF directories, read while the file was open.
        xmp: XMP packet, or ``None``.
        icc_name: Description of the embedded ICC profile; ``None`` when absent or unreadable.
        has_icc_profile: An ICC profile is embedded.
        has_alpha: The picture can be transparent.
        bit_depth: Bits of a channel, or ``None`` when the file does not say.
        frame_count: Frames or pages; ``None`` for formats that hold one.
        duration_s: Length of an animation in seconds, else ``None``.
        is_animated: More than one frame (pages of a TIFF are not an animation).
        warnings: Recoverable oddities, for people.
        iptc: Records of the IPTC-IIM block as stored, or ``None``.
        text: Comments that the container itself carries (PNG text chunks, GIF and JPEG comments), by keyword.
        has_embedded_video: The video of a motion photo is really in the file, whatever the tags say.
        has_clip_mark: That video is marked as a motion photo's by its container, without any tag.
    """

    picture: Image.Image
    width_px: int
    height_px: int
    orientation: int | None
    exif: ExifData
    xmp: bytes | None
    icc_name: str | None
    has_icc_profile: bool
    has_alpha: bool
    bit_depth: int | None
    frame_count: int | None
    duration_s: float | None
    is_animated: bool
    warnings: tuple[str, ...]
    iptc: bytes | None = None
    text: Mapping[str, str] = field(default_factory=dict)
    has_embedded_video: bool = False
    has_clip_mark: bool = False


def check_pixels(width_px: int, height_px: int, limits: Limits) -> None:
    """Raise ContentError ``TOO_MANY_PIXELS`` when a picture of this size is over the limit."""
    if width_px * height_px > limits.max_pixels:
        raise ContentError(
            ReasonCode.TOO_MANY_PIXELS,
            f"The picture has {width_px} x {height_px} pixels, more than the limit of {limits.max_pixels}. "
            "Upload a smaller one, or raise the limit max_pixels.",
            "decode",
        )


@contextmanager
def codec_errors(name: str) -> Iterator[None]:
    """Turn whatever a codec raises on bad bytes into a ContentError; MemoryError passes.

    Args:
        name: Format for the message, for example ``JPEG``.
    """
    try:
        yield
    except (ContentError, MemoryError):
        raise
    # Pillow and its plugins raise OSError, SyntaxError, ValueError, struct.error, TypeError, EOFError ... on hostile
    # bytes. The causes are chained for the log; their texts may name local paths and are not shown.
    except Exception as error:
        if "truncated" in str(error).lower():
            raise truncated(name) from error
        raise corrupt(name) from error


def truncated(name: str) -> ContentError:
    """Return the error for a file that ends before its data does."""
    return ContentError(
        ReasonCode.TRUNCATED, f"The {name} data ends early (truncated upload). Upload the file again.", "decode"
    )


def corrupt(name: str, detail: str = "") -> ContentError:
    """Return the error for data that no decoder accepts; the detail is shown in brackets."""
    what = f"damaged ({detail})" if detail else "damaged and cannot be decoded"
    return ContentError(ReasonCode.CORRUPT, f"The {name} data is {what}. Upload the file again.", "decode")


def unsupported(name: str, detail: str) -> ContentError:
    """Return the error for a rare kind of a known format, which is sound but has no decoder here."""
    return ContentError(
        ReasonCode.UNSUPPORTED_TYPE,
        f"The {name} uses a rare coding ({detail}) that cannot be decoded. Upload it as a common JPEG, PNG or TIFF.",
        "decode",
    )


def upright_srgb(
    image: Image.Image, full_size: tuple[int, int], longest_px: int | None, orientation: int, warnings: list[str]
) -> Image.Image:
    """Return loaded pixels fitted, converted to sRGB and turned; colour after fitting, when there is less to do.

    Args:
        image: Loaded picture in any mode; ``info["icc_profile"]`` and ``info["transparency"]`` are honoured.
        full_size: Width and height of the whole picture before it is turned; the box is computed from it.
        longest_px: Longest side of the result, never enlarged; ``None`` for the size of ``image``.
        orientation: EXIF orientation that is still to be applied, 1 to 8.
        warnings: Gets a sentence when the colour profile is ignored.
    """
    box = image.size if longest_px is None else fit_box(*full_size, longest_px)
    if image.width < box[0] and image.height < box[1]:  # scaled down by its decoder, enough for the purpose
        box = image.size
    icc = image.info.get("icc_profile") or None
    picture: Image.Image = image
    # Modes that cannot be resampled (palette, bilevel, 16 bits) become 8-bit channels first; those whose greys are
    # scaled by the least and the greatest of all pixels do so as a whole.
    if picture.mode in {"L", "RGB", "RGBA", "CMYK"} and "transparency" not in picture.info:
        picture = resize_to(picture, box)
    elif picture.mode not in {"I", "F", "LAB"}:
        picture = resize_to(reduce_towards(picture, box, lambda band: to_srgb(band, None, warnings)), box)
    picture = resize_to(to_srgb(picture, icc, warnings), box)
    transpose = TRANSPOSES.get(orientation)
    if transpose is not None:
        picture = picture.transpose(transpose)
    elif picture is image:  # the same pixels, without the file, which is closed after this, and its notes
        picture = image._new(image.im)
    picture.info = {}
    return picture


def has_alpha(image: Image.Image) -> bool:
    """Return whether a picture can be transparent."""
    return "A" in image.getbands() or "transparency" in image.info


def icc_facts(icc: bytes | None) -> tuple[str | None, bool]:
    """Return the name of an ICC profile, and whether there is one."""
    return (profile_name(icc) if icc else None), bool(icc)
