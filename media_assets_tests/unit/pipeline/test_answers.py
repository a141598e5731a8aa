"""Answers of decoder processes about frames of videos and looks, and what decides which frames there are."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from media_assets.media.records import Appearance
from media_assets.media.rendering import FRAME_KINDS, RenderOptions
from media_assets.pipeline.answers import media_result
from media_assets.pipeline.assets import INGEST_ASSETS, THUMBNAILS, code_version
from media_assets.pipeline.recipe import Recipe
from media_assets.settings import Settings

FACTS = {"media_type": "video", "mime_type": "video/mp4", "format": "mp4", "extension": "mp4"}


def frame(number: int, frame_s: object, **changes: object) -> dict[str, object]:
    kind = FRAME_KINDS[number - 1]
    sizes = {"width_px": 2, "height_px": 2, "size_bytes": 5}
    return {"kind": kind, "file_name": f"{kind}.jpg", "format": "jpeg", "frame_s": frame_s, **sizes, **changes}


def read(tmp_path: Path, renditions: list[dict[str, Any]]) -> list[tuple[str, float | None]]:
    for one in renditions:
        (tmp_path / one["file_name"]).write_bytes(b"frame")
    result = media_result({"facts": {**FACTS, "width_px": 2, "height_px": 2}, "renditions": renditions}, tmp_path)
    return [(one.kind, one.frame_s) for one in result.renditions]


def test_frames_are_taken_with_their_times(tmp_path: Path) -> None:
    assert read(tmp_path, [frame(1, 0), frame(2, 7.25)]) == [("frame_01", 0.0), ("frame_02", 7.25)]


@pytest.mark.parametrize(
    "renditions",
    [
        [frame(1, None)],
        [frame(1, -1.0)],
        [frame(1, float("nan"))],
        [frame(1, float("inf"))],
        [frame(1, 3), frame(2, 3)],
        [frame(1, 3), frame(2, 2)],
        [frame(2, 0)],
        [frame(1, 0), frame(1, 1)],
        [frame(1, 0, format="webp", file_name="frame_01.webp")],
        [frame(1, 0, kind="preview", file_name="preview.jpg")],
        [frame(1, 0, kind="frame_17", file_name="frame_17.jpg")],
    ],
    ids=[
        "no time", "before the start", "no number", "endless", "same time", "order", "gap", "twice", "format",
        "time of another kind", "too many",
    ],
)  # fmt: skip
def test_impossible_frames_are_not_believed(tmp_path: Path, renditions: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match=r"frame|rendition"):
        read(tmp_path, renditions)


LOOKS: dict[str, object] = {
    "dominant_colors": [{"rgb_hex": "#a0b0c0", "share": 0.6}, {"rgb_hex": "#000000", "share": 0.4}],
    "brightness": 0.5, "saturation": 0.0, "color_temperature": 6504.0, "blur_score": None, "noise_score": 1.0,
    "contrast": 0.3, "exposure": -1.0, "quality_score": 0.2, "phash": 2**64 - 1, "dhash": 0,
}  # fmt: skip


def looks(tmp_path: Path, **changes: object) -> Appearance | None:
    facts = {**FACTS, "width_px": 2, "height_px": 2}
    return media_result({"facts": facts, "appearance": {**LOOKS, **changes}}, tmp_path).appearance


def test_looks_are_taken_as_they_are(tmp_path: Path) -> None:
    found = looks(tmp_path)
    assert found is not None
    assert (found.phash, found.exposure, found.blur_score) == (2**64 - 1, -1.0, None)
    assert [color.rgb_hex for color in found.dominant_colors] == ["#a0b0c0", "#000000"]


@pytest.mark.parametrize(
    "changes",
    [
        {"quality_score": 1.1},
        {"noise_score": -0.1},
        {"brightness": float("nan")},
        {"blur_score": 2},
        {"exposure": -1.5},
        {"exposure": float("inf")},
        {"color_temperature": float("nan")},
        {"color_temperature": 0},
        {"phash": 2**64},
        {"dhash": -1},
        {"dominant_colors": [{"rgb_hex": "red", "share": 1}]},
        {"dominant_colors": [{"rgb_hex": "#ff0000", "share": 1.5}]},
        {"dominant_colors": [{"rgb_hex": "#ff0000", "share": 0.1}] * 6},
    ],
    ids=str,
)
def test_impossible_looks_are_not_believed(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"appearance|colour|hash"):
        looks(tmp_path, **changes)


def test_the_number_of_frames_decides_thumbnails_and_nothing_else_of_a_file() -> None:
    fewer = Recipe(rendering=dataclasses.replace(RenderOptions(), video_frames=4))
    assert {asset for asset in INGEST_ASSETS if code_version(asset) != code_version(asset, fewer)} == {THUMBNAILS}
    assert Settings(video_frames=4).rendering == fewer.rendering
    assert Settings().rendering.video_frames == len(FRAME_KINDS) == 16


@pytest.mark.parametrize("count", [0, 17])
def test_one_to_sixteen_frames(count: int) -> None:
    with pytest.raises(ValueError, match="video_frames"):
        Settings(video_frames=count)
