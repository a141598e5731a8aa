"""Which looks at a video are worth an analysis: one of each scene, more of long scenes that change, none twice.

Lives here: the choice, by small pictures that were seen before. Must not: open or decode videos, write files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_NEW_SCENE = 0.3  # difference of two scenes; a hand that holds a camera stays below 0.2, cuts are above 0.5
_LEAST_SCENE_S = 0.5  # while a camera is swung, all changes faster than this
_CUT = 0.7  # difference that no swing makes between looks that are so close
_EVERY_S = 5.0  # of a scene, at most one frame in so many seconds
_BLACK, _WHITE = 20, 236  # gray levels of pictures without any detail
_FAIR_SHARE = 0.7  # of the best worth in a part: then the sharpest counts
_BLURRED_SHARE = 0.4  # of the crispness of what comes before and after
_FADE_MIN_CHANGE, _FADE_BEND = 0.5, 0.25
_MIXTURE, _DIMMED = (0.1, 0.9), (0.1, 0.75)  # shares; light that changes by less does so in most videos


@dataclass(frozen=True)
class Look:
    """What is kept of one frame to compare it with others.

    Attributes:
        at_s: Time in the video, in seconds.
        colors: Mean red, green and blue of the cells of a grid, 0-255, shape (rows, columns, 3).
        worth: How much it shows, 0-1 (``poster.picture_score``).
        crispness: How steep its edges are, in gray levels a pixel (``poster.crispness``).
    """

    at_s: float
    colors: NDArray[np.float32]
    worth: float
    crispness: float

    @cached_property
    def is_blank(self) -> bool:
        """Whether it is black or white all over."""
        return self.worth == 0 and not _BLACK <= float(self.colors.mean()) <= _WHITE


@dataclass(frozen=True)
class _Scene:
    """Looks that follow each other: positions ``first`` to ``end`` without it, their time and mean colours."""

    first: int
    end: int
    length_s: float
    colors: NDArray[np.float32]

    def joined(self, other: "_Scene") -> "_Scene":
        """Return this scene and the one after it as one."""
        length_s = self.length_s + other.length_s
        colors = (self.colors * self.length_s + other.colors * other.length_s) / length_s
        return _Scene(self.first, other.end, length_s, np.asarray(colors, np.float32))


def choose_looks(looks: Sequence[Look], span_s: float, count: int) -> list[int]:
    """Return the positions of the looks to analyse, in the order of time; at least one if there is any.

    Args:
        looks: In the order of time.
        span_s: Length of the video.
        count: How many may be chosen.
    """
    useful = _without_transitions(looks)
    if len(useful) < 2:
        return useful
    shown = [looks[position] for position in useful]
    lengths = _lengths([look.at_s for look in shown], span_s)
    scenes = _without_blurred(_scenes(shown, lengths, count), shown)
    best = [_best(shown, scene.first, scene.end) for scene in scenes]
    more: list[int] = []
    for scene, frames in zip(scenes, _shares(scenes, count), strict=True):
        parts = np.linspace(scene.first, scene.end, frames + 1).round().astype(int).tolist()
        more += [_best(shown, *part) for part in pairwise(parts) if part[0] < part[1]]
    kept: list[int] = []
    # One of each scene comes first; what else there is must differ from all that.
    for position in [*best, *more]:
        if len(kept) < count and not any(_are_alike(shown[position], shown[one]) for one in kept):
            kept.append(position)
    return sorted(useful[position] for position in kept)


def difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return how different two pictures are for their contrast: 0 (the same) to about 1 (nothing in common), or more.

    Args:
        one: As :attr:`Look.colors`.
        other: The same shape.
    """
    contrast = (float(one.std()) + float(other.std())) / 2
    return float(np.abs(one - other).mean()) / (contrast + 16)


def _are_alike(one: Look, other: Look) -> bool:
    """Tell whether nothing that is larger than a few cells of the grid differs: a person who came in would."""
    contrast = (float(one.colors.std()) + float(other.colors.std())) / 2
    changes = np.abs(one.colors - other.colors).max(axis=2)
    return float(np.percentile(changes, 98)) < 6 + 0.15 * contrast


def _without_transitions(looks: Sequence[Look]) -> list[int]:
    """Return the looks that are neither blank nor in the middle of a fade; if there is none, the best of what is."""
    useful = [position for position, look in enumerate(looks) if not look.is_blank and not _is_in_fade(looks, position)]
    if useful or not looks:
        return useful
    return [max(range(len(looks)), key=lambda position: looks[position].worth)]


def _is_in_fade(looks: Sequence[Look], position: int) -> bool:
    """Tell whether a look is a mixture of what comes before and after, or of one of them and black or white."""
    colors = [look.colors for look in looks]
    look = colors[position]
    for apart in (1, 2):  # a slow fade changes little from one look to the next
        if apart <= position < len(looks) - apart and _is_mixture(
            look, colors[position - apart], colors[position + apart], _MIXTURE
        ):
            return True
    plain = [np.full_like(look, level) for level in (0, 255)]
    beside = [*colors[max(position - 1, 0) : position], *colors[position + 1 : position + 2]]
    return any(_is_mixture(look, blank, other, _DIMMED) for blank in plain for other in beside)


def _is_mixture(
    colors: NDArray[np.float32], one: NDArray[np.float32], other: NDArray[np.float32], shares: tuple[float, float]
) -> bool:
    """Tell whether a picture is a mean of two different ones, in which the second has a share of this range."""
    if difference(one, other) < _FADE_MIN_CHANGE:
        return False
    way = other - one
    share = float(((colors - one) * way).sum() / (way * way).sum())
    bend = float(np.abs(colors - one - share * way).mean())
    return shares[0] < share < shares[1] and bend < _FADE_BEND * min(share, 1 - share) * float(np.abs(way).mean())


def _lengths(times: Sequence[float], span_s: float) -> list[float]:
    """Return for how long each look stands: from halfway to the one before it to halfway to the next."""
    middles = [(one + other) / 2 for one, other in pairwise(times)]
    bounds = [0.0, *middles, max(span_s, times[-1])]
    return [max(end - start, 1e-3) for start, end in pairwise(bounds)]


def _scenes(looks: Sequence[Look], lengths: Sequence[float], count: int) -> list[_Scene]:
    """Join neighbours that look the same, then those that cost least (Ward) until there are not too many."""
    scenes = [
        _Scene(position, position + 1, length, look.colors)
        for position, (look, length) in enumerate(zip(looks, lengths, strict=True))
    ]
    while len(scenes) > 1:
        pairs = list(pairwise(scenes))
        changes = [difference(one.colors, other.colors) for one, other in pairs]
        nearest = int(np.argmin(changes))
        if changes[nearest] >= _NEW_SCENE:
            if len(scenes) <= count:
                break
            costs = [
                change**2 * one.length_s * other.length_s / (one.length_s + other.length_s)
                for change, (one, other) in zip(changes, pairs, strict=True)
            ]
            nearest = int(np.argmin(costs))
        _join(scenes, nearest)
    return _long_enough(scenes)


def _long_enough(scenes: list[_Scene]) -> list[_Scene]:
    """Join each scene that is very short with the neighbour that looks more like it, the shortest first.

    Those between two cuts stay: so does what is seen of a shot at the start or the end of a clip.
    """
    while len(scenes) > 1:
        changes = [difference(one.colors, other.colors) for one, other in pairwise(scenes)]
        around = [min(pair) for pair in pairwise([np.inf, *changes, np.inf])]
        passing = [
            number
            for number, (scene, change) in enumerate(zip(scenes, around, strict=True))
            if scene.length_s < _LEAST_SCENE_S and change < _CUT
        ]
        if not passing:
            break
        shortest = min(passing, key=lambda number: scenes[number].length_s)
        is_like_next = shortest < len(changes) and changes[shortest] == around[shortest]
        _join(scenes, shortest if is_like_next else shortest - 1)
    return scenes


def _join(scenes: list[_Scene], number: int) -> None:
    """Put the scene after this one into it."""
    scenes[number : number + 2] = [scenes[number].joined(scenes[number + 1])]


def _without_blurred(scenes: Sequence[_Scene], looks: Sequence[Look]) -> list[_Scene]:
    """Leave out what was seen only once, between two others that are far sharper: the camera swings."""
    crisp = [max(look.crispness for look in looks[scene.first : scene.end]) for scene in scenes]
    return [
        scene
        for number, scene in enumerate(scenes)
        if scene.end - scene.first > 1
        or not 0 < number < len(scenes) - 1
        or crisp[number] >= _BLURRED_SHARE * min(crisp[number - 1], crisp[number + 1])
    ]


def _shares(scenes: Sequence[_Scene], count: int) -> list[int]:
    """Return how many frames each scene may have, by its length (method of D'Hondt), one at least."""
    frames = [1] * len(scenes)
    while sum(frames) < count:
        waiting = [scene.length_s / (given + 1) for scene, given in zip(scenes, frames, strict=True)]
        longest = int(np.argmax(waiting))
        if waiting[longest] < _EVERY_S:
            break
        frames[longest] += 1
    return frames


def _best(looks: Sequence[Look], first: int, end: int) -> int:
    """Return the position of the sharpest of those looks that show something, not at the edges if there are others."""
    if end - first >= 4:
        first, end = first + 1, end - 1  # next to a cut, frames are coded worst, and transitions begin
    least = _FAIR_SHARE * max(look.worth for look in looks[first:end])
    return max(
        (position for position in range(first, end) if looks[position].worth >= least),
        key=lambda position: looks[position].crispness,
    )
