"""The frames of an animation, one after the other, as a browser shows them.

Lives here: stepping through GIF, APNG, WebP and AVIF with Pillow, which composes each frame with those before it. Must
not: encode. One frame is in memory at a time.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from media_assets.media.exif import read_exif, stored_orientation
from media_assets.media.picture import codec_errors, upright_srgb

_PILLOW_FORMATS = {"gif": "GIF", "apng": "PNG", "webp": "WEBP", "avif": "AVIF"}
_ONCE, _FOREVER = 1, 0
_MOST_PLAYS = 65_535  # of WebP

STEPPABLE = frozenset(_PILLOW_FORMATS)
"""Formats whose frames can be read; of JPEG XL only the first one can."""


@dataclass(frozen=True)
class Frame:
    """One composed frame.

    Attributes:
        pixels: Upright sRGB, shape (height, width, 4), straight alpha; all frames have the same size.
        duration_ms: As stored. Browsers show frames of 10 ms and less for 100 ms.
    """

    pixels: NDArray[np.uint8]
    duration_ms: int


@dataclass(frozen=True)
class Animation:
    """An animation file and how large its frames are wanted.

    Attributes:
        path: The file.
        format_name: One of ``STEPPABLE``.
        longest_px: Longest side of the frames, never enlarged.
    """

    path: Path
    format_name: str
    longest_px: int

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in order.

        Raises:
            ContentError: One is damaged.
        """
        orientation = None
        rest_ms = 0.0
        with codec_errors(self.format_name.upper()), self._open() as image:
            # APNG: the picture for viewers that know no animation is counted as a frame, and is none.
            first = 1 if image.info.get("default_image") else 0
            for number in range(first, int(getattr(image, "n_frames", 1))):
                image.seek(number)
                image.load()
                if orientation is None:
                    orientation = stored_orientation(read_exif(image, [])) or 1
                # Fractions of milliseconds add up over many frames: they are carried on, not dropped.
                exact_ms = max(0.0, float(image.info.get("duration") or 0)) + rest_ms
                duration_ms = math.floor(exact_ms + 1e-6)
                rest_ms = exact_ms - duration_ms
                picture = upright_srgb(image, image.size, self.longest_px, orientation, [])
                yield Frame(np.asarray(picture.convert("RGBA")), duration_ms)

    def plays(self) -> int:
        """Return how often the animation is played; 0 is without end."""
        with codec_errors(self.format_name.upper()), self._open() as image:
            stored = image.info.get("loop")
        if self.format_name == "gif":
            # Netscape's number says how often it is repeated after the first time; browsers and gif2webp agree.
            plays = _ONCE if stored is None else _FOREVER if stored == 0 else int(stored) + 1
        else:
            plays = _FOREVER if stored is None else int(stored)
        return min(plays, _MOST_PLAYS)

    def _open(self) -> Image.Image:
        return Image.open(self.path, formats=[_PILLOW_FORMATS[self.format_name]])
