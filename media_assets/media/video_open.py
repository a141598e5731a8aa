"""Opening videos with FFmpeg (PyAV): the demuxer of a sniffed type and the choice of the picture stream.

Lives here: what is opened, and with which limits. Must not: decode, read tags, encode. Nothing but the file itself is
ever opened: the demuxer comes from the sniffed type, only ``file`` is a protocol, and references to other files are
not followed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from media_assets.media.decode import check_pixels, codec_errors
from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.limits import Limits
from media_assets.media.sniff import Sniffed

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_DEMUXERS = {
    "mp4": "mov", "mov": "mov", "3gp": "mov", "mkv": "matroska", "webm": "matroska", "avi": "avi", "flv": "flv",
    "asf": "asf", "mpeg": "mpeg", "mpegts": "mpegts", "ogg": "ogg",
}  # fmt: skip
ELEMENTARY = "mpegvideo"
"""Demuxer of MPEG-1 and MPEG-2 pictures without a container."""

_PACK_START = b"\x00\x00\x01\xba"  # of an MPEG program stream


@dataclass(frozen=True)
class VideoSource:
    """The file, how to open it and what it may cost.

    Attributes:
        path: Local file.
        demuxer: FFmpeg's name.
        limits: Pixels and streams are checked when it is opened.
        threads: Threads of the picture decoder.
    """

    path: Path
    demuxer: str
    limits: Limits
    threads: int = 1


def video_source(path: Path, sniffed: Sniffed, limits: Limits, *, threads: int = 1) -> VideoSource:
    """Return how to open a file that was sniffed as a video."""
    return VideoSource(path, _demuxer(path, sniffed), limits, threads)


def _demuxer(path: Path, sniffed: Sniffed) -> str:
    """Return FFmpeg's demuxer of a format; MPEG has one for program streams and one for bare pictures."""
    if sniffed.format != "mpeg":
        return _DEMUXERS[sniffed.format]
    with path.open("rb") as file:
        return "mpeg" if file.read(4) == _PACK_START else ELEMENTARY


@contextmanager
def open_video(source: VideoSource) -> "Iterator[InputContainer]":
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


def picture_stream(container: "InputContainer", source: VideoSource) -> "VideoStream":
    """Return the default, else the largest, video stream that is not a cover picture or a strip of thumbnails.

    Raises:
        ContentError: There is none, none can be decoded, or a limit is exceeded.
    """
    from av.stream import Disposition

    limits = source.limits
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
    best.thread_count = source.threads  # one by default: threads delay the first frame
    if source.threads > 1:
        best.thread_type = "AUTO"
    return best
