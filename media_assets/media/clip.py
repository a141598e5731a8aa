"""The web clip of a video: H.264 and AAC in MP4, upright, in sync, in the colours of usual displays.

Lives here: the way of frames and samples from the decoder through filters into the encoder. Must not: decide what a
video needs (``clip_plan.py``), write containers (``movie_writer.py``).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from media_assets.media.clip_plan import CLIP_FPS, MAX_BIT_RATE, ClipPlan, audio_stream, frame_rate
from media_assets.media.frames import BT709, decode_packet, matrix_of, start_of, time_of
from media_assets.media.movie_writer import open_movie, without_messages, writing
from media_assets.media.pace import Pace
from media_assets.media.tone import write_cube
from media_assets.media.video_facts import read_packets
from media_assets.media.video_open import VideoSource, open_video, picture_stream

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.bitstream import BitStreamFilterContext
    from av.container import OutputContainer
    from av.filter import Graph
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

CRF, PRESET = "23", "veryfast"
"""Quality and speed of libx264."""

_MONO_BPS, _STEREO_BPS, _SAMPLE_RATE_HZ = 96_000, 128_000, 48_000
_MAX_CLIP_BITS = int(1.6 * 2**30) * 8  # well below what a decoder process may write
_KEYFRAME_EVERY_S = 4  # where players can seek to
_MAX_THREADS = 16  # x264 loses quality with more, and each takes memory
_CLOCK = 90_000
_SOUND_GAP = "async=1:first_pts=0:min_hard_comp=0.1"  # silence where sound is missing, also before its start
_TV_RANGE = 1  # AVCOL_RANGE_MPEG

# The turns of ``display_matrix`` in the words of FFmpeg's filters.
_TURNS = {
    Image.Transpose.ROTATE_270: ["transpose=clock"],
    Image.Transpose.ROTATE_90: ["transpose=cclock"],
    Image.Transpose.ROTATE_180: ["hflip", "vflip"],
    Image.Transpose.FLIP_LEFT_RIGHT: ["hflip"],
    Image.Transpose.FLIP_TOP_BOTTOM: ["vflip"],
    Image.Transpose.TRANSPOSE: ["transpose=cclock_flip"],
    Image.Transpose.TRANSVERSE: ["transpose=clock_flip"],
}
_SWAPS = frozenset({"transpose=clock", "transpose=cclock", "transpose=cclock_flip", "transpose=clock_flip"})


@dataclass(frozen=True)
class ClipRun:
    """What an encoding may take.

    Attributes:
        span_s: Length of the video in seconds.
        threads: Threads of the encoder.
        pace: Clock.
        paint: Receives each frame of the clip, upright, in order, with its time; returns what is encoded instead.
        keeps_sound: Whether the clip has the sound of the video.
    """

    span_s: float
    threads: int
    pace: Pace
    paint: "Callable[[VideoFrame], VideoFrame] | None" = None
    keeps_sound: bool = True


@dataclass
class _Frames:
    """The way of frames from the decoder to those of the clip."""

    source: "VideoStream"
    plan: ClipPlan
    cube_folder: Path
    started: Fraction
    graph: "Graph | None" = None
    shape: tuple[object, ...] = ()
    last: int = -1

    def feed(self, frame: "VideoFrame") -> "list[VideoFrame]":
        """Return the frames that come out of the filters for a frame."""
        shape = (frame.width, frame.height, frame.format.name, int(frame.colorspace), int(frame.color_trc))
        done: list[VideoFrame] = []
        if shape != self.shape:
            done += self.finish()
            self.graph, self.shape = self._build(frame), shape
        assert self.graph is not None  # noqa: S101 - built for the first frame
        frame.time_base = self.source.time_base or Fraction(1, _CLOCK)  # PyAV forgets it for the last frames
        self.graph.push(frame)
        return done + self._pull()

    def finish(self) -> "list[VideoFrame]":
        """Return what the filters still hold."""
        if self.graph is None:
            return []
        self.graph.push(None)
        return self._pull()

    def _pull(self) -> "list[VideoFrame]":
        import av

        frames: list[VideoFrame] = []
        while True:
            try:
                frame: Any = self.graph.pull()  # type: ignore[union-attr]
            except (av.error.BlockingIOError, av.error.EOFError):
                return frames
            timed = self._timed(frame)
            if timed is not None:
                frames.append(timed)

    def _timed(self, frame: "VideoFrame") -> "VideoFrame | None":
        """Put a frame on the clock of the clip; ``None`` for one that comes too soon after the one before it."""
        if frame.pts is None or frame.time_base is None:
            at = self.last + self._shortest if self.last >= 0 else 0
        else:
            at = round((frame.pts * frame.time_base - self.started) * _CLOCK)
        if at < 0 or (self.last >= 0 and at < self.last + self._shortest):
            return None
        self.last = at
        frame.pts, frame.time_base = at, Fraction(1, _CLOCK)
        frame.pict_type = 0  # the encoder would make every keyframe of the source one
        return frame

    @property
    def _shortest(self) -> int:
        return int(_CLOCK / CLIP_FPS * 0.98)

    def _build(self, frame: "VideoFrame") -> "Graph":
        from av.filter import Graph

        transfer = int(frame.color_trc)
        turns = _TURNS.get(self.plan.transpose, []) if self.plan.transpose is not None else []
        width, height = self.plan.width_px, self.plan.height_px
        if _SWAPS.intersection(turns):
            width, height = height, width
        base = self.source.time_base or Fraction(1, _CLOCK)
        matrix = matrix_of(frame)
        buffer = (
            f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base={base}"
            f":colorspace={int(frame.colorspace)}:range={int(frame.color_range)}"
        )
        steps = ["bwdif=mode=send_frame:deint=interlaced"] if self.plan.is_interlaced else []
        scale = f"scale={width}:{height}:flags=bicubic:in_color_matrix={matrix}"
        if self.plan.is_wide:
            cube = self.cube_folder / "colours.cube"
            write_cube(cube, transfer)
            steps += [scale, "format=gbrpf32le", f"lut3d=file={_quoted(cube)}:interp=tetrahedral"]
            steps += [f"scale=out_color_matrix={BT709}:out_range=tv", "format=yuv420p"]
        else:
            steps += [f"{scale}:out_color_matrix={BT709}:out_range=tv", "format=yuv420p"]
        steps += [*turns, "setsar=1", "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"]
        graph = Graph()
        graph.threads = 1  # before the first filter: they would start one for each core
        nodes = [graph.add("buffer", buffer)]
        nodes += [graph.add(*step.split("=", 1)) for step in steps]
        graph.link_nodes(*nodes, graph.add("buffersink")).configure()
        return graph


@dataclass
class _Picture:
    """The way of the frames of the clip into its file."""

    frames: _Frames
    target: "VideoStream"
    cleaner: "BitStreamFilterContext"


def _quoted(path: Path) -> str:
    """Return a path as value of a filter's option."""
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'").replace(":", "\\:") + "'"


@dataclass
class _Sound:
    """The way of samples into the clip."""

    source: "AudioStream"
    target: "AudioStream"
    started: Fraction
    longest_s: float
    graph: "Graph | None" = None
    shape: tuple[object, ...] = ()

    def feed(self, frame: "AudioFrame") -> "list[AudioFrame]":
        """Return the frames that come out of the resampler for a frame."""
        base = self.source.time_base or Fraction(1, frame.sample_rate)  # PyAV forgets it for the last frames
        if frame.pts is not None and frame.pts * base - self.started > self.longest_s:
            return []  # a wrong time would be filled with hours of silence
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        done: list[AudioFrame] = []
        if shape != self.shape:
            done += self.finish()
            self.graph, self.shape = self._build(frame, is_first=not self.shape), shape
        if frame.pts is not None:
            frame.pts -= round(self.started / base)
        frame.time_base = base
        assert self.graph is not None  # noqa: S101 - built for the first frame
        self.graph.push(frame)
        return done + self._pull()

    def finish(self) -> "list[AudioFrame]":
        """Return what the resampler still holds."""
        if self.graph is None:
            return []
        self.graph.push(None)
        return self._pull()

    def _pull(self) -> "list[AudioFrame]":
        import av

        frames: list[AudioFrame] = []
        while True:
            try:
                frames.append(self.graph.pull())  # type: ignore[arg-type, union-attr]
            except (av.error.BlockingIOError, av.error.EOFError):
                return frames

    def _build(self, frame: "AudioFrame", *, is_first: bool) -> "Graph":
        from av.filter import Graph

        layout = self.target.codec_context.layout.name
        graph = Graph()
        graph.threads = 1
        nodes = [
            graph.add_abuffer(
                sample_rate=frame.sample_rate,
                format=frame.format.name,
                layout=frame.layout.name,
                time_base=self.source.time_base or Fraction(1, frame.sample_rate),
            ),
            graph.add("aresample", f"{_SAMPLE_RATE_HZ}" + (f":{_SOUND_GAP}" if is_first else "")),
            graph.add("aformat", f"sample_fmts=fltp:channel_layouts={layout}:sample_rates={_SAMPLE_RATE_HZ}"),
            graph.add("abuffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        graph.set_audio_frame_size(self.target.codec_context.frame_size or 1024)
        return graph


def encode_clip(source: VideoSource, plan: ClipPlan, path: Path, run: ClipRun) -> float:
    """Write the clip and return its length in seconds.

    Frames that are damaged are left out; times are kept.

    Args:
        source: The video.
        plan: Size, turn and colours.
        path: File to write. The folder also receives a table of colours.
        run: What it may take.

    Raises:
        OutOfTimeError: The time is over; the file is unfinished.
        ScratchError: There is no space.
        MovieError: The clip cannot be written.
    """
    with open_video(source) as container, open_movie(path) as output:
        stream, audio = picture_stream(container, source), audio_stream(container) if run.keeps_sound else None
        started = start_of(stream) * (stream.time_base or Fraction(0))
        target = _add_picture(output, stream, plan, run)
        frames = _Frames(stream, plan, path.parent, started)
        picture = _Picture(frames, target, without_messages(target))
        sound = None
        if audio is not None:
            sound = _Sound(audio, _add_sound(output, audio), started, source.limits.max_duration_s)
        for packet in read_packets(container):
            if packet.stream.index == stream.index:
                fed = _fed(frames, packet, source.limits.max_duration_s, run)
                _put_picture(output, picture, fed, run)
            elif sound is not None and packet.stream.index == sound.source.index:
                for samples in _decode_sound(sound.source, packet):
                    _put_sound(output, sound, sound.feed(samples))
            run.pace.tick(0.0)  # also where nothing can be decoded
        for frame in decode_packet(stream, None):
            _put_picture(output, picture, frames.feed(frame), run)
        _put_picture(output, picture, [*frames.finish(), None], run)
        if sound is not None:
            _put_sound(output, sound, [*sound.finish(), None])
    return (frames.last / _CLOCK) + 1 / float(target.codec_context.framerate) if frames.last >= 0 else 0.0


def clip_frames(source: VideoSource, plan: ClipPlan, folder: Path, run: ClipRun) -> "Iterator[VideoFrame]":
    """Yield the frames that :func:`encode_clip` would encode, upright, before they are painted.

    Args:
        source: The video.
        plan: Size, turn and colours.
        folder: Receives a table of colours.
        run: What it may take.

    Raises:
        OutOfTimeError: The time is over.
    """
    with open_video(source) as container:
        stream = picture_stream(container, source)
        frames = _Frames(stream, plan, folder, start_of(stream) * (stream.time_base or Fraction(0)))
        for packet in read_packets(container):
            if packet.stream.index == stream.index:
                yield from _fed(frames, packet, source.limits.max_duration_s, run)
        for frame in decode_packet(stream, None):
            yield from frames.feed(frame)
        yield from frames.finish()


def _fed(frames: _Frames, packet: Any, longest_s: float, run: ClipRun) -> "Iterator[VideoFrame]":
    for frame in decode_packet(frames.source, packet):
        at = time_of(frame, frames.source) or 0.0
        run.pace.tick(at / run.span_s if run.span_s else 0.0)
        if at <= longest_s:
            yield from frames.feed(frame)


def _put_picture(
    output: "OutputContainer", picture: _Picture, frames: "Iterable[VideoFrame | None]", run: ClipRun
) -> None:
    """Paint, encode and write frames; ``None`` is their end."""
    for frame in frames:
        painted = frame if frame is None or run.paint is None else run.paint(frame)
        for packet in picture.target.encode(painted):
            for clean in picture.cleaner.filter(packet):
                clean.stream = picture.target
                with writing():
                    output.mux(clean)


def _decode_sound(stream: "AudioStream", packet: Any) -> "list[AudioFrame]":
    import av

    try:
        return stream.decode(packet if packet.size else None)
    except (MemoryError, av.error.MemoryError):
        raise
    except (av.FFmpegError, ValueError):
        return []


def _put_sound(output: "OutputContainer", sound: _Sound, frames: "Iterable[AudioFrame | None]") -> None:
    """Encode and write samples; ``None`` is their end."""
    for frame in frames:
        for packet in sound.target.encode(frame):
            with writing():
                output.mux(packet)


def _add_picture(output: "OutputContainer", source: "VideoStream", plan: ClipPlan, run: ClipRun) -> "VideoStream":
    from av.codec.context import Flags

    rate = min(Fraction(CLIP_FPS), frame_rate(source))
    # What a long video may take is bounded by the size of its clip.
    most = min(MAX_BIT_RATE, int(_MAX_CLIP_BITS / run.span_s) - _STEREO_BPS) if run.span_s > 0 else MAX_BIT_RATE
    options = {"crf": CRF, "preset": PRESET, "profile": "high", "maxrate": str(most), "bufsize": str(2 * most)}
    target: VideoStream = output.add_stream("libx264", rate=rate, options=options)
    context = target.codec_context
    context.width, context.height, context.pix_fmt = plan.width_px, plan.height_px, "yuv420p"
    context.time_base = Fraction(1, _CLOCK)
    context.gop_size = max(1, round(rate * _KEYFRAME_EVERY_S))
    context.color_primaries = context.color_trc = context.colorspace = BT709
    context.color_range = _TV_RANGE
    context.sample_aspect_ratio = Fraction(1)
    context.thread_count = min(run.threads, _MAX_THREADS)
    context.flags |= Flags.bitexact.value
    return target


def _add_sound(output: "OutputContainer", source: "AudioStream") -> "AudioStream":
    from av.codec.context import Flags

    is_mono = source.codec_context.channels == 1
    target: AudioStream = output.add_stream("aac", rate=_SAMPLE_RATE_HZ, layout="mono" if is_mono else "stereo")
    target.codec_context.bit_rate = _MONO_BPS if is_mono else _STEREO_BPS
    target.codec_context.flags |= Flags.bitexact.value
    return target
