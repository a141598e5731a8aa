"""Which looks at a video are chosen for analysis."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage import data
from skimage.transform import resize

from media_assets.media.frame_choice import Look, choose_looks, difference

Colors = NDArray[np.float32]


def photo(picture: NDArray[np.uint8]) -> Colors:
    """What is kept of a photo."""
    return np.asarray(resize(picture, (16, 16), anti_aliasing=True, preserve_range=True), np.float32)


ASTRONAUT, COFFEE, CAT = photo(data.astronaut()), photo(data.coffee()), photo(data.chelsea())
BLACK, WHITE = np.zeros_like(CAT), np.full_like(CAT, 255)


def look(at_s: float, colors: Colors, *, worth: float = 0.8, crispness: float = 30.0) -> Look:
    return Look(at_s, np.asarray(colors, np.float32), worth, crispness)


def every_second(*colors: Colors) -> list[Look]:
    return [look(float(second), one, worth=0.0 if np.ptp(one) == 0 else 0.8) for second, one in enumerate(colors)]


def times(looks: Sequence[Look], span_s: float, count: int = 16) -> list[float]:
    return [looks[position].at_s for position in choose_looks(looks, span_s, count)]


def test_nothing_seen_nothing_chosen() -> None:
    assert choose_looks([], 10, 16) == []


def test_each_scene_has_a_frame() -> None:
    looks = every_second(*[ASTRONAUT] * 3, *[COFFEE] * 3, *[CAT] * 3)
    chosen = times(looks, 9)
    assert [int(at // 3) for at in chosen] == [0, 1, 2]


def test_scenes_of_one_colour_have_a_frame_too() -> None:
    red, green, blue = (np.broadcast_to(np.float32(color), CAT.shape) for color in np.eye(3) * 200)
    looks = [
        look(float(n), color, worth=0, crispness=0) for n, color in enumerate([red, red, green, green, blue, blue])
    ]
    assert [int(at // 2) for at in times(looks, 6)] == [0, 1, 2]


def test_the_sharpest_frame_of_a_scene_is_taken() -> None:
    crisp = [20, 22, 60, 21, 20, 20]
    looks = [look(float(n), CAT, crispness=value) for n, value in enumerate(crisp)]
    assert times(looks, 6) == [2]


def test_a_sharp_frame_that_shows_little_is_not_taken() -> None:
    looks = [look(0, CAT, worth=0.9), look(1, CAT, worth=0.1, crispness=90), look(2, CAT, worth=0.8, crispness=40)]
    assert times(looks, 3) == [2]


def test_a_still_video_has_one_frame_however_long_it_is() -> None:
    noise = np.random.default_rng(1)
    looks = [look(float(n * 60), CAT + noise.normal(0, 1, CAT.shape)) for n in range(60)]
    assert len(choose_looks(looks, 3600, 16)) == 1


def test_somebody_who_comes_in_is_seen() -> None:
    """A few cells of the grid change: the scene stays the same, and has a second frame."""
    visited = CAT.copy()
    visited[6:12, 7:10] = 20
    looks = every_second(*[CAT] * 10, *[visited] * 10)
    chosen = times(looks, 20)
    assert len(chosen) == 2
    assert chosen[0] < 10 <= chosen[1]


def test_a_scene_that_comes_again_has_no_second_frame() -> None:
    looks = every_second(*[CAT] * 2, *[COFFEE] * 2, *[CAT] * 2, *[COFFEE] * 2, *[CAT] * 2)
    assert [int(at // 2) for at in times(looks, 10)] == [0, 1]


@pytest.mark.parametrize("blank", [BLACK, WHITE], ids=["black", "white"])
def test_black_and_white_frames_are_passed_over(blank: Colors) -> None:
    assert times(every_second(blank, blank, CAT, blank, blank), 5) == [2]


def test_a_video_that_is_black_has_a_frame() -> None:
    assert len(times(every_second(BLACK, BLACK, BLACK), 3)) == 1


def test_a_cross_fade_is_passed_over() -> None:
    mixed = [COFFEE * share + CAT * (1 - share) for share in (0.25, 0.5, 0.75)]
    looks = every_second(*[CAT] * 3, *mixed, *[COFFEE] * 3)
    chosen = times(looks, 9)
    assert len(chosen) == 2
    assert not {3.0, 4.0, 5.0} & set(chosen)


@pytest.mark.parametrize("plain", [BLACK, WHITE], ids=["black", "white"])
def test_a_fade_from_one_colour_is_passed_over(plain: Colors) -> None:
    looks = every_second(plain, plain * 0.6 + CAT * 0.4, CAT, CAT)
    assert times(looks, 4)[0] >= 2


def test_light_that_changes_slowly_is_no_fade() -> None:
    looks = every_second(*(CAT * level for level in np.linspace(0.4, 1, 12)))
    chosen = times(looks, 12)
    assert len(chosen) > 1
    assert chosen[0] < 4


def test_a_swing_of_the_camera_is_passed_over() -> None:
    """What is seen for a fifth of a second only, and is not what comes before or after, is on the way."""
    between = photo(data.rocket()) * 0.3 + CAT * 0.4 + COFFEE * 0.3
    looks = [look(0.2 * n, one) for n, one in enumerate([*[CAT] * 5, between, *[COFFEE] * 5])]
    assert 1.0 not in times(looks, 2.2)


def test_a_blurred_scene_between_sharp_ones_is_passed_over() -> None:
    looks = [look(0, CAT), look(1, CAT), look(2, ASTRONAUT, crispness=5), look(3, COFFEE), look(4, COFFEE)]
    assert [int(at) for at in times(looks, 5) if at == 2] == []
    sharp = [look(0, CAT), look(1, CAT), look(2, ASTRONAUT), look(3, COFFEE), look(4, COFFEE)]
    assert 2 in times(sharp, 5)


def test_the_rest_of_a_shot_at_the_start_is_kept() -> None:
    looks = [look(0, ASTRONAUT), *(look(0.2 * n, CAT) for n in range(1, 10))]
    assert times(looks, 2)[0] == 0


def test_long_scenes_that_change_have_more_frames() -> None:
    """A view that goes by slowly: 40 s of one, 10 s of the other."""
    long = [np.roll(CAT, shift, axis=1) * 0.3 + CAT * 0.7 for shift in range(8)]
    looks = [look(5.0 * n, one) for n, one in enumerate(long)]
    looks += [look(40 + 5.0 * n, COFFEE * 0.7 + np.roll(COFFEE, n, axis=1) * 0.3) for n in range(2)]
    chosen = times(looks, 50)
    assert sum(at < 40 for at in chosen) > sum(at >= 40 for at in chosen) >= 1


def test_no_more_frames_than_asked_for_and_those_spread_over_the_length() -> None:
    pictures = np.random.default_rng(2).uniform(0, 255, (60, 4, 4, 3))
    looks = [look(float(n), resize(one, (16, 16), order=0)) for n, one in enumerate(pictures)]
    chosen = times(looks, 60, 6)
    assert len(chosen) == 6
    assert max(np.diff([0, *chosen, 60])) < 25


def test_difference_tells_cuts_from_noise() -> None:
    noise = np.random.default_rng(3).normal(0, 2, CAT.shape)
    assert difference(CAT, CAT) == 0
    assert difference(CAT, np.asarray(CAT + noise, np.float32)) < 0.05
    assert difference(CAT, COFFEE) == pytest.approx(difference(COFFEE, CAT))
    assert difference(CAT, COFFEE) > 0.5


_PICTURES = (ASTRONAUT, COFFEE, CAT, BLACK, WHITE)


@given(st.lists(st.sampled_from(range(5)), min_size=1, max_size=25), st.integers(1, 16), st.floats(0.1, 9))
def test_always_some_in_order_and_never_too_many(kinds: list[int], count: int, step_s: float) -> None:
    looks = [look(n * step_s, _PICTURES[kind], worth=0.0 if kind > 2 else 0.8) for n, kind in enumerate(kinds)]
    chosen = choose_looks(looks, len(kinds) * step_s, count)
    assert 1 <= len(chosen) <= count
    assert chosen == sorted(set(chosen))
    assert all(0 <= position < len(looks) for position in chosen)
