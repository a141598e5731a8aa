"""Videos through FFmpeg (PyAV): facts, tags, length and one upright poster picture.

Lives here: what one pass over a video tells. Must not: full decoding, clips, encoding; opening is in ``video_open.py``,
the choice of the poster in ``poster.py``, facts in ``video_facts.py``, tags in ``video_tags.py``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from media_assets.media.asf import read_asf_properties
from media_assets.media.avchd import read_recording
from media_assets.media.claims import Claims
from media_assets.media.decode import codec_errors
from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.frames import start_of, upright_picture
from media_assets.media.isobmff import MovieBoxes, read_movie_boxes
from media_assets.media.limits import Limits
from media_assets.media.poster import choose_poster
from media_assets.media.quicktime import MovieTags, read_movie_tags
from media_assets.media.resize import fit_box
from media_assets.media.sniff import Sniffed
from media_assets.media.structure import check_stream_complete
from media_assets.media.video_facts import (
    frames_duration,
    measured_frame_rate,
    packet_duration,
    read_packets,
    stated_duration,
    stream_fields,
)
from media_assets.media.video_open import ELEMENTARY, VideoSource, open_video, picture_stream, video_source
from media_assets.media.video_tags import container_claims, movie_claims

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_MAX_RECORDING_PACKETS = 60  # of the video stream; camcorders repeat the message at each keyframe


@dataclass(frozen=True)
class DecodedVideo:
    """What one video holds.

    Attributes:
        source: How it is opened.
        span_s: The length in which frames can be sought, in seconds; ``None`` if it is unknown.
        poster: Upright RGB frame, fitted into the box that was asked for.
        poster_s: Time of the poster in the video, in seconds; ``None`` when it is black because there is no frame.
        width_px: Width of the upright frame, sample aspect ratio not applied.
        height_px: Height of the upright frame.
        duration_s: Length in seconds as the container, or the fragments of an MP4 state it. ``None`` when the
            container states none, as live Matroska recordings do; a warning then tells the measured span.
        frame_count: Frames of the video stream where the container says so.
        fields: Technical fields of ``Metadata`` by name.
        claims: What the tags of the container say; the most trusted first.
        xmp: XMP packet of the file as stored, or ``None``.
        warnings: Recoverable oddities, for people.
    """

    source: VideoSource
    span_s: float | None
    poster: Image.Image
    poster_s: float | None
    width_px: int
    height_px: int
    duration_s: float | None
    frame_count: int | None
    fields: dict[str, Any]
    claims: tuple[Claims, ...]
    xmp: bytes | None
    warnings: tuple[str, ...]


def decode_video(path: Path, sniffed: Sniffed, limits: Limits, *, longest_px: int) -> DecodedVideo:
    """Read a video's facts and tags, and decode the frame that shows it best, which proves that it shows.

    Args:
        path: File to read; its name does not matter.
        sniffed: What :func:`media_assets.media.sniff.sniff` said of it; chooses the demuxer.
        limits: Pixels, streams and duration are checked before a frame is decoded.
        longest_px: Longest side of the poster, never enlarged.

    Raises:
        ContentError: The file is damaged, cut, over a limit or has no picture stream that can be decoded.
    """
    source = video_source(path, sniffed, limits)
    boxes = read_movie_boxes(path) if source.demuxer == "mov" else None
    check_stream_complete(path, sniffed.format)
    movie = read_movie_tags(path) if source.demuxer == "mov" else None
    warnings: list[str] = []
    with open_video(source) as container:
        stream = picture_stream(container, source)
        _check_samples(container, boxes, path.stat().st_size)
        with codec_errors("video"):
            fields = stream_fields(container, stream, sniffed.format)
            frame_count = stream.frames or None
            starts_at = start_of(stream)
            stated = stated_duration(container) if source.demuxer != ELEMENTARY else None
            claims = _claims(source, container, stream, movie, warnings)
    if fields["frame_rate_fps"] is None:
        fields["frame_rate_fps"] = _measure_rate(source)
    is_fragmented = boxes is not None and boxes.is_fragmented
    duration, span = video_length(source, stated, is_fragmented=is_fragmented, warnings=warnings)
    frame = choose_poster(source, span)
    if frame is None:
        poster, size, rotation = _empty_poster(source, movie, longest_px, warnings)
    else:
        box = fit_box(frame.width, frame.height, longest_px)
        poster, size, rotation = upright_picture(frame, limits, box, warnings)
    return DecodedVideo(
        source=source,
        span_s=span,
        poster=poster,
        poster_s=None if frame is None else _time_after(frame, starts_at),
        width_px=size[0],
        height_px=size[1],
        duration_s=duration,
        frame_count=frame_count,
        fields={**fields, "rotation_deg": rotation},
        claims=claims,
        xmp=movie.xmp if movie else None,
        warnings=tuple(warnings),
    )


def _time_after(frame: "VideoFrame", starts_at: int) -> float:
    """Return the time of a frame; where the file does not tell it, the frame came first."""
    if frame.pts is None or not frame.time_base:
        return 0.0
    return max(0.0, float((frame.pts - starts_at) * frame.time_base))


def _check_samples(container: "InputContainer", boxes: MovieBoxes | None, file_size: int) -> None:
    """Raise TRUNCATED when samples lie beyond the end; a wrong size of the data box alone does no harm."""
    if boxes is None or not boxes.data_runs_past_end:
        return
    ends = (entry.pos + entry.size for stream in container.streams for entry in stream.index_entries)
    if boxes.is_fragmented or max(ends, default=0) > file_size:
        raise ContentError(
            ReasonCode.TRUNCATED, "The video data ends early (truncated upload). Upload the file again.", "decode"
        )


def _claims(
    source: VideoSource,
    container: "InputContainer",
    stream: "VideoStream",
    movie: MovieTags | None,
    warnings: list[str],
) -> tuple[Claims, ...]:
    """Return what the tags claim; those of the picture stream fill in what the container does not say."""
    if movie is not None:
        claims = movie_claims(movie)
        warnings.extend(movie.notes)
        if movie.has_external_picture:
            warnings.append("The movie refers to other files for its pictures; only what this file holds was read.")
        return (claims,)
    if source.demuxer == "mpegts":
        return _recording_claims(container, stream)
    if source.demuxer in {"mpeg", ELEMENTARY}:
        return ()
    created = read_asf_properties(source.path).created if source.demuxer == "asf" else None
    metadata = {**stream.metadata, **container.metadata}
    return (container_claims(source.demuxer, metadata, warnings, created=created),)


def _recording_claims(container: "InputContainer", stream: "VideoStream") -> tuple[Claims, ...]:
    """Return the date and the maker that AVCHD camcorders write into the first pictures."""
    if stream.codec_context.codec.canonical_name != "h264":
        return ()
    for count, packet in enumerate(read_packets(container, stream)):
        recording = read_recording(bytes(packet)) if packet.size else None
        if recording is not None:
            fields = {"camera_make": recording.camera_make} if recording.camera_make else {}
            return (Claims("mpegts", fields, (recording.taken,) if recording.taken else ()),)
        if count >= _MAX_RECORDING_PACKETS:
            break
    return ()


def _measure_rate(source: VideoSource) -> float | None:
    with open_video(source) as container, codec_errors("video"):
        return measured_frame_rate(container, picture_stream(container, source))


def video_length(
    source: VideoSource, stated: float | None, *, is_fragmented: bool, warnings: list[str]
) -> tuple[float | None, float | None]:
    """Return the duration, and the length in which frames can be sought; raise when it is over the limit."""
    span = stated
    # The header of a fragmented file knows at most the first fragment: real ones claim 0 s or 40 hours.
    if stated is None or is_fragmented:
        with open_video(source) as container, codec_errors("video"):
            if source.demuxer == ELEMENTARY:
                span = frames_duration(container, picture_stream(container, source))
            else:
                span = packet_duration(container, source.limits.max_duration_s) or stated
    if span is not None and span > source.limits.max_duration_s:
        raise ContentError(
            ReasonCode.TOO_LONG,
            f"The video lasts {span:.0f} s, more than the limit of {source.limits.max_duration_s:.0f} s. Upload a "
            "shorter one, or raise the limit max_duration_s.",
            "decode",
        )
    if source.demuxer == "matroska" and stated is None and span is not None:
        # What the file does not state stays unknown; a recording that was cut off looks the same.
        warnings.append(f"The video states no duration; its data spans {span:.1f} s.")
        return None, span
    return span, span


def _empty_poster(
    source: VideoSource, movie: MovieTags | None, longest_px: int, warnings: list[str]
) -> tuple[Image.Image, tuple[int, int], int]:
    """Return a black poster for a recording that is whole but holds no picture; raise for every other reason.

    The decoder must know from the header alone what the pictures would look like: an encrypted video, an index whose
    data is missing, and an unknown coding stay unknown to it.
    """
    with open_video(source) as container, codec_errors("video"):
        stream = picture_stream(container, source)
        pixel_format, size = stream.codec_context.pix_fmt, (stream.width, stream.height)
        has_packets = bool(stream.frames) or any(packet.size for packet in read_packets(container, stream))
    if movie is not None and movie.is_encrypted:
        raise ContentError(
            ReasonCode.UNSUPPORTED_TYPE,
            "The video is encrypted (copy protection), so that nothing of it can be shown. Upload an open copy.",
            "decode",
        )
    if movie is not None and movie.has_external_picture:
        raise ContentError(
            ReasonCode.NO_PICTURE,
            "The movie refers to other files for all of its pictures. Upload it saved as a self-contained movie.",
            "decode",
        )
    if has_packets or pixel_format is None or min(size) < 1:
        raise ContentError(
            ReasonCode.CORRUPT, "No frame of the video can be decoded: it is damaged. Upload it again.", "decode"
        )
    warnings.append("The video holds no frame; its poster is black.")
    return Image.new("RGB", fit_box(*size, longest_px)), size, 0
