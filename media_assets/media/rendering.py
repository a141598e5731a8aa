"""What can be chosen about renditions. Plain data: sizes and encoders are in ``resize`` and ``encode``."""

from dataclasses import dataclass
from typing import Literal

PictureFormat = Literal["jpeg", "webp", "avif"]
AnimationFormat = Literal["webp", "mp4"]

EXTENSION_OF = {"jpeg": "jpg", "webp": "webp", "avif": "avif", "png": "png", "gif": "gif", "mp4": "mp4"}
"""File extension of each format that renditions are written in."""

FRAME_KINDS = tuple(f"frame_{number:02}" for number in range(1, 17))
"""Kinds of the frames of a video that analysis reads, in the order of time; the asset ``thumbnails`` writes them."""

OPTIMIZED_KINDS = ("optimized", "storyboard", "animated_preview", "clip")
"""Kinds that the asset ``optimized`` writes: the first of pictures and animations, the others of videos."""


@dataclass(frozen=True)
class RenderOptions:
    """How the renditions of one file are made. All of it is part of the code version of their asset.

    Attributes:
        thumbnail_format: Format of the thumbnails; the preview is always JPEG, because analysis reads it.
        thumbnail_squares: Those thumbnail sizes (px) that are cut to squares; the others keep the aspect.
        thumbnail_crop: How squares are cut: around faces and what stands out, or from the middle.
        background: ``#rrggbb`` under transparent parts, wherever the format has no transparency.
        video_frames: Frames of a video that are written for its analysis, at most; 1-16.
        optimized_formats: Formats of the web version of a picture.
        optimized_ssim: Structural similarity to the original at display size that each web version reaches, 0-1.
        animation_format: Format of the web version of an animation.
        clip_timeout_s: Wall-clock time for all web renditions of one video.
    """

    thumbnail_format: PictureFormat = "jpeg"
    thumbnail_squares: tuple[int, ...] = ()
    thumbnail_crop: Literal["smart", "center"] = "smart"
    background: str = "#ffffff"
    video_frames: int = len(FRAME_KINDS)
    optimized_formats: tuple[PictureFormat, ...] = ("avif", "jpeg", "webp")
    optimized_ssim: float = 0.98
    animation_format: AnimationFormat = "webp"
    clip_timeout_s: float = 7200.0


DEFAULT_OPTIONS = RenderOptions()
"""The choices of the default settings."""
