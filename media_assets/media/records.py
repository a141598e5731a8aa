"""Typed records that the media layer returns: what is known of one file.

Plain frozen dataclasses, so that pydantic can check them when they come back from a worker process. Column names,
units and the meaning of null are those of ``storage.schemas`` (DESIGN.md section 8): missing is ``None``, never ""
or 0.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from media_assets.media.dominant_colors import DominantColor

MediaType = Literal["image", "video"]


@dataclass(frozen=True)
class FileFacts:
    """What the decoder found the file to be.

    Attributes:
        media_type: ``image`` or ``video``.
        mime_type: By content, for example ``image/heic``.
        format: Short lower-case name by content: jpeg png gif webp heic tiff bmp avif mp4 mov mkv webm avi ...
        extension: Canonical extension for the stored original, without the dot.
        width_px: Width of the upright picture.
        height_px: Height of the upright picture.
        orientation: EXIF orientation as stored, 1-8; ``None`` when absent or out of range.
        duration_s: Length of a video or animation in seconds.
        frame_count: Frames of an animation, pages of a TIFF, frames of a video where the container says so.
    """

    media_type: MediaType
    mime_type: str
    format: str
    extension: str
    width_px: int
    height_px: int
    orientation: int | None = None
    duration_s: float | None = None
    frame_count: int | None = None


@dataclass(frozen=True)
class Metadata:
    """Descriptive metadata of one file; a field a file does not carry is ``None``.

    ``captured_at`` is aware UTC and ``None`` while the offset is unknown; ``captured_at_local`` is the naive wall
    time as written by the camera.
    """

    captured_at: datetime | None = None
    captured_at_local: datetime | None = None
    utc_offset_minutes: int | None = None
    captured_at_source: str | None = None
    camera_make: str | None = None
    camera_model: str | None = None
    lens_make: str | None = None
    lens_model: str | None = None
    software: str | None = None
    iso: int | None = None
    f_number: float | None = None
    exposure_time_s: float | None = None
    focal_length_mm: float | None = None
    focal_length_35mm_mm: float | None = None
    flash_fired: bool | None = None
    white_balance: str | None = None
    metering_mode: str | None = None
    exposure_program: str | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    altitude_m: float | None = None
    gps_at: datetime | None = None
    timezone: str | None = None
    title: str | None = None
    description: str | None = None
    keywords: tuple[str, ...] | None = None
    rating: int | None = None
    creator: str | None = None
    copyright: str | None = None
    color_space: str | None = None
    has_icc_profile: bool | None = None
    icc_profile_name: str | None = None
    bit_depth: int | None = None
    has_alpha: bool | None = None
    is_animated: bool | None = None
    live_photo_id: str | None = None
    is_motion_photo: bool | None = None
    container: str | None = None
    video_codec: str | None = None
    audio_codec: str | None = None
    frame_rate_fps: float | None = None
    bit_rate_bps: int | None = None
    rotation_deg: int | None = None
    pixel_format: str | None = None
    color_transfer: str | None = None
    audio_channels: int | None = None
    sample_rate_hz: int | None = None
    tags_json: str | None = None
    warnings: tuple[str, ...] | None = None


CropReason = Literal["faces", "entropy", "center"]


@dataclass(frozen=True)
class Crop:
    """The part of the upright original that a rendition shows, in whole pixels, and what it was chosen by."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int
    reason: CropReason


@dataclass(frozen=True)
class Rendition:
    """One encoded derived picture or clip, written to the scratch folder of the task.

    Attributes:
        kind: ``thumb_150`` ``thumb_300`` ``thumb_600`` ``thumb_1200`` ``preview``, ``optimized``, and of videos
            ``frame_01`` to ``frame_16``, ``storyboard`` ``animated_preview`` ``clip``.
        file_name: Bare file name inside the scratch folder: the kind and the extension of the format.
        format: ``jpeg``, ``webp``, ``avif`` or ``mp4``; copies of the file also ``png`` or ``gif``.
        width_px: Width of the encoded picture.
        height_px: Height of the encoded picture.
        size_bytes: Length of the encoded file.
        crop: What it shows of the original; ``None``: all of it.
        ssim: Structural similarity of the encoded picture to the original at the same size, 0-1, where measured.
        quality: Quality that the encoder was told, on its own scale; ``None`` where there is none.
        thumbhash: ThumbHash of what it shows, base64, for pictures that pages show before they are loaded.
        duration_s: Length of a clip or animation in seconds.
        frame_s: Time of a frame in its video in seconds; ``None`` of other kinds.
    """

    kind: str
    file_name: str
    format: str
    width_px: int
    height_px: int
    size_bytes: int
    crop: Crop | None = None
    ssim: float | None = None
    quality: int | None = None
    thumbhash: str | None = None
    duration_s: float | None = None
    frame_s: float | None = None


@dataclass(frozen=True)
class Appearance:
    """How a picture looks; each number is defined in ``appearance``.

    Attributes:
        dominant_colors: Up to five, the largest share first.
        brightness: Mean lightness, 0 black to 1 white.
        saturation: Mean saturation of HSV, 0-1.
        color_temperature: Of the mean colour in kelvin; ``None`` where the colour has none.
        blur_score: 0 sharp to 1 blurred; ``None`` without any detail.
        noise_score: 0 clean to 1.
        contrast: 0 flat to 1.
        exposure: -1 too dark to 1 too light.
        quality_score: 0 to 1.
        phash: 64-bit DCT hash, not negative.
        dhash: 64-bit difference hash, not negative.
    """

    dominant_colors: tuple[DominantColor, ...]
    brightness: float
    saturation: float
    color_temperature: float | None
    blur_score: float | None
    noise_score: float
    contrast: float
    exposure: float
    quality_score: float
    phash: int
    dhash: int


@dataclass(frozen=True)
class WebVideo:
    """The web renditions of a video.

    Attributes:
        renditions: In the order of their kinds.
        notes: Why there is no clip, or how it was made, for people.
    """

    renditions: tuple[Rendition, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MediaResult:
    """Everything that one pass over one file gave.

    Attributes:
        facts: What the file is.
        metadata: Present when it was asked for.
        renditions: Thumbnails and preview, when they were asked for, in the order of their kinds; then the frames of a
            video that analysis reads.
        appearance: Present when it was asked for.
        optimized: Web versions, when they were asked for; none where no encoding is smaller than the file itself.
        optimized_notes: Why a video has no clip, or how it was made, for people.
        warnings: Recoverable oddities, for people ("EXIF date 2021:13:45 is not a date").
    """

    facts: FileFacts
    metadata: Metadata | None = None
    renditions: tuple[Rendition, ...] = ()
    optimized: tuple[Rendition, ...] = ()
    optimized_notes: tuple[str, ...] = ()
    appearance: Appearance | None = None
    warnings: tuple[str, ...] = field(default=())
