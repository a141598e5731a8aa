"""Pictures and videos made in code for the tests of the media layer."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

RED, GREEN, BLUE, WHITE = (200, 30, 30), (30, 160, 40), (30, 40, 200), (240, 240, 240)

UPRIGHT = [RED, GREEN, BLUE, WHITE]
"""Corners of ``quadrants``, when it is upright."""

STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What has to be done to an upright picture so that a viewer that follows the tag shows it upright again."""


def quadrants(width: int = 96, height: int = 64) -> Image.Image:
    """Red top left, green top right, blue bottom left, white bottom right: tells all eight orientations apart."""
    picture = Image.new("RGB", (width, height), WHITE)
    half = (width // 2, height // 2)
    picture.paste(RED, (0, 0, *half))
    picture.paste(GREEN, (half[0], 0, width, half[1]))
    picture.paste(BLUE, (0, half[1], half[0], height))
    return picture


def noisy(width: int = 320, height: int = 240) -> Image.Image:
    """A picture whose encoded data is long enough to be cut."""
    pixels = np.random.default_rng(7).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height))


def encoded(picture: Image.Image, format_name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_name, **options)
    return buffer.getvalue()


def exif_block(
    main: dict[int, Any] | None = None, exif: dict[int, Any] | None = None, gps: dict[int, Any] | None = None
) -> Image.Exif:
    block = Image.Exif()
    block.update(main or {})
    block.get_ifd(ExifTags.IFD.Exif).update(exif or {})
    block.get_ifd(ExifTags.IFD.GPSInfo).update(gps or {})
    return block


def corner_colors(picture: Image.Image) -> list[tuple[int, int, int]]:
    """Colours near the four corners: top left, top right, bottom left, bottom right."""
    rgb = picture.convert("RGB")
    x, y = rgb.width // 8, rgb.height // 8
    spots = [(x, y), (rgb.width - 1 - x, y), (x, rgb.height - 1 - y), (rgb.width - 1 - x, rgb.height - 1 - y)]
    return [rgb.getpixel(spot) for spot in spots]  # type: ignore[misc]


def is_close(colors: list[tuple[int, int, int]], wanted: list[tuple[int, int, int]], tolerance: int = 30) -> bool:
    return all(
        abs(a - b) <= tolerance
        for color, want in zip(colors, wanted, strict=True)
        for a, b in zip(color, want, strict=True)
    )


def write_video(
    path: Path,
    *,
    container: str = "mp4",
    codec: str = "mpeg4",
    frames: int = 20,
    size: tuple[int, int] = (96, 64),
    rotation: float = 0,
    tags: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    audio: bool = False,
    picture: bool = True,
    pixels: NDArray[np.uint8] | None = None,
) -> Path:
    """Write a short video of the quadrants at 10 frames a second, or only sound."""
    with av.open(str(path), "w", format=container, options=options or {}) as output:
        output.metadata.update(tags or {})
        # All streams before the first packet: the header is written with it.
        stream = output.add_stream(codec, rate=Fraction(10)) if picture else None
        sound = output.add_stream("aac", rate=48_000, layout="mono") if audio else None
        if stream is not None:
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.gop_size = 5
            if rotation:
                stream.set_display_rotation(rotation)
            image = np.asarray(quadrants(*size)) if pixels is None else pixels
            for _ in range(frames):
                output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            output.mux(stream.encode(None))
        if sound is not None:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48_000, 0
            output.mux(sound.encode(frame))
            output.mux(sound.encode(None))
    return path
