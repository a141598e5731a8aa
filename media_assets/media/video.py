"""Videos through FFmpeg (PyAV): opening, the choice of the picture stream, one upright poster picture.

Lives here: opening with a fixed demuxer and decoding one frame. Must not: full decoding, clips, encoding; facts are in
``video_facts.py``, tags in ``video_tags.py``. Nothing but the file itself is ever opened: the demuxer comes from the
sniffed type, only ``file`` is a protocol, and references to other files are not followed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from media_assets.media.asf import read_asf_properties
from media_assets.media.avchd import read_recording
from media_assets.media.claims import Claims
from media_assets.media.decode import check_pixels, codec_errors
from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.isobmff import MovieBoxes, read_movie_boxes
from media_assets.media.limits import Limits
from media_assets.media.quicktime import MovieTags, read_movie_tags
from media_assets.media.resize import fit_box
from media_assets.media.sniff import Sniffed
from media_assets.media.structure import check_stream_complete
from media_assets.media.video_facts import (
    SWAPS_SIDES,
    display_matrix,
    frames_duration,
    measured_frame_rate,
    packet_duration,
    read_packets,
    stated_duration,
    stream_fields,
)
from media_assets.media.video_tags import container_claims, movie_claims

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_DEMUXERS = {
    "mp4": "mov", "mov": "mov", "3gp": "mov", "mkv": "matroska", "webm": "matroska", "avi": "avi", "flv": "flv",
    "asf": "asf", "mpeg": "mpeg", "mpegts": "mpegts", "ogg": "ogg",
}  # fmt: skip
_ELEMENTARY = "mpegvideo"  # MPEG-1 and MPEG-2 pictures without a container
_PACK_START = b"\x00\x00\x01\xba"  # of an MPEG program stream
_POSTER_AT = Fraction(1, 10)  # of the duration: past fade-ins and lens caps, still near the start
_MAX_POSTER_PACKETS = 600  # of the video stream, before giving up on a decodable frame
_MAX_RECORDING_PACKETS = 60  # of the video stream; camcorders repeat the message at each keyframe


@dataclass(frozen=True)
class DecodedVideo:
    """What one video holds.

    Attributes:
        poster: Upright RGB frame, fitted into the box that was asked for.
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

    poster: Image.Image
    width_px: int
    height_px: int
    duration_s: float | None
    frame_count: int | None
    fields: dict[str, Any]
    claims: tuple[Claims, ...]
    xmp: bytes | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    """The file, how to open it and what it may cost."""

    path: Path
    demuxer: str
    limits: Limits


def decode_video(path: Path, sniffed: Sniffed, limits: Limits, *, longest_px: int) -> DecodedVideo:
    """Read a video's facts and tags, and decode one frame near 10 % of its length, which proves that it shows.

    Args:
        path: File to read; its name does not matter.
        sniffed: What :func:`media_assets.media.sniff.sniff` said of it; chooses the demuxer.
        limits: Pixels, streams and duration are checked before a frame is decoded.
        longest_px: Longest side of the poster, never enlarged.

    Raises:
        ContentError: The file is damaged, cut, over a limit or has no picture stream that can be decoded.
    """
    source = _Source(path, _demuxer(path, sniffed), limits)
    boxes = read_movie_boxes(path) if source.demuxer == "mov" else None
    check_stream_complete(path, sniffed.format)
    movie = read_movie_tags(path) if source.demuxer == "mov" else None
    warnings: list[str] = []
    with _open(source) as container:
        stream = _picture_stream(container, limits)
        _check_samples(container, boxes, path.stat().st_size)
        with codec_errors("video"):
            fields = stream_fields(container, stream, sniffed.format)
            frame_count = stream.frames or None
            stated = stated_duration(container) if source.demuxer != _ELEMENTARY else None
            claims = _claims(source, container, stream, movie, warnings)
    if fields["frame_rate_fps"] is None:
        fields["frame_rate_fps"] = _measure_rate(source)
    is_fragmented = boxes is not None and boxes.is_fragmented
    duration, span = _duration(source, stated, is_fragmented=is_fragmented, warnings=warnings)
    frame = _poster_frame(source, span)
    if frame is None:
        poster, size, rotation = _empty_poster(source, movie, longest_px, warnings)
    else:
        poster, size, rotation = _upright(frame, limits, longest_px, warnings)
    return DecodedVideo(
        poster=poster,
        width_px=size[0],
        height_px=size[1],
        duration_s=duration,
        frame_count=frame_count,
        fields={**fields, "rotation_deg": rotation},
        claims=claims,
        xmp=movie.xmp if movie else None,
        warnings=tuple(warnings),
    )


def _demuxer(path: Path, sniffed: Sniffed) -> str:
    """Return FFmpeg's demuxer of a format; MPEG has one for program streams and one for bare pictures."""
    if sniffed.format != "mpeg":
        return _DEMUXERS[sniffed.format]
    with path.open("rb") as file:
        return "mpeg" if file.read(4) == _PACK_START else _ELEMENTARY


@contextmanager
def _open(source: _Source) -> "Iterator[InputContainer]":
    """Open with the demuxer of the sniffed type; FFmpeg neither guesses formats nor opens anything else."""
    import av

    options = {
        "protocol_whitelist": "file",
        "format_whitelist": source.demuxer,
        "max_streams": str(source.limits.max_streams + 1),
    }
    if source.demuxer == "mov":
        options |= {"enable_drefs": "0", "use_absolute_path": "0"}  # FFmpeg's defaults, but a promise of ours
    with codec_errors("video"):
        # The explicit scheme: a name with a colon is never read as a protocol.
        container = av.open(
            f"file:{source.path.absolute()}",
            mode="r",
            format=source.demuxer,
            options=options,
            metadata_errors="replace",
        )
    with container:
        yield container


def _picture_stream(container: "InputContainer", limits: Limits) -> "VideoStream":
    """Return the default, else the largest, video stream that is not a cover picture or a strip of thumbnails."""
    from av.stream import Disposition

    if len(container.streams) > limits.max_streams:
        raise ContentError(
            ReasonCode.TOO_MANY_STREAMS,
            f"The video has more than {limits.max_streams} streams. Upload it with picture and sound only.",
            "decode",
        )
    stills = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [s for s in container.streams.video if not s.disposition & stills]
    if not streams:
        raise ContentError(
            ReasonCode.NO_PICTURE, "The file has no picture track (only sound or data). Upload the video.", "decode"
        )
    decodable = [s for s in streams if s.codec_context is not None]
    if not decodable:
        raise ContentError(
            ReasonCode.UNSUPPORTED_TYPE,
            "The video is coded in a way that cannot be decoded. Upload it as H.264 or HEVC in an MP4 file.",
            "decode",
        )
    best = max(decodable, key=lambda s: (bool(s.disposition & Disposition.default), s.width * s.height))
    check_pixels(best.width, best.height, limits)
    # Headers can lie: the decoder itself refuses larger frames.
    best.codec_context.options = {"max_pixels": str(limits.max_pixels)}
    best.thread_count = 1  # a worker for each core; threads would also delay the first frame
    return best


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
    source: _Source,
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
    if source.demuxer in {"mpeg", _ELEMENTARY}:
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


def _measure_rate(source: _Source) -> float | None:
    with _open(source) as container, codec_errors("video"):
        return measured_frame_rate(container, _picture_stream(container, source.limits))


def _duration(
    source: _Source, stated: float | None, *, is_fragmented: bool, warnings: list[str]
) -> tuple[float | None, float | None]:
    """Return the duration, and the length in which a poster can be sought; raise when it is over the limit."""
    span = stated
    # The header of a fragmented file knows at most the first fragment: real ones claim 0 s or 40 hours.
    if stated is None or is_fragmented:
        with _open(source) as container, codec_errors("video"):
            if source.demuxer == _ELEMENTARY:
                span = frames_duration(container, _picture_stream(container, source.limits))
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


def _poster_frame(source: _Source, span: float | None) -> "VideoFrame | None":
    """Return the keyframe before 10 % of the length, else the first frame that decodes, else ``None``."""
    import av

    with _open(source) as container:
        stream = _picture_stream(container, source.limits)
        if span is not None and stream.time_base:
            target = (stream.start_time or 0) + int(Fraction(span) * _POSTER_AT / stream.time_base)
            try:
                container.seek(target, stream=stream, backward=True)
                frame = _decode_keyframe(container, stream)
            except (av.FFmpegError, ValueError, OverflowError):
                frame = None  # no index, or a damaged spot: the start may still be good
            if frame is not None:
                return frame
    with _open(source) as container:
        stream = _picture_stream(container, source.limits)
        with codec_errors("video"):
            return _decode_first(container, stream)


def _decode_keyframe(container: "InputContainer", stream: "VideoStream") -> "VideoFrame | None":
    """Decode one keyframe packet and flush: half the time of decoding until a frame comes out."""
    for count, packet in enumerate(read_packets(container, stream)):
        if count >= _MAX_POSTER_PACKETS:
            break
        if packet.is_keyframe and packet.size and not packet.is_corrupt:
            frames = [*stream.decode(packet), *stream.decode(None)]
            return next((frame for frame in frames if not frame.is_corrupt), None)
    return None


def _decode_first(container: "InputContainer", stream: "VideoStream") -> "VideoFrame | None":
    """Decode from the start until a frame comes out, over damaged packets."""
    import av

    for count, packet in enumerate(read_packets(container, stream)):
        if count >= _MAX_POSTER_PACKETS:
            break
        try:
            frames = stream.decode(packet if packet.size else None)
        except (av.InvalidDataError, av.EOFError):
            continue
        good = next((frame for frame in frames if not frame.is_corrupt), None)
        if good is not None:
            return good
    try:  # what the decoder still holds, when the packets ended before their time
        return next((frame for frame in stream.decode(None) if not frame.is_corrupt), None)
    except (av.InvalidDataError, av.EOFError):
        return None


def _upright(
    frame: "VideoFrame", limits: Limits, longest_px: int, warnings: list[str]
) -> tuple[Image.Image, tuple[int, int], int]:
    """Return the fitted upright picture, the upright size of the whole frame, and its rotation."""
    check_pixels(frame.width, frame.height, limits)
    transpose, rotation = display_matrix(frame, warnings)
    with codec_errors("video"):
        width, height = fit_box(frame.width, frame.height, longest_px)
        pixels = frame.reformat(width=width, height=height, format="rgb24", interpolation="LANCZOS").to_ndarray()
    poster = Image.fromarray(pixels)
    size = (frame.height, frame.width) if transpose in SWAPS_SIDES else (frame.width, frame.height)
    return (poster if transpose is None else poster.transpose(transpose)), size, rotation


def _empty_poster(
    source: _Source, movie: MovieTags | None, longest_px: int, warnings: list[str]
) -> tuple[Image.Image, tuple[int, int], int]:
    """Return a black poster for a recording that is whole but holds no picture; raise for every other reason.

    The decoder must know from the header alone what the pictures would look like: an encrypted video, an index whose
    data is missing, and an unknown coding stay unknown to it.
    """
    with _open(source) as container, codec_errors("video"):
        stream = _picture_stream(container, source.limits)
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
