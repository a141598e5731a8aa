"""Videos through FFmpeg (PyAV): facts, tags and one upright poster picture.

Lives here: opening with a fixed demuxer, duration, streams, rotation, poster. Must not: full decoding, clips, encoding.
Nothing but the file itself is ever opened: the demuxer comes from the sniffed type and only ``file`` is a protocol.
"""

import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from PIL import Image

from media_assets.media.decode import check_pixels, codec_errors
from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.exif import MAX_TAGS_JSON_BYTES
from media_assets.media.geo import parse_iso6709
from media_assets.media.isobmff import MovieBoxes, read_movie_boxes
from media_assets.media.limits import Limits
from media_assets.media.resize import fit_box
from media_assets.media.sniff import Sniffed
from media_assets.media.structure import check_stream_complete
from media_assets.media.text import clean_text
from media_assets.media.timestamps import CaptureTime, from_local_with_offset, from_utc

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.sidedata.sidedata import SideData
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_DEMUXERS = {"mp4": "mov", "mov": "mov", "3gp": "mov", "mkv": "matroska", "webm": "matroska", "avi": "avi"}
_POSTER_AT = Fraction(1, 10)  # of the duration: past fade-ins and lens caps, still near the start
_MAX_MEASURED_PACKETS = 5_000_000  # three hours of picture and sound have about one million
_MAX_POSTER_PACKETS = 600  # of the video stream, before giving up on a decodable frame

# (a, b, c, d) of the display matrix, signs only -> what makes the frame upright (ISO/IEC 14496-12, 8.3.2).
_MATRIX_TRANSPOSES: dict[tuple[int, int, int, int], Image.Transpose] = {
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
_SWAPS_SIDES = {
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
}

# ITU-T H.273 code points, in FFmpeg's names.
_TRANSFERS = {
    1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 11: "iec61966-2-4",
    13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
_MATRICES = {0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc", 10: "bt2020c"}

_APPLE, _ANDROID = "com.apple.quicktime.", "com.android."
_POSITION_KEYS = (f"{_APPLE}location.iso6709", "location", "location-eng")
_TEXT_KEYS: dict[str, tuple[str, ...]] = {
    "camera_make": (f"{_APPLE}make", f"{_ANDROID}manufacturer", "make"),
    "camera_model": (f"{_APPLE}model", f"{_ANDROID}model", "model"),
    "software": (f"{_APPLE}software", "software", "encoder"),
    "title": (f"{_APPLE}title", f"{_APPLE}displayname", "title"),
    "description": (f"{_APPLE}description", "description", "comment"),
    "creator": (f"{_APPLE}author", f"{_APPLE}artist", "artist"),
    "copyright": (f"{_APPLE}copyright", "copyright"),
}
_DATE_KEYS = (f"{_APPLE}creationdate", "creation_time", "date")
_CONTAINER_KEYS = ("major_brand", "minor_version", "compatible_brands")


@dataclass(frozen=True)
class DecodedVideo:
    """What one video holds.

    Attributes:
        poster: Upright RGB frame, fitted into the box that was asked for.
        width_px: Width of the upright frame, sample aspect ratio not applied.
        height_px: Height of the upright frame.
        duration_s: Length in seconds, or ``None`` when neither header nor packets tell.
        frame_count: Frames of the video stream where the container says so.
        fields: Fields of ``Metadata`` by name.
        warnings: Recoverable oddities, for people.
    """

    poster: Image.Image
    width_px: int
    height_px: int
    duration_s: float | None
    frame_count: int | None
    fields: dict[str, Any]
    warnings: tuple[str, ...]


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
    warnings: list[str] = []
    boxes = read_movie_boxes(path) if _DEMUXERS[sniffed.format] == "mov" else None
    check_stream_complete(path, sniffed.format)
    with _open(path, sniffed, limits) as container:
        stream = _picture_stream(container, limits)
        _check_samples(container, boxes, path.stat().st_size)
        fields = _describe(container, stream, sniffed, warnings)
        frame_count = stream.frames or None
        duration = _header_duration(container)
    if duration is None or (boxes is not None and boxes.is_fragmented):
        # The header of a fragmented file knows at most the first fragment: real ones claim 0 s or 40 hours.
        duration = _packet_duration(path, sniffed, limits) or duration
    if duration is not None and duration > limits.max_duration_s:
        raise ContentError(
            ReasonCode.TOO_LONG,
            f"The video lasts {duration:.0f} s, more than the limit of {limits.max_duration_s:.0f} s. Upload a shorter "
            "one, or raise the limit max_duration_s.",
            "decode",
        )
    frame = _poster_frame(path, sniffed, limits, duration)
    check_pixels(frame.width, frame.height, limits)
    transpose, rotation = _display_matrix(frame, warnings)
    with codec_errors("video"):
        width, height = fit_box(frame.width, frame.height, longest_px)
        pixels = frame.reformat(width=width, height=height, format="rgb24", interpolation="LANCZOS").to_ndarray()
    poster = Image.fromarray(pixels)
    upright = (frame.height, frame.width) if transpose in _SWAPS_SIDES else (frame.width, frame.height)
    return DecodedVideo(
        poster=poster if transpose is None else poster.transpose(transpose),
        width_px=upright[0],
        height_px=upright[1],
        duration_s=duration,
        frame_count=frame_count,
        fields={**fields, "rotation_deg": rotation},
        warnings=tuple(warnings),
    )


@contextmanager
def _open(path: Path, sniffed: Sniffed, limits: Limits) -> "Iterator[InputContainer]":
    """Open with the demuxer of the sniffed type; FFmpeg neither guesses formats nor opens anything else."""
    import av

    demuxer = _DEMUXERS[sniffed.format]
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": demuxer,
        "max_streams": str(limits.max_streams + 1),
    }
    with codec_errors("video"):
        # The explicit scheme: a name with a colon is never read as a protocol.
        container = av.open(
            f"file:{path.absolute()}", mode="r", format=demuxer, options=options, metadata_errors="replace"
        )
    with container:
        yield container


def _picture_stream(container: "InputContainer", limits: Limits) -> "VideoStream":
    """Return the default, else the largest, video stream that is not a cover picture."""
    from av.stream import Disposition

    if len(container.streams) > limits.max_streams:
        raise ContentError(
            ReasonCode.TOO_MANY_STREAMS,
            f"The video has more than {limits.max_streams} streams. Upload it with picture and sound only.",
            "decode",
        )
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
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


def _header_duration(container: "InputContainer") -> float | None:
    """Return the length that the container or its longest stream states, in seconds."""
    if container.duration is not None and container.duration > 0:
        return container.duration / 1_000_000
    lengths = [float(s.duration * s.time_base) for s in container.streams if s.duration and s.time_base]
    return max(lengths, default=0.0) or None


def _packet_duration(path: Path, sniffed: Sniffed, limits: Limits) -> float | None:
    """Return the span of all packets in seconds: reads the file once without decoding."""
    first, last = math.inf, -math.inf
    with _open(path, sniffed, limits) as container, codec_errors("video"):
        for count, packet in enumerate(container.demux()):
            if count >= _MAX_MEASURED_PACKETS or last - first > limits.max_duration_s:
                break  # over the limit, or a demuxer that never comes to an end
            if packet.pts is None or packet.time_base is None or packet.stream.type not in {"video", "audio"}:
                continue
            first = min(first, float(packet.pts * packet.time_base))
            last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return last - first if last > first else None


def _poster_frame(path: Path, sniffed: Sniffed, limits: Limits, duration: float | None) -> "VideoFrame":
    """Return the keyframe before 10 % of the length, else the first frame that decodes."""
    import av

    with _open(path, sniffed, limits) as container:
        stream = _picture_stream(container, limits)
        if duration is not None and stream.time_base:
            target = (stream.start_time or 0) + int(Fraction(duration) * _POSTER_AT / stream.time_base)
            try:
                container.seek(target, stream=stream, backward=True)
                frame = _decode_keyframe(container, stream)
            except (av.FFmpegError, ValueError, OverflowError):
                frame = None  # no index, or a damaged spot: the start may still be good
            if frame is not None:
                return frame
    with _open(path, sniffed, limits) as container:
        stream = _picture_stream(container, limits)
        with codec_errors("video"):
            frame = _decode_first(container, stream)
    if frame is None:
        raise ContentError(
            ReasonCode.CORRUPT, "No frame of the video can be decoded: it is damaged. Upload it again.", "decode"
        )
    return frame


def _decode_keyframe(container: "InputContainer", stream: "VideoStream") -> "VideoFrame | None":
    """Decode one keyframe packet and flush: half the time of decoding until a frame comes out."""
    for count, packet in enumerate(container.demux(stream)):
        if count >= _MAX_POSTER_PACKETS:
            break
        if packet.is_keyframe and packet.size and not packet.is_corrupt:
            frames = [*stream.decode(packet), *stream.decode(None)]
            return next((frame for frame in frames if not frame.is_corrupt), None)
    return None


def _decode_first(container: "InputContainer", stream: "VideoStream") -> "VideoFrame | None":
    """Decode from the start until a frame comes out, over damaged packets."""
    import av

    for count, packet in enumerate(container.demux(stream)):
        if count >= _MAX_POSTER_PACKETS:
            break
        try:
            frames = stream.decode(packet if packet.size else None)
        except (av.InvalidDataError, av.EOFError):
            continue
        good = next((frame for frame in frames if not frame.is_corrupt), None)
        if good is not None:
            return good
    return None


def _display_matrix(frame: "VideoFrame", warnings: list[str]) -> tuple[Image.Transpose | None, int]:
    """Return what makes the frame upright, and the rotation that the file asks for: clockwise 0, 90, 180 or 270."""
    # PyAV types the container as a mapping, but it iterates over its values.
    try:
        sides = cast("Iterable[SideData]", frame.side_data)
        raw = next((bytes(side) for side in sides if side.type.name == "DISPLAYMATRIX"), b"")
    except ValueError:  # PyAV 18 raises on side data that it has no name for (multiview HEVC); remove when it does not
        radians = math.radians(-frame.rotation)
        a, b = round(0x10000 * math.cos(radians)), round(0x10000 * math.sin(radians))
        c, d = -b, a
    else:
        if len(raw) < 36:
            return None, 0
        a, b, _, c, d = struct.unpack("=5i", raw[:20])
    largest = max(abs(value) for value in (a, b, c, d)) or 1
    signs = (round(a / largest), round(b / largest), round(c / largest), round(d / largest))
    if signs == (1, 0, 0, 1):
        return None, 0
    transpose = _MATRIX_TRANSPOSES.get(signs)
    if transpose is None:
        warnings.append("The display matrix of the video is no rotation by quarter turns and was ignored.")
        return None, 0
    return transpose, round(math.degrees(math.atan2(signs[1], signs[0]))) % 360


def _describe(
    container: "InputContainer", stream: "VideoStream", sniffed: Sniffed, warnings: list[str]
) -> dict[str, Any]:
    """Return the fields of ``Metadata`` that container and streams give, by name."""
    tags = {key.lower(): value for key, value in container.metadata.items()}
    context = stream.codec_context
    audio = next((s for s in container.streams.audio if s.codec_context is not None), None)
    components = context.format.components if context.format is not None else ()
    taken = _capture_time(tags, sniffed, warnings)
    position = next(filter(None, (parse_iso6709(tags[key]) for key in _POSITION_KEYS if key in tags)), None)
    if position is None and any(key in tags for key in _POSITION_KEYS):
        warnings.append("The position of the video is not one and was ignored.")
    return {
        **{name: _first_text(tags, keys) for name, keys in _TEXT_KEYS.items()},
        "captured_at": taken.utc if taken else None,
        "captured_at_local": taken.local if taken else None,
        "utc_offset_minutes": taken.utc_offset_minutes if taken else None,
        "captured_at_source": taken.source if taken else None,
        "latitude_deg": position.latitude_deg if position else None,
        "longitude_deg": position.longitude_deg if position else None,
        "altitude_m": position.altitude_m if position else None,
        "container": sniffed.format,
        "video_codec": context.codec.canonical_name,
        "audio_codec": audio.codec_context.codec.canonical_name if audio else None,
        "audio_channels": (audio.codec_context.channels or None) if audio else None,
        "sample_rate_hz": (audio.codec_context.sample_rate or None) if audio else None,
        "frame_rate_fps": float(stream.average_rate) if stream.average_rate else None,
        "bit_rate_bps": container.bit_rate or None,
        "pixel_format": context.pix_fmt,
        "bit_depth": components[0].bits if components else None,
        "has_alpha": any(component.is_alpha for component in components) if components else None,
        "color_transfer": _TRANSFERS.get(int(context.color_trc)),
        "color_space": _MATRICES.get(int(context.colorspace)),
        "tags_json": _other_tags(tags, warnings),
    }


def _first_text(tags: Mapping[str, str], keys: tuple[str, ...]) -> str | None:
    texts = (clean_text(tags[key]) for key in keys if key in tags)
    return next(filter(None, texts), None)


def _capture_time(tags: Mapping[str, str], sniffed: Sniffed, warnings: list[str]) -> CaptureTime | None:
    """Return the phone's creation date with its offset, else the container's creation time in UTC."""
    demuxer = _DEMUXERS[sniffed.format]
    sources = {"mov": "quicktime:creation_time", "matroska": "matroska:DateUTC", "avi": "avi:IDIT"}
    candidates: list[CaptureTime | None] = []
    if demuxer == "mov":
        candidates.append(from_local_with_offset(tags.get(_DATE_KEYS[0], ""), "quicktime:creationdate"))
        day = from_local_with_offset(tags.get("date", ""), "quicktime:day")
        candidates.append(day if day and day.utc_offset_minutes is not None else None)
    created = tags.get("creation_time", "")
    # AVI writes the camera's wall time; the others UTC.
    candidates.append((from_local_with_offset if demuxer == "avi" else from_utc)(created, sources[demuxer]))
    taken = next(filter(None, candidates), None)
    if taken is None and (created or tags.get(_DATE_KEYS[0])):
        warnings.append("The creation time of the video is not a time and was ignored.")
    return taken


def _other_tags(tags: Mapping[str, str], warnings: list[str]) -> str | None:
    """Return the container tags that have no column, as a JSON object of strings of at most 64 KiB."""
    used = {*_CONTAINER_KEYS, *_POSITION_KEYS, *_DATE_KEYS, *(key for keys in _TEXT_KEYS.values() for key in keys)}
    found: dict[str, str] = {}
    size = 2
    for key, value in tags.items():
        text, name = clean_text(value), clean_text(key)
        if key in used or text is None or name is None:
            continue
        size += len(json.dumps({name: text}, ensure_ascii=False).encode()) + 2
        if size > MAX_TAGS_JSON_BYTES:
            warnings.append("Some tags of the video are not in tags_json, which would exceed 64 KiB.")
            break
        found[name] = text
    return json.dumps(found, ensure_ascii=False) if found else None
