"""The web version of an animation: animated WebP, or MP4 without sound.

Lives here: what it may cost, its quality, animated WebP. Must not: read source frames (``animation_frames``), write MP4
(``animation_mp4``). Frames are read, fitted and encoded one at a time.
"""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from media_assets.media.animation_frames import STEPPABLE, Animation
from media_assets.media.animation_mp4 import CRF_FIRST, CRF_LOWEST, mp4_frames, mp4_size, write_mp4
from media_assets.media.encode import encode_lossless, flatten, store
from media_assets.media.records import FileFacts, Rendition
from media_assets.media.rendering import EXTENSION_OF, RenderOptions
from media_assets.media.resize import fit_box, resize_pixels
from media_assets.media.ssim import mean_ssim
from media_assets.media.target_quality import TargetQuality, sample_tiles

LONGEST_PX = 1280
"""Longest side of the web version of an animation."""

_MAX_PIXELS = 100_000_000  # of all frames together, to be encoded; up to a minute of a core without loss
_MAX_SOURCE_PIXELS = 600_000_000  # likewise, to be read
_SMALLEST_SCALE = 1 / 4
_LOOKED_AT = 5  # frames whose quality is measured
_MOST_TRIES = 3
_METHOD = 2
_KEYFRAMES = {"kmin": 20, "kmax": 40}  # Pillow's own cut unchanged areas off only every fifth frame
_MAX_WEBP_QUALITY, _STEP, _GAIN_PER_STEP = 98, 3, 0.05
_CRF_STEP = 4

_Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class _Survey:
    """What one look at all frames found.

    Attributes:
        durations_ms: Of all frames, as stored.
        looked_at: Some frames, by their number.
        size: Width and height of the frames.
    """

    durations_ms: tuple[int, ...]
    looked_at: dict[int, _Pixels]
    size: tuple[int, int]


def write_animation(
    path: Path, facts: FileFacts, scratch: Path, options: RenderOptions, notes: list[str]
) -> Rendition | None:
    """Write the animation as ``optimized.webp`` or ``optimized.mp4``, whichever ``options.animation_format`` says.

    All frames with their times are kept (frames that equal the one before are shown longer instead); WebP also keeps
    transparency and the number of plays. The longest side is at most 1280 pixels, less for very long animations.

    Args:
        path: The file.
        facts: What it is.
        scratch: Existing folder; a file of the same name is replaced.
        options: Format, similarity, background.
        notes: Gets a sentence when it is left out.

    Returns:
        The rendition, which may be larger than the file; ``None`` when it is left out.

    Raises:
        ContentError: A frame is damaged.
        ScratchError: The file could not be written to its end.
    """
    if facts.format not in STEPPABLE:
        notes.append("The animation has no web version: only its first frame can be read.")
        return None
    longest_px = _affordable_px(facts)
    if longest_px is None:
        notes.append("The animation has no web version: it has too many frames for its size.")
        return None
    animation = Animation(path, facts.format, longest_px)
    survey = _survey(animation, facts.frame_count or 1)
    write = _write_webp if options.animation_format == "webp" else _write_mp4
    return write(animation, survey, scratch, options)


def _affordable_px(facts: FileFacts) -> int | None:
    """Return the longest side that all frames together can be encoded at, or ``None``."""
    frames = facts.frame_count or 1
    width, height = fit_box(facts.width_px, facts.height_px, LONGEST_PX)
    scale = min(1.0, math.sqrt(_MAX_PIXELS / (width * height * frames)))
    if scale < _SMALLEST_SCALE or facts.width_px * facts.height_px * frames > _MAX_SOURCE_PIXELS:
        return None
    return max(1, math.floor(max(width, height) * scale))


def _survey(animation: Animation, frame_count: int) -> _Survey:
    wanted = {round(number) for number in np.linspace(0, frame_count - 1, min(_LOOKED_AT, frame_count))}
    durations, looked_at, size = [], {}, (1, 1)
    for number, frame in enumerate(animation.frames()):
        durations.append(frame.duration_ms)
        if number in wanted or number == 0:
            looked_at[number] = frame.pixels.copy()
        size = (frame.pixels.shape[1], frame.pixels.shape[0])
    return _Survey(tuple(durations), looked_at, size)


# --------------------------------------------------------------------------------------------------------------- WebP


class _Pulled:
    """What Pillow's writer takes for one more picture with many frames: it asks for each when it encodes it."""

    def __init__(self, frames: Iterator[Image.Image], count: int) -> None:
        self._frames = frames
        self.n_frames = count
        self.mode = "RGBA"
        self._current: Image.Image  # the writer seeks before it asks for pixels

    def seek(self, _number: int) -> None:
        self._current = next(self._frames)

    def getim(self) -> object:
        return self._current.getim()


def _write_webp(animation: Animation, survey: _Survey, scratch: Path, options: RenderOptions) -> Rendition:
    quality, is_lossless = _quality_of_stills(survey, options)
    plays = animation.plays()
    source_bytes = animation.path.stat().st_size
    # Not 0, so that a frame can be told by its time. Browsers show both for 100 ms.
    durations_ms = [max(1, duration) for duration in survey.durations_ms]
    starts = [0, *np.cumsum(durations_ms)[:-1].tolist()]
    tried: list[tuple[float, int, bytes]] = []
    for _ in range(_MOST_TRIES):
        data = _encoded_webp(animation, durations_ms, plays, quality, is_lossless=is_lossless)
        ssim = _mean_ssim(_webp_frames_at(data, [starts[number] for number in survey.looked_at]), survey, options)
        tried.append((ssim, quality, data))
        missing = options.optimized_ssim - ssim
        if missing <= 0 or is_lossless or quality >= _MAX_WEBP_QUALITY or len(data) >= source_bytes:
            break  # more quality would not be smaller
        step = max(_STEP, math.ceil(missing / (_GAIN_PER_STEP * (1 - ssim))))
        quality = min(_MAX_WEBP_QUALITY, quality + step)
    ssim, quality, data = max(tried)
    file_name = f"optimized.{EXTENSION_OF['webp']}"
    return Rendition(
        kind="optimized",
        file_name=file_name,
        format="webp",
        width_px=survey.size[0],
        height_px=survey.size[1],
        size_bytes=store(data, scratch / file_name),
        ssim=round(ssim, 5),
        quality=None if is_lossless else quality,
        duration_s=sum(durations_ms) / 1000,
    )


def _quality_of_stills(survey: _Survey, options: RenderOptions) -> tuple[int, bool]:
    """Return the quality that some frames need, and whether they are smaller without loss."""
    stills = np.concatenate(list(survey.looked_at.values()), axis=0)
    sample = sample_tiles(stills)
    stills = stills if sample is None else sample
    lossy = TargetQuality(stills, options.optimized_ssim, options.background).encode("webp")
    return lossy.quality or _MAX_WEBP_QUALITY, len(encode_lossless(stills)) <= len(lossy.data)


def _encoded_webp(
    animation: Animation, durations_ms: Sequence[int], plays: int, quality: int, *, is_lossless: bool
) -> bytes:
    frames = (Image.fromarray(frame.pixels) for frame in animation.frames())
    buffer = io.BytesIO()
    first = next(frames)
    first.save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=[_Pulled(frames, len(durations_ms) - 1)] if len(durations_ms) > 1 else [],
        duration=list(durations_ms),
        loop=plays,
        quality=quality,
        lossless=is_lossless,
        method=_METHOD,
        **_KEYFRAMES,
    )
    return buffer.getvalue()


def _webp_frames_at(data: bytes, times_ms: Sequence[int]) -> Iterator[_Pixels]:
    """Yield what an animated WebP shows at these times, which rise."""
    with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
        number, end_ms = -1, -1
        for time_ms in times_ms:
            while end_ms <= time_ms and number + 1 < int(getattr(image, "n_frames", 1)):
                number += 1
                image.seek(number)
                image.load()
                end_ms = int(image.info.get("timestamp", 0)) + int(image.info.get("duration", 0))
            yield np.asarray(image.convert("RGBA"))


def _mean_ssim(shown: Iterator[_Pixels], survey: _Survey, options: RenderOptions) -> float:
    found = []
    for pixels, expected in zip(shown, survey.looked_at.values(), strict=True):
        seen, wanted = flatten(pixels, options.background), flatten(expected, options.background)
        found.append(mean_ssim(seen, resize_pixels(wanted, (seen.shape[1], seen.shape[0]))))
    return float(np.mean(found))


# ---------------------------------------------------------------------------------------------------------------- MP4


def _write_mp4(animation: Animation, survey: _Survey, scratch: Path, options: RenderOptions) -> Rendition:
    size = mp4_size(survey.size)
    file_name = f"optimized.{EXTENSION_OF['mp4']}"
    crf = CRF_FIRST
    for _ in range(_MOST_TRIES):
        duration_s = write_mp4(animation.frames(), size, scratch / file_name, options.background, crf)
        ssim = _mean_ssim(mp4_frames(scratch / file_name, list(survey.looked_at)), survey, options)
        made = Rendition(
            kind="optimized",
            file_name=file_name,
            format="mp4",
            width_px=size[0],
            height_px=size[1],
            size_bytes=(scratch / file_name).stat().st_size,
            ssim=round(ssim, 5),
            quality=crf,
            duration_s=duration_s,
        )
        if ssim >= options.optimized_ssim or crf <= CRF_LOWEST:
            break
        crf = max(CRF_LOWEST, crf - _CRF_STEP)
    return made
