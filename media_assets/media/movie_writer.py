"""Writing MP4 files that play while they load and say nothing about their origin.

Lives here: the output container and the copy of packets into it. Must not: decode, scale, choose encoders.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from media_assets.media.clip_plan import audio_stream
from media_assets.media.errors import ScratchError
from media_assets.media.pace import Pace
from media_assets.media.video_facts import read_packets
from media_assets.media.video_open import VideoSource, open_video, picture_stream

if TYPE_CHECKING:
    from av.bitstream import BitStreamFilterContext
    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import Stream

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
# Supplemental messages hold what encoders and cameras say of themselves, AVCHD also date and position.
_WITHOUT_MESSAGES = "filter_units=remove_types=6"


class MovieError(Exception):
    """The movie cannot be written: it is larger than a decoder process may write, or no MP4 can hold its packets."""


@contextmanager
def open_movie(path: Path) -> "Iterator[OutputContainer]":
    """Open an MP4 for writing; the index is put in front when it is closed.

    Raises:
        ScratchError: There is no space.
        MovieError: It cannot be written for another reason.
    """
    import av

    with writing():
        output = av.open(f"file:{path.absolute()}", "w", format="mp4", options={"movflags": "+faststart"})
    output.flags |= av.container.Flags.bitexact.value  # type: ignore[operator]  # the stub is wrong
    try:
        yield output
    except BaseException:
        with suppress(av.FFmpegError):
            output.close()
        raise
    with writing():
        output.close()


@contextmanager
def writing() -> Iterator[None]:
    """Tell the errors of the disk from all others.

    Raises:
        ScratchError: There is no space.
        MovieError: FFmpeg refuses for another reason.
    """
    import av

    try:
        yield
    except (MemoryError, av.error.MemoryError):
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        number = getattr(error, "errno", None)
        if number in _NO_SPACE:
            raise ScratchError(f"A clip could not be written ({error.strerror}).") from error  # type: ignore[union-attr]
        raise MovieError(type(error).__name__) from error


def without_messages(stream: "Stream") -> "BitStreamFilterContext":
    """Return what removes supplemental messages from the packets of an H.264 stream."""
    from av.bitstream import BitStreamFilterContext

    return BitStreamFilterContext(_WITHOUT_MESSAGES, stream)


def copy_movie(source: VideoSource, path: Path, span_s: float, pace: Pace) -> None:
    """Write picture and sound of a video as they are coded into an MP4; all else is left out.

    Args:
        source: H.264 with AAC or without sound, in MP4, QuickTime or Matroska.
        path: File to write.
        span_s: Length of the video, for the progress.
        pace: Clock.

    Raises:
        ScratchError: There is no space.
        MovieError: Its packets cannot be written.
        OutOfTimeError: The time is over.
    """
    decode_times = _decode_times(source) if source.demuxer == "matroska" else None
    with open_video(source) as container, open_movie(path) as output:
        picture, sound = picture_stream(container, source), audio_stream(container)
        targets: dict[int, Any] = {}
        for stream in (picture, sound):
            if stream is not None:
                targets[stream.index] = output.add_stream_from_template(stream, opaque=True)
        cleaner = without_messages(picture)
        # Recordings of live streams start at any time, and so would the clip.
        late = max(0.0, (container.start_time or 0) / 1_000_000)
        for packet in read_packets(container):
            target = targets.get(packet.stream.index)
            if target is None or not packet.size or packet.pts is None:
                continue
            if decode_times is not None:
                packet.dts = next(decode_times, None) if packet.stream.index == picture.index else packet.pts
            if packet.dts is None:
                continue
            if packet.time_base:
                pace.tick(float(packet.pts * packet.time_base) / span_s if span_s else 0)
                shift = round(late / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            _write(output, target, cleaner.filter(packet) if packet.stream.index == picture.index else [packet])
        _write(output, targets[picture.index], cleaner.filter(None))


def _decode_times(source: VideoSource) -> Iterator[int]:
    """Return when each picture packet is decoded, which Matroska does not store and MP4 wants to know.

    Packets are decoded in the order of the file, at the times at which pictures are shown, as much earlier as it takes
    for none to be shown before it is decoded.
    """
    with open_video(source) as container:
        packets = read_packets(container, picture_stream(container, source))
        shown = [packet.pts for packet in packets if packet.size and packet.pts is not None]
    ordered = sorted(shown)
    early = max((decoded - wanted for decoded, wanted in zip(ordered, shown, strict=True)), default=0)
    return (time - early for time in ordered)


def _write(output: "OutputContainer", stream: "Stream", packets: "list[Packet[Any]]") -> None:
    for packet in packets:
        packet.stream = stream
        with writing():
            output.mux(packet)
