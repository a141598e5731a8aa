"""Web renditions of a video: storyboard, animated preview, clip.

Lives here: the order of the steps and what becomes of a step that fails. Must not: decode, encode.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path

from media_assets.media.clip import CRF, ClipRun, encode_clip
from media_assets.media.clip_plan import ClipPlan, plan_clip
from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.frames import decode_packet
from media_assets.media.isobmff import iter_boxes, read_movie_boxes
from media_assets.media.limits import Limits
from media_assets.media.movie_writer import MovieError, copy_movie
from media_assets.media.pace import OutOfTimeError, Pace
from media_assets.media.records import Rendition
from media_assets.media.rendering import RenderOptions
from media_assets.media.sniff import sniff_file
from media_assets.media.storyboard import Shown, write_animated_preview, write_storyboard
from media_assets.media.video import video_length
from media_assets.media.video_facts import display_matrix, read_packets, stated_duration
from media_assets.media.video_open import ELEMENTARY, VideoSource, open_video, picture_stream, video_source

_MAX_PACKETS = 600  # of the picture, before giving up on a decodable frame
_STILLS_SHARE, _PREVIEW_SHARE = 0.03, 0.1
_CLIP = "clip.mp4"
_UNFINISHED = (_CLIP, "colours.cube")


def write_web_video(
    path: Path,
    scratch: Path,
    options: RenderOptions,
    limits: Limits,
    *,
    threads: int,
    deadline_s: float,
    on_progress: Callable[[float], None],
    notes: list[str],
) -> tuple[Rendition, ...]:
    """Write storyboard, animated preview and clip of a video.

    A video that browsers play as it is has no clip. When the time is over, what is finished is returned.

    Args:
        path: A file that :func:`media_assets.media.video.decode_video` accepts.
        scratch: Existing folder for ``storyboard.jpg``, ``animated_preview.webp`` and ``clip.mp4``.
        options: How renditions are made; nothing of a video can be chosen yet.
        limits: What the file may cost.
        threads: Cores to keep busy; the bytes of the clip depend on it (and on nothing else of the machine).
        deadline_s: Wall-clock time for all of it.
        on_progress: Receives the share that is done, 0-1, at most once a second.
        notes: Receives what people should know: why there is no clip, or how it was made.

    Returns:
        What was made, in the order of ``OPTIMIZED_KINDS``; nothing for a recording without frames.

    Raises:
        ContentError: The file cannot be opened or read.
        ScratchError: There is no space.
    """
    with path.open("rb") as file:
        sniffed = sniff_file(file)
    if sniffed.media_type != "video":
        raise ContentError(ReasonCode.UNSUPPORTED_TYPE, "The file is no video. Upload the original video.", "render")
    # The encoder takes most of the time; its threads wait for frames while one decodes.
    source = video_source(path, sniffed, limits, threads=max(1, threads // 2))
    pace = Pace(deadline_s, on_progress)
    made: list[Rendition] = []
    try:
        seen = look_at_video(source, sniffed.mime_type)
        if seen is None:
            notes.append("The video holds no frame: there is nothing to show.")
            return ()
        shown, plan = seen
        pace.part(0, _STILLS_SHARE)
        _add(made, write_storyboard(source, shown, scratch, pace))
        pace.part(_STILLS_SHARE, _PREVIEW_SHARE)
        _add(made, write_animated_preview(source, shown, scratch, pace))
        pace.part(_PREVIEW_SHARE, 1)
        _add(made, _write_clip(source, plan, ClipRun(shown.span_s, threads, pace), scratch, notes))
    except OutOfTimeError:
        kinds = ", ".join(rendition.kind for rendition in made) or "nothing"
        notes.append(
            f"The time for web renditions ({deadline_s:.0f} s) was over; made: {kinds}. Raise the setting "
            "clip_timeout_s."
        )
    finally:
        _tidy(scratch, made)
    return tuple(made)


def _add(made: list[Rendition], rendition: Rendition | None) -> None:
    if rendition is not None:
        made.append(rendition)


def _tidy(scratch: Path, made: list[Rendition]) -> None:
    kept = {rendition.file_name for rendition in made}
    for name in _UNFINISHED:
        if name not in kept:
            with contextlib.suppress(OSError):
                (scratch / name).unlink()


def look_at_video(source: VideoSource, mime_type: str) -> tuple[Shown, ClipPlan] | None:
    """Return how the video is shown and what its clip needs, by its first frame; ``None`` without any."""
    is_movie = source.demuxer == "mov"
    is_fragmented = is_movie and read_movie_boxes(source.path).is_fragmented
    with open_video(source) as container:
        picture_stream(container, source)
        stated = stated_duration(container) if source.demuxer != ELEMENTARY else None
    _, span = video_length(source, stated, is_fragmented=is_fragmented, warnings=[])
    with open_video(source) as container:
        stream = picture_stream(container, source)
        frame = None
        for count, packet in enumerate(read_packets(container, stream)):
            frame = next(iter(decode_packet(stream, packet)), None)
            if frame is not None or count >= _MAX_PACKETS:
                break
        if frame is None:
            frame = next(iter(decode_packet(stream, None)), None)
        if frame is None:
            return None
        oddities: list[str] = []
        transpose, _ = display_matrix(frame, oddities)
        is_streamable = is_movie and not is_fragmented and _index_comes_first(source.path)
        plan = plan_clip(
            source,
            container,
            stream,
            frame,
            transpose,
            mime_type=mime_type,
            is_streamable=is_streamable,
            has_odd_matrix=bool(oddities),
        )
        return Shown(span or 0.0, stream.sample_aspect_ratio, transpose), plan


def _index_comes_first(path: Path) -> bool:
    with path.open("rb") as file:
        for box in iter_boxes(file, 0, path.stat().st_size):
            if box.kind in {b"moov", b"mdat"}:
                return box.kind == b"moov"
    return False


def _write_clip(source: VideoSource, plan: ClipPlan, run: ClipRun, scratch: Path, notes: list[str]) -> Rendition | None:
    import av

    notes.append(plan.why)
    if plan.way == "none":
        return None
    path, size, duration_s, quality = scratch / _CLIP, plan.upright, run.span_s, None
    try:
        if plan.way == "encode":
            duration_s = encode_clip(source, plan, path, run)
            if not duration_s:
                notes.append("No clip is kept: no frame could be decoded.")
                return None
            size, quality = (plan.width_px, plan.height_px), int(CRF)
        else:
            copy_movie(source, path, run.span_s, run.pace)
        if plan.way == "encode" and plan.is_same_size and path.stat().st_size >= source.path.stat().st_size:
            if plan.may_remux:
                notes.append("The encoded clip is larger than the video, which is copied instead.")
                copy_movie(source, path, run.span_s, run.pace)
                size, duration_s, quality = plan.upright, run.span_s, None
            elif plan.plays_anyway:
                notes.append("No clip is kept: it is larger than the video, which browsers play.")
                return None
    except (MemoryError, av.error.MemoryError):
        raise
    except (MovieError, av.FFmpegError) as error:
        # Filters and encoders refuse what no decoder makes of a sound file; the other renditions are good all the same.
        notes.append(f"No clip could be written ({type(error).__name__}: {error}).")
        return None
    return Rendition(
        "clip",
        _CLIP,
        "mp4",
        *size,
        path.stat().st_size,
        quality=quality,
        duration_s=round(duration_s, 3),
    )
