"""Faces over the frames of a video: sightings joined to tracks, so that no frame between two of them is left bare.

Lives here: which sightings are one face, and where it is between, before and after them. Must not: look at pixels.
Nothing is thrown away: a sighting that fits no track is a track of its own.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from media_assets.media.covers import Polygon, grown_polygon

_NEAR = 1.2  # sides of a face that it may move from one sighting to the next
_MOST_RATIO = 2.0  # of the sizes of one face in two sightings
_MOVE_MARGIN = 0.2  # of the way between two sightings: faces do not move evenly
_GAP_MARGIN = 0.02  # of the side, for each frame since a sighting
_MOST_GAP_MARGIN = 0.25


@dataclass(frozen=True)
class Sighting:
    """A face in a frame.

    Attributes:
        frame: Number of the frame, from 0.
        polygon: Four corners of its cover, always in the same order.
        source: Who saw it.
    """

    frame: int
    polygon: Polygon
    source: str

    @property
    def middle(self) -> tuple[float, float]:
        """Where its middle is."""
        x, y = np.mean(self.polygon, axis=0)
        return float(x), float(y)

    @property
    def side_px(self) -> float:
        """Square root of its area."""
        points = np.asarray(self.polygon)
        following = np.roll(points, -1, axis=0)
        doubled = np.sum(points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1])
        return float(np.sqrt(abs(doubled) / 2))


@dataclass
class Track:
    """One face as long as it is seen within one shot; frames ``first`` to ``last`` are covered."""

    sightings: list[Sighting]
    first: int = 0
    last: int = 0

    def polygon_at(self, frame: int) -> Polygon:
        """Return the cover in a frame: that of a sighting, or between two, or beside the nearest one, then larger."""
        place = bisect_right(self.sightings, frame, key=lambda one: one.frame)
        before = self.sightings[place - 1] if place else None
        after = self.sightings[place] if place < len(self.sightings) else None
        if before is not None and before.frame == frame:
            return before.polygon
        if before is None or after is None:
            nearest = after if before is None else before
            assert nearest is not None  # noqa: S101 - a track has one sighting at least
            return _grown(nearest, abs(frame - nearest.frame), 0.0)
        share = (frame - before.frame) / (after.frame - before.frame)
        corners = (1 - share) * np.asarray(before.polygon) + share * np.asarray(after.polygon)
        way = float(np.hypot(*np.subtract(after.middle, before.middle)))
        between = Sighting(frame, tuple((float(x), float(y)) for x, y in corners), before.source)
        return _grown(between, min(frame - before.frame, after.frame - frame), _MOVE_MARGIN * way)


@dataclass
class FaceTracks:
    """The tracks of a video, and which of them are seen in a frame.

    Attributes:
        tracks: In the order of their first sightings.
    """

    tracks: list[Track] = field(default_factory=list)
    _at: dict[int, list[Track]] = field(default_factory=lambda: defaultdict(list))

    def polygons(self, frame: int) -> list[Polygon]:
        """Return the covers of a frame."""
        return [track.polygon_at(frame) for track in self._at.get(frame, ())]

    def add(self, sightings: Sequence[Sighting], cuts: Sequence[int], *, frames: int, hold: int, gap: int) -> None:
        """Join sightings to tracks, and cover what lies between, before and after them.

        Args:
            sightings: In the order of frames.
            cuts: Numbers of the first frames of shots, rising; a track ends with its shot.
            frames: How many there are.
            hold: Frames before the first and after the last sighting that are covered too.
            gap: Most frames from one sighting of a face to the next one.
        """
        made: list[Track] = []
        for sighting in sightings:
            shot = bisect_right(cuts, sighting.frame)
            open_tracks = [
                track
                for track in made
                if 0 < sighting.frame - track.sightings[-1].frame <= gap
                and bisect_right(cuts, track.sightings[-1].frame) == shot
            ]
            best = min(open_tracks, key=lambda one: _apart(one.sightings[-1], sighting), default=None)
            if best is not None and _apart(best.sightings[-1], sighting) < _NEAR:
                best.sightings.append(sighting)
            else:
                made.append(Track([sighting]))
        for track in made:
            shot = bisect_right(cuts, track.sightings[0].frame)
            starts, ends = (cuts[shot - 1] if shot else 0), (cuts[shot] if shot < len(cuts) else frames)
            track.first = max(starts, track.sightings[0].frame - hold)
            track.last = min(ends - 1, track.sightings[-1].frame + hold)
            for frame in range(track.first, track.last + 1):
                self._at[frame].append(track)
        self.tracks += made


def _apart(one: Sighting, other: Sighting) -> float:
    """Return how far two sightings are apart, in sides of the face; without end where their sizes differ too much."""
    sides = one.side_px, other.side_px
    if max(sides) > _MOST_RATIO * min(sides):
        return float("inf")
    return float(np.hypot(*np.subtract(one.middle, other.middle))) / max(1.0, float(np.mean(sides)))


def _grown(sighting: Sighting, frames: int, margin_px: float) -> Polygon:
    share = min(_MOST_GAP_MARGIN, _GAP_MARGIN * frames)
    return grown_polygon(sighting.polygon, margin_px + share * sighting.side_px)
