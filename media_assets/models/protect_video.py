"""Copies of videos that may be shared: every frame covered, encoded, decoded again and searched for what is left.

Lives here: the order of the steps for a video: look, paint and encode, prove, repair. Must not: know the library. The
same is done for pictures in ``protect``.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from media_assets.media.clip import ClipRun
from media_assets.media.covers import Area, Polygon, face_polygon, scaled_polygon
from media_assets.media.limits import Limits
from media_assets.media.pace import Pace
from media_assets.media.shared_picture import hash_of_copy
from media_assets.media.shared_video import (
    OpenedVideo,
    SharedFrame,
    frames_of_copy,
    open_original_video,
    write_covered,
)
from media_assets.models.face_search import FaceSearch, FoundFace, load_face_search
from media_assets.models.face_tracks import FaceTracks, Sighting
from media_assets.models.left_faces import faces_left
from media_assets.models.protect_records import Cover, ProtectedCopy, ProtectOptions, ReadText
from media_assets.models.records import BoxPx
from media_assets.models.registry import ModelPlaces
from media_assets.models.text_covers import text_covers

_COPY = "copy.mp4"
_LOOK_EVERY_S = 0.1  # by one detector; by both, in two sizes, every fourth time
_FULL_LOOK_EVERY = 4
_PROVE_EVERY_S = 0.25  # and in frames that nobody looked at before
_HOLD_S = 0.4  # a face is covered so long before it was first seen and after it was last seen
_GAP_S = 1.0  # a face that is not seen for so long is covered all the same
_REPAIR_GROWTH = 1.15
_ONE_THREAD = 1
_NO_DEADLINE_S = float("inf")  # whoever called ends the process
_LOOKED, _FIRST_COPY = 0.4, 0.8  # of the progress


@dataclass
class _Look:
    """What was seen of the original.

    Attributes:
        sightings: Faces, in the order of frames.
        cuts: Numbers of the frames that start a shot; the first one is not among them.
        times_s: Of each frame.
    """

    sightings: list[Sighting] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)

    @property
    def fps(self) -> float:
        """Frames a second, on average."""
        span_s = self.times_s[-1] - self.times_s[0] if self.times_s else 0.0
        return (len(self.times_s) - 1) / span_s if span_s > 0 else 25.0

    def frame_at(self, at_s: float) -> int:
        """Return the number of the frame that is shown at a time."""
        return max(0, bisect_right(self.times_s, at_s + 1e-3) - 1)

    def shot_of(self, frame: int) -> tuple[int, int]:
        """Return the first frame of a shot, and the first one after it."""
        place = bisect_right(self.cuts, frame)
        return (
            self.cuts[place - 1] if place else 0,
            self.cuts[place] if place < len(self.cuts) else len(self.times_s),
        )


@dataclass(frozen=True)
class _TextRun:
    first: int
    end: int
    covers: tuple[Cover, ...]


def protect_video(
    source: Path,
    folder: Path,
    *,
    known_faces_by_s: Mapping[float, Sequence[BoxPx]],
    known_texts_by_s: Mapping[float, Sequence[ReadText]],
    options: ProtectOptions,
    places: ModelPlaces,
    on_progress: Callable[[float], None],
) -> ProtectedCopy:
    """Write the copy of a video into a folder, and say what is left to be seen in it.

    Args:
        source: The original.
        folder: Existing; receives ``copy.mp4``.
        known_faces_by_s: Faces that the library knows, by seconds after the start, in pixels of the upright original.
        known_texts_by_s: Texts that were read in some frames. A telling one is covered through all of its shot, where
            it was read: texts that move are covered in part only.
        options: How.
        places: Where models lie.
        on_progress: Receives the share that is done, 0-1, at most once a second.

    Raises:
        ContentError: The original cannot be decoded.
        ModelError: A detector cannot be loaded.
        ScratchError: There is no space.
    """
    search = load_face_search(places)
    opened = open_original_video(source, Limits(), longest_px=options.longest_px)
    pace = Pace(_NO_DEADLINE_S, on_progress)
    run = ClipRun(opened.span_s, _ONE_THREAD, pace, keeps_sound=options.keep_audio)
    pace.part(0, _LOOKED)
    look = _look(search, opened, folder, run, known_faces_by_s)
    frames = len(look.times_s)
    hold, gap = (max(1, round(span_s * look.fps)) for span_s in (_HOLD_S, _GAP_S))
    seen, repairs = FaceTracks(), FaceTracks()
    seen.add(look.sightings, look.cuts, frames=frames, hold=hold, gap=gap)
    texts = _text_runs(known_texts_by_s, look, opened, options)

    def areas(number: int, at_s: float) -> list[Area]:
        del at_s
        told = [Area(cover.polygon) for run in texts if run.first <= number < run.end for cover in run.covers]
        faces = [Area(polygon, options.style) for polygon in seen.polygons(number)]
        return [*faces, *told, *(Area(polygon) for polygon in repairs.polygons(number))]

    path, rounds, share = folder / _COPY, 0, _LOOKED
    while True:
        end = share + (_FIRST_COPY - _LOOKED if not rounds else (1 - share) / 2)
        pace.part(share, (share + end) / 2)
        duration_s = write_covered(opened, path, areas, run)
        pace.part((share + end) / 2, end)
        left, phash = _prove(search, path, areas, look, run, shift=rounds)
        rounds, share = rounds + 1, end
        if not left or rounds > options.most_rounds:
            break
        growth = _REPAIR_GROWTH**rounds
        found = [Sighting(at, face_polygon(face.box, face.landmarks, growth), face.source) for at, face in left]
        repairs.add(found, look.cuts, frames=frames, hold=hold, gap=gap)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return ProtectedCopy(
        path=path,
        format="mp4",
        mime_type="video/mp4",
        width_px=opened.plan.width_px,
        height_px=opened.plan.height_px,
        size_bytes=path.stat().st_size,
        duration_s=round(duration_s, 3),
        sha256=sha256,
        phash=phash,
        covers=tuple(_covers(look, (seen, repairs), texts)),
        faces_covered=len(seen.tracks) + len(repairs.tracks),
        texts_covered=sum(len(run.covers) for run in texts),
        faces_left=len({at for at, _ in left}),
        verified_with=search.versions,
        rounds=rounds,
    )


def _look(
    search: FaceSearch,
    opened: OpenedVideo,
    folder: Path,
    run: ClipRun,
    known_by_s: Mapping[float, Sequence[BoxPx]],
) -> _Look:
    """Look for faces now and then, on both sides of each cut, and in the frames in which some are known."""
    look, looks = _Look(), 0
    wanted = sorted(known_by_s)
    last: SharedFrame | None = None
    looked_at: tuple[int, float] | None = None
    for frame in opened.frames(folder, run):
        look.times_s.append(frame.at_s)
        starts = frame.starts_shot and frame.number > 0
        if starts:
            look.cuts.append(frame.number)
            if last is not None and looked_at is not None and looked_at[0] != last.number:
                look.sightings += _sightings(search, last, is_full=True)
        known: list[BoxPx] = []
        while wanted and wanted[0] <= frame.at_s + 1e-3:
            known += known_by_s[wanted.pop(0)]
        if starts or known or looked_at is None or frame.at_s - looked_at[1] >= _LOOK_EVERY_S - 1e-3:
            looks += 1
            is_full = starts or bool(known) or looks % _FULL_LOOK_EVERY == 1
            look.sightings += _sightings(search, frame, is_full=is_full)
            look.sightings += [
                Sighting(frame.number, scaled_polygon(face_polygon(box), *opened.scale), "known") for box in known
            ]
            looked_at = (frame.number, frame.at_s)
        last = frame
    if last is not None and looked_at is not None and looked_at[0] != last.number:
        look.sightings += _sightings(search, last, is_full=True)
    for at_s in wanted:  # after the last frame: lengths are rounded
        polygons = [scaled_polygon(face_polygon(box), *opened.scale) for box in known_by_s[at_s]]
        look.sightings += [Sighting(look.frame_at(at_s), polygon, "known") for polygon in polygons]
    return look


def _sightings(search: FaceSearch, frame: SharedFrame, *, is_full: bool) -> list[Sighting]:
    faces = search.find(frame.rgb(), "frame" if is_full else "quick")
    return [Sighting(frame.number, face_polygon(face.box, face.landmarks), face.source) for face in faces]


def _prove(
    search: FaceSearch,
    path: Path,
    areas: Callable[[int, float], Sequence[Area]],
    look: _Look,
    run: ClipRun,
    *,
    shift: int,
) -> tuple[list[tuple[int, FoundFace]], str]:
    """Search the copy, as decoded from its file.

    Args:
        search: The detectors.
        path: The copy.
        areas: What was covered.
        look: What was seen of the original.
        run: Clock.
        shift: Of the frames that are searched: each round looks at others.

    Returns:
        Number of the frame and finding, in the order of frames; the hash of the first frame.
    """
    step = max(1, round(_PROVE_EVERY_S * look.fps))
    starts = {0, *look.cuts, *(max(0, cut - 1) for cut in look.cuts), len(look.times_s) - 1}
    left: list[tuple[int, FoundFace]] = []
    phash = ""
    for frame in frames_of_copy(path):
        run.pace.tick(frame.number / max(1, len(look.times_s)))
        if not phash:
            phash = hash_of_copy(frame.rgb())
        if frame.number in starts or frame.number % step == (step // 2 + shift) % step:
            solid: list[Polygon] = [one.polygon for one in areas(frame.number, frame.at_s) if one.style == "solid"]
            left += [(frame.number, face) for face in faces_left(search, frame.rgb(), solid, "frame_proof")]
    return left, phash


def _text_runs(
    texts_by_s: Mapping[float, Sequence[ReadText]], look: _Look, opened: OpenedVideo, options: ProtectOptions
) -> list[_TextRun]:
    runs = []
    for at_s, texts in sorted(texts_by_s.items()):
        covers = text_covers(texts, opened.scale, frame_s=at_s) if options.cover_texts else []
        if covers:
            runs.append(_TextRun(*look.shot_of(look.frame_at(at_s)), tuple(covers)))
    return runs


def _covers(look: _Look, tracks: Sequence[FaceTracks], texts: Sequence[_TextRun]) -> Iterator[Cover]:
    for group in tracks:
        for track in group.tracks:
            for one in track.sightings:
                yield Cover("face", round(look.times_s[one.frame], 3), one.polygon, one.source)
    for run in texts:
        yield from run.covers
