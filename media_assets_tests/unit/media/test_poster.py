"""Which frame stands for a video, and in which colours."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from media_assets.media.poster import picture_score
from media_assets.media.tone import HLG, PQ, to_srgb
from media_assets_tests.unit.media.video_samples import decode

Picture = NDArray[np.uint8]
PHOTO: Picture = np.ascontiguousarray(data.astronaut()[:256, :320])
OTHER: Picture = np.ascontiguousarray(data.coffee()[:256, :320])
BLACK = np.zeros_like(PHOTO)


def write_frames(path: Path, frame: Callable[[int], Picture], count: int, *, gop: int = 5) -> Path:
    """Write frames at 10 a second, with a keyframe every ``gop`` frames."""
    with av.open(str(path), "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=Fraction(10), options={"preset": "ultrafast", "sc_threshold": "0"})
        stream.height, stream.width = PHOTO.shape[:2]
        stream.gop_size = gop
        for number in range(count):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame(number), format="rgb24")))
        output.mux(stream.encode(None))
    return path


def poster(path: Path, tmp_path: Path) -> Picture:
    return np.asarray(decode(path, "mp4", tmp_path).poster)


def likeness(picture: Picture, original: Picture) -> float:
    """Correlation of a poster with what it should show."""
    small = np.asarray(av.VideoFrame.from_ndarray(original, format="rgb24").reformat(160, 128).to_ndarray("rgb24"))
    return float(np.corrcoef(picture.ravel(), small.ravel())[0, 1])


def dimmed(picture: Picture, share: float) -> Picture:
    return (picture * share).astype(np.uint8)


def mixed(number: int, first: int, length: int) -> Picture:
    share = min(max((number - first) / length, 0), 1)
    return (PHOTO * (1 - share) + OTHER * share).astype(np.uint8)


def test_a_good_frame_at_a_tenth_of_the_length_is_taken(tmp_path: Path) -> None:
    path = write_frames(tmp_path / "v", lambda n: PHOTO if n < 20 else OTHER, 60)
    assert likeness(poster(path, tmp_path), PHOTO) > 0.95


@pytest.mark.parametrize("gop", [5, 200], ids=["many keyframes", "one keyframe"])
def test_a_black_start_is_passed_over(tmp_path: Path, gop: int) -> None:
    path = write_frames(tmp_path / "v", lambda n: BLACK if n < 25 else PHOTO, 60, gop=gop)
    assert likeness(poster(path, tmp_path), PHOTO) > 0.95


def swung(picture: Picture, pixels: int) -> Picture:
    """What a camera sees that is turned while the shutter is open: blurred along one direction."""
    wide = np.pad(picture.astype(np.float64), ((0, 0), (pixels, 0), (0, 0)), mode="edge").cumsum(axis=1)
    return ((wide[:, pixels:] - wide[:, :-pixels]) / pixels).clip(0, 255).astype(np.uint8)


def test_the_only_keyframe_is_passed_over_when_the_camera_swings(tmp_path: Path) -> None:
    path = write_frames(tmp_path / "v", lambda n: swung(PHOTO, 24) if n < 10 else OTHER, 30, gop=200)
    assert likeness(poster(path, tmp_path), OTHER) > 0.95
    still = write_frames(tmp_path / "still", lambda n: PHOTO if n < 10 else swung(OTHER, 24), 30, gop=200)
    assert likeness(poster(still, tmp_path), PHOTO) > 0.95


def test_a_fade_in_is_passed_over(tmp_path: Path) -> None:
    path = write_frames(tmp_path / "v", lambda n: dimmed(PHOTO, min(n / 40, 1)), 200)
    assert poster(path, tmp_path).mean() > 0.9 * PHOTO.mean()


def test_a_cross_fade_is_passed_over(tmp_path: Path) -> None:
    """From 1.0 s to 3.5 s both pictures are seen; a tenth of 20 s lies in the middle of that."""
    path = write_frames(tmp_path / "v", lambda n: mixed(n, 10, 25), 200)
    found = poster(path, tmp_path)
    assert max(likeness(found, PHOTO), likeness(found, OTHER)) > 0.97


def test_a_picture_of_one_colour_scores_nothing_and_detail_scores_most() -> None:
    flat = np.full((90, 160), 128, np.float32)
    gray = np.asarray(data.camera()[::4, ::3], np.float32)
    blurred = np.asarray(np.repeat(np.repeat(gray[::16, ::16], 16, 0), 16, 1), np.float32)
    assert picture_score(flat) == 0
    assert picture_score(np.asarray(gray * 0.1, np.float32)) < picture_score(blurred) < picture_score(gray) <= 1


def pq(nits: float) -> float:
    """Inverse of the curve of BT.2100, by its constants."""
    power = (nits / 10_000) ** (2610 / 16384)
    return float(((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32))


def gray_of(signal: float, transfer: int) -> float:
    value = to_srgb(np.full((1, 3), signal, np.float32), transfer)[0]
    assert np.ptp(value) < 0.01
    return float(value[1])


@pytest.mark.parametrize(("transfer", "white", "peak"), [(PQ, pq(203), pq(1000)), (HLG, 0.75, 1.0)])
def test_white_is_bright_and_highlights_keep_their_order(transfer: int, white: float, peak: float) -> None:
    assert 0.78 < gray_of(white, transfer) < 0.92
    assert gray_of(peak, transfer) == pytest.approx(1, abs=0.01)
    curve = [gray_of(share * peak, transfer) for share in np.linspace(0, 1, 30)]
    assert curve[0] == pytest.approx(0, abs=0.01)
    assert curve == sorted(curve)


def test_a_middle_gray_of_pq_stays_what_it_is() -> None:
    """Below the shoulder nothing is changed: 0.18 of white is sRGB 0.46."""
    assert gray_of(pq(0.18 * 203), PQ) == pytest.approx(0.461, abs=0.01)


def test_wide_red_becomes_a_full_red() -> None:
    red, green, blue = to_srgb(np.array([[1.0, 0.0, 0.0]], np.float32), 1)[0]
    assert (red, green, blue) == pytest.approx((1, 0, 0), abs=0.01)
