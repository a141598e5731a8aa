"""The lowest quality with which an encoded picture still looks like what was encoded.

Lives here: the search, on a sample of tiles first, then on the whole picture. Must not: choose formats or files, set up
encoders. What was encoded is decoded again and measured: no quality number means the same to two encoders.
"""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from media_assets.media.encode import encode_picture, flatten
from media_assets.media.rendering import PictureFormat
from media_assets.media.ssim import color_detail, luma, mean_chroma_ssim, mean_ssim

_TILE_PX = 192
_TILES_ACROSS = 3
_TILES = _TILES_ACROSS**2
_SMALL_PICTURE = 2  # times the pixels of the sample, up to which the picture itself is tried at every quality
_MOST_WHOLE_TRIES = 3
_QUICK_GUESSES = 4
_EXCESS_SSIM = 0.006  # better than asked for by so much is not worth one more encoding of the whole picture
_SAMPLE_SSIM = 0.0008  # what the sample cannot tell apart; about one step of quality
_CHROMA_SSIM = 0.85  # of Cb and Cr; most photos have 0.95-0.99 where luma has 0.98, less where colours are noise
_GAIN_PER_STEP = 0.05  # about: what a step of quality takes away of what is missing to 1.0
_LEAST_GAIN = 0.0001
# Below the lower ones, smooth skies get steps and blocks which SSIM does not mind; above the upper ones, files grow
# and nothing is gained.
_RANGE: Mapping[PictureFormat, tuple[int, int]] = {"jpeg": (60, 98), "webp": (60, 98), "avif": (50, 95)}
_FIRST_GUESS: Mapping[PictureFormat, int] = {"jpeg": 85, "webp": 86, "avif": 75}  # guesses only save time

# Chroma at half size blurs every coloured edge a little: more than 11 levels are lost in no square of most photos, and
# 43 in those with red letters on blue.
_COLOR_DETAIL_LEVELS = 20.0
_COLOR_DETAIL_SHARE = 0.001

_Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Encoded:
    """One encoded picture.

    Attributes:
        data: The file.
        ssim: Mean SSIM of luma between the decoded file and what was encoded, on the background where transparent.
        quality: What the encoder was told; ``None`` where it loses nothing.
    """

    data: bytes
    ssim: float
    quality: int | None


class TargetQuality:
    """Encodes one picture so that it reaches a similarity.

    Attributes:
        has_fine_colors: Colour at half size would smear edges that people see, such as red letters on blue; formats
            that can store it at full size do.

    Args:
        pixels: Shape (height, width), (height, width, 3) or (height, width, 4), straight alpha; sRGB.
        ssim: Mean SSIM of luma to reach, 0-1.
        background: ``#rrggbb`` on which transparent pictures are compared.
    """

    def __init__(self, pixels: _Pixels, ssim: float, background: str) -> None:
        self._whole = _Specimen(pixels, background)
        self._target = ssim
        self.has_fine_colors = pixels.ndim == 3 and _has_fine_colors(self._whole.seen)
        sample = sample_tiles(pixels)
        self._sample = self._whole if sample is None else _Specimen(sample, background)
        self._guess_offset = 0

    def encode(self, format_name: PictureFormat) -> Encoded:
        """Return the picture at the lowest quality that reaches the target.

        Where none does, it is the best of those that were tried: look at ``ssim``. Luma decides, unless colours
        suffer far more. Large pictures are encoded once to three times; all else is tried on the sample.
        """
        guess = _FIRST_GUESS[format_name] + self._guess_offset
        low, high = _RANGE[format_name]
        whole = _Trials(self._whole, self, format_name)
        if self._sample is self._whole:
            whole.lowest(0.0, 0.0, guess, low, high)
            return self._found(whole.best(), format_name)
        sample = _Trials(self._sample, self, format_name)
        aim = _SAMPLE_SSIM  # margin that the sample must have for the whole to have none
        for _ in range(_MOST_WHOLE_TRIES):
            quality = sample.lowest(aim, _SAMPLE_SSIM, guess, low, high)
            margin = whole.margin(quality)
            if 0 <= margin <= _EXCESS_SSIM or (margin < 0 and quality == high) or (margin > 0 and quality == low):
                break
            if margin < 0:
                low = quality + 1
            else:
                high = quality
            aim = sample.margin(quality) - margin + _SAMPLE_SSIM / 2
            guess = quality
        return self._found(whole.best(), format_name)

    def _found(self, made: Encoded, format_name: PictureFormat) -> Encoded:
        """Remember for the next format whether the picture is harder than others."""
        if made.quality is not None:
            self._guess_offset = made.quality - _FIRST_GUESS[format_name]
        return made

    def tried(self, specimen: "_Specimen", format_name: PictureFormat, quality: int) -> tuple[Encoded, float]:
        """Return a specimen encoded, and by how much it is better than the target; negative when it is worse."""
        data = encode_picture(specimen.pixels, format_name, quality, full_chroma=self.has_fine_colors, quick=True)
        seen = specimen.decoded(data)
        ssim = mean_ssim(specimen.seen, seen)
        margin = ssim - self._target
        if margin >= 0 and specimen.seen.ndim == 3:
            wanted = self._target if self.has_fine_colors and format_name != "webp" else _CHROMA_SSIM
            margin = min(margin, mean_chroma_ssim(specimen.seen, seen) - wanted)
        return Encoded(data, ssim, quality), margin


class _Specimen:
    """Pixels, and what is seen of them on the background."""

    def __init__(self, pixels: _Pixels, background: str) -> None:
        self.pixels, self._background = pixels, background
        self.seen = flatten(pixels, background)

    def decoded(self, data: bytes) -> _Pixels:
        """Return what is seen of an encoded file: the shape of ``seen``."""
        return decoded_as(data, self.pixels, self._background)


class _Trials:
    """All qualities at which one specimen was tried."""

    def __init__(self, specimen: _Specimen, search: TargetQuality, format_name: PictureFormat) -> None:
        self._specimen, self._search, self._format = specimen, search, format_name
        self._tried: dict[int, tuple[Encoded, float]] = {}

    def margin(self, quality: int) -> float:
        if quality not in self._tried:
            self._tried[quality] = self._search.tried(self._specimen, self._format, quality)
        return self._tried[quality][1]

    def best(self) -> Encoded:
        """Return the lowest quality with a margin, else the one that comes nearest."""
        good = [quality for quality, (_, margin) in self._tried.items() if margin >= 0]
        return self._tried[min(good) if good else max(self._tried, key=lambda quality: self._tried[quality][1])][0]

    def lowest(self, aim: float, tolerance: float, guess: int, low: int, high: int) -> int:
        """Return the lowest quality of a range with this margin; the highest when none has it.

        Args:
            aim: Margin to reach.
            tolerance: A margin that exceeds it by less is taken, without a look at the quality below.
            guess: Where to begin.
            low: First quality of the range.
            high: Last quality of the range.
        """
        too_low, enough = low - 1, high + 1
        guesses = 0
        while enough - too_low > 1 and too_low < high:
            quality = min(max(guess, too_low + 1), enough - 1, high)
            missing = aim - self.margin(quality)
            if missing <= 0:
                enough = quality
                if -missing < tolerance:
                    break
            else:
                too_low = quality
            guesses += 1
            if guesses < _QUICK_GUESSES:
                guess = quality + math.ceil((missing + tolerance / 2) / self._gain(quality, too_low, enough))
            else:
                guess = (too_low + enough) // 2
        return min(enough, high)

    def _gain(self, quality: int, too_low: int, enough: int) -> float:
        """Return what a step of quality gains: measured between two qualities, else guessed from the one just tried."""
        if too_low in self._tried and enough in self._tried:
            gained = (self._tried[enough][1] - self._tried[too_low][1]) / (enough - too_low)
        else:
            gained = _GAIN_PER_STEP * (1 - self._tried[quality][0].ssim)
        return max(gained, _LEAST_GAIN)


def decoded_as(data: bytes, pixels: _Pixels, background: str) -> _Pixels:
    """Return what people see of an encoded picture, in the shape that what was encoded has on the background.

    Args:
        data: A file of one of the formats of renditions.
        pixels: What was encoded, or pixels of that shape.
        background: ``#rrggbb`` behind what is transparent.
    """
    mode = {(): "L", (3,): "RGB", (4,): "RGBA"}[pixels.shape[2:]]
    with Image.open(io.BytesIO(data), formats=("JPEG", "WEBP", "AVIF", "PNG", "GIF")) as image:
        return flatten(np.asarray(image.convert(mode)), background)


def sample_tiles(pixels: _Pixels) -> _Pixels | None:
    """Return nine tiles of the picture side by side, from the flattest to the busiest; ``None`` for small pictures.

    They stand at even distances in the order of all tiles by detail, so that their mean is near that of the picture.

    Args:
        pixels: Shape (height, width) or (height, width, channels).

    Returns:
        Tiles of 192 pixels in three rows, from places that are multiples of 192: where encoders cut blocks too.
    """
    height, width = pixels.shape[:2]
    down, across = height // _TILE_PX, width // _TILE_PX
    if down * across <= _TILES or height * width <= _SMALL_PICTURE * _TILES * _TILE_PX**2:
        return None
    grid = luma(pixels[..., :3] if pixels.ndim == 3 else pixels)[: down * _TILE_PX, : across * _TILE_PX]
    steps = np.abs(np.diff(grid.astype(np.int16), axis=1, append=grid[:, -1:])).astype(np.float32)
    detail = steps.reshape(down, _TILE_PX, across, _TILE_PX).mean(axis=(1, 3)).ravel()
    order = np.argsort(detail, kind="stable")
    chosen = order[np.round(np.linspace(0, len(order) - 1, _TILES)).astype(int)]
    tiles = [_tile(pixels, *divmod(int(place), across)) for place in chosen]
    rows = [np.concatenate(tiles[at : at + _TILES_ACROSS], axis=1) for at in range(0, _TILES, _TILES_ACROSS)]
    return np.ascontiguousarray(np.concatenate(rows, axis=0))


def _tile(pixels: _Pixels, row: int, column: int) -> _Pixels:
    top, left = row * _TILE_PX, column * _TILE_PX
    return pixels[top : top + _TILE_PX, left : left + _TILE_PX]


def _has_fine_colors(pixels: _Pixels) -> bool:
    return float((color_detail(pixels) > _COLOR_DETAIL_LEVELS).mean()) > _COLOR_DETAIL_SHARE
