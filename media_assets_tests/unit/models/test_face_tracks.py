"""Tests of media_assets.models.face_tracks."""

import numpy as np

from media_assets.media.covers import Polygon, area_mask
from media_assets.models.face_tracks import FaceTracks, Sighting


def _square(x: float, y: float, side: float = 40) -> Polygon:
    return ((x, y), (x + side, y), (x + side, y + side), (x, y + side))


def _covers(tracks: FaceTracks, frame: int, polygon: Polygon) -> bool:
    wanted = area_mask((400, 600), [polygon])
    return bool((area_mask((400, 600), tracks.polygons(frame)) >= wanted).all())


def _tracked(sightings: list[Sighting], cuts: tuple[int, ...] = (), hold: int = 10, gap: int = 25) -> FaceTracks:
    tracks = FaceTracks()
    tracks.add(sightings, cuts, frames=100, hold=hold, gap=gap)
    return tracks


def test_a_moving_face_is_covered_in_every_frame_between_two_looks() -> None:
    way = [_square(10 + 5 * frame, 100) for frame in range(31)]
    tracks = _tracked([Sighting(frame, way[frame], "a") for frame in range(0, 31, 3)])

    assert len(tracks.tracks) == 1
    assert all(_covers(tracks, frame, way[frame]) for frame in range(31))


def test_a_face_that_stops_half_way_between_two_looks_is_covered() -> None:
    tracks = _tracked([Sighting(0, _square(100, 100), "a"), Sighting(4, _square(120, 100), "a")])

    middle = tracks.polygons(2)[0]

    assert np.ptp(middle, axis=0)[0] > 40
    assert _covers(tracks, 2, _square(108, 100))


def test_a_face_that_is_not_seen_for_a_while_is_covered_all_the_same() -> None:
    tracks = _tracked([Sighting(0, _square(100, 100), "a"), Sighting(20, _square(100, 100), "b")])

    assert len(tracks.tracks) == 1
    assert all(_covers(tracks, frame, _square(100, 100)) for frame in range(31))
    assert tracks.polygons(31) == []


def test_a_face_is_covered_before_it_was_first_seen_and_larger_the_longer_before() -> None:
    tracks = _tracked([Sighting(50, _square(100, 100), "a")])

    widths = [np.ptp(tracks.polygons(frame)[0], axis=0)[0] for frame in range(40, 51)]

    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == 40
    assert tracks.polygons(39) == []


def test_covers_end_where_a_shot_ends() -> None:
    tracks = _tracked([Sighting(18, _square(100, 100), "a"), Sighting(21, _square(100, 100), "a")], cuts=(20,))

    assert [(track.first, track.last) for track in tracks.tracks] == [(8, 19), (20, 31)]


def test_two_faces_side_by_side_stay_two() -> None:
    sightings = [Sighting(frame, _square(x, 100), "a") for frame in range(0, 12, 3) for x in (100, 200)]

    assert sorted(len(track.sightings) for track in _tracked(sightings).tracks) == [4, 4]


def test_faces_of_other_sizes_are_others() -> None:
    sightings = [Sighting(0, _square(100, 100), "a"), Sighting(3, _square(100, 100, side=120), "a")]

    assert len(_tracked(sightings).tracks) == 2


def test_later_sightings_add_covers_to_those_that_are_there() -> None:
    tracks = _tracked([Sighting(0, _square(100, 100), "a")])

    tracks.add([Sighting(5, _square(300, 300), "b")], (), frames=100, hold=2, gap=5)

    assert [len(tracks.polygons(frame)) for frame in (0, 5, 9, 50)] == [1, 2, 1, 0]
