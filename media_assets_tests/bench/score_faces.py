"""Score faces without a library: ``python -m media_assets_tests.bench.score_faces [--models FOLDER]``.

Detector and encoder run on labelled pictures, shrunk as previews are; the tool beside the pictures scores what they
found. For choices of models and thresholds; ``score_vision`` measures what users get.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image, ImageOps

from media_assets.models.loading import load_model
from media_assets.models.records import DetectedFace, Picture
from media_assets.models.registry import ModelPlaces, choose
from media_assets_tests.bench.machine import SHARED, describe_machine

_TASKS = ("face_det", "face_id", "objects")
_PREVIEW_PX = 1600
_LARGE_PX = 40.0


def _preview(path: Path) -> tuple[Picture, float]:
    """Return a picture as models see it, and how many pixels of the original one of its pixels is."""
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGB")
    width = upright.width
    upright.thumbnail((_PREVIEW_PX, _PREVIEW_PX), Image.Resampling.LANCZOS)
    return np.asarray(upright), width / upright.width


def _prediction(
    entry: Mapping[str, Any], scale: float, faces: Sequence[DetectedFace], vectors: Sequence[Any]
) -> dict[str, Any]:
    prediction: dict[str, Any] = {
        "path": entry["path"],
        "faces": [[*(value * scale for value in face.box), face.score] for face in faces],
    }
    if len(vectors):
        largest = max(range(len(vectors)), key=lambda at: _side(faces[at].box))
        prediction["embedding"] = [float(value) for value in vectors[largest]]
    return prediction


def _side(box: Sequence[float]) -> float:
    return min(box[2] - box[0], box[3] - box[1])


def _iou(one: Sequence[float], other: Sequence[float]) -> float:
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (sum(areas) - shared or 1)


def _large(entry: Mapping[str, Any], scale: float, prediction: Mapping[str, Any]) -> list[bool]:
    """For each labelled face that is large in the preview: was it found?"""
    large = [box for box in entry["labels"].get("faces") or () if _side(box) >= _LARGE_PX * scale]
    return [any(_iou(box, found) >= 0.5 for found in prediction["faces"]) for box in large]


def _quantiles(took_ms: Sequence[float]) -> str:
    if not took_ms:
        return "none"
    median, most = np.quantile(took_ms, [0.5, 0.95])
    return f"mean {np.mean(took_ms):.0f}, median {median:.0f}, 95 % {most:.0f}, most {max(took_ms):.0f}"


@click.command()
@click.option("--pictures", type=click.Path(path_type=Path, exists=True), default=SHARED / "vision", show_default=True)
@click.option("--models", type=click.Path(path_type=Path, exists=True), help="Folder of models; else the bundled ones.")
@click.option("--threshold", type=float, help="Least score of a face; else that of the registry.")
def main(pictures: Path, models: Path | None, threshold: float | None) -> None:
    """Print recall, precision, false alarms, how well people are told apart, and CPU time."""
    places = ModelPlaces(models, Path(tempfile.gettempdir()))
    detecting = choose("faces", places, tier="bundled", name=None)
    encoding = choose("face_identity", places, tier="bundled", name=None)
    assert detecting is not None and encoding is not None
    detector, encoder = load_model(detecting.name, places), load_model(encoding.name, places)
    least = detecting.threshold if threshold is None else threshold
    lines = (pictures / "MANIFEST.jsonl").read_text("utf-8").splitlines()
    entries = [entry for entry in map(json.loads, filter(None, lines)) if entry["task"] in _TASKS]
    predictions, large, detected_ms, encoded_ms = [], [], [], []
    for entry in entries:
        picture, scale = _preview(pictures / entry["path"])
        started = time.process_time()
        (faces,) = detector.detect([picture], least)
        detected_ms.append((time.process_time() - started) * 1000)
        vectors: Sequence[Any] = ()
        if entry["task"] == "face_id" and faces:
            started = time.process_time()
            vectors = encoder.encode(picture, faces)
            encoded_ms.append((time.process_time() - started) * 1000 / len(faces))
        predictions.append(_prediction(entry, scale, faces, vectors))
        if entry["task"] == "face_det":
            large += _large(entry, scale, predictions[-1])
    click.echo(describe_machine(("onnxruntime", "opencv-python-headless", "dlib-bin")))
    click.echo(f"{detecting.version} from {least}, {encoding.version} below {encoding.same_below}")
    with tempfile.TemporaryDirectory() as folder:
        manifest, found = Path(folder) / "manifest.jsonl", Path(folder) / "found.jsonl"
        manifest.write_text("\n".join(map(json.dumps, entries)), "utf-8")
        found.write_text("\n".join(map(json.dumps, predictions)), "utf-8")
        arguments = ["--face-score", str(least), "--id-threshold", str(encoding.same_below)]
        arguments += ["--metric", str(encoding.metric)]
        tool = [sys.executable, str(SHARED / "tools" / "score-vision"), str(manifest), str(found), *arguments]
        done = subprocess.run(tool, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"score-vision failed: {done.stderr.strip()[-500:]}")
    click.echo(done.stdout.strip())
    if large:
        click.echo(f"faces of {_LARGE_PX:.0f} px and more in the preview: {sum(large)} of {len(large)} found")
    click.echo(f"CPU ms a picture, faces: {_quantiles(detected_ms)}; a face, identity: {_quantiles(encoded_ms)}")


if __name__ == "__main__":
    main()
