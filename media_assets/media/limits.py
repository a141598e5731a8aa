"""Limits that a file must meet before it is decoded (DESIGN.md section 10)."""

from dataclasses import dataclass

MAX_SIDECAR_BYTES = 2**20
"""Size of a sidecar file; real ones have a few kilobytes, edit histories some hundred."""


@dataclass(frozen=True)
class Limits:
    """Upper bounds, all inclusive. Checked from headers, before pixels are allocated.

    Attributes:
        max_image_bytes: Size of a picture file.
        max_video_bytes: Size of a video file.
        max_pixels: Pixels of one picture or video frame (width x height).
        max_frames: Frames of an animation that are counted.
        max_duration_s: Length of a video in seconds.
        max_streams: Streams in one container.
    """

    max_image_bytes: int = 200 * 2**20
    max_video_bytes: int = 2 * 2**30
    max_pixels: int = 200_000_000
    max_frames: int = 10_000
    max_duration_s: float = 3 * 3600.0
    max_streams: int = 64
