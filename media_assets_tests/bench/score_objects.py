"""How well things are found and pictures named: ``python -m media_assets_tests.bench.score_objects [--model NAME]``.

Average precision as COCO measures it at an overlap of 0.5, for all boxes and for those over 2 % of the picture;
precision and recall by threshold; labels; pictures that are found by their like. ``--fit`` fits the calibration of a
detector anew and checks it by cross-validation. Labelled pictures are no part of the repository.
"""

import itertools
import json
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from media_assets.models.candidates import overlaps
from media_assets.models.loading import load_model
from media_assets.models.object_detection import Calibration
from media_assets.models.records import BoxPx, DetectedObject
from media_assets.models.registry import ModelPlaces, model_named
from media_assets.pipeline.analysis_recipe import places_of
from media_assets.settings import Settings
from media_assets_tests.bench.machine import SHARED

LARGE = 0.02
"""Part of the picture from which a box is large."""

_OVERLAP = 0.5
_FOLDS = 5
_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9)
_RECALLS = np.linspace(0, 1, 101)  # as COCO samples the curve


@dataclass(frozen=True)
class Labelled:
    """A picture with all its things of the known classes.

    Attributes:
        name: Its path.
        size_px: Width and height.
        objects: Class and box of each thing.
        crowds: Class and box of each group that is labelled as one.
    """

    name: str
    size_px: tuple[int, int]
    objects: tuple[tuple[str, BoxPx], ...]
    crowds: tuple[tuple[str, BoxPx], ...]


@dataclass(frozen=True)
class Judged:
    """A box that was found, as the labels judge it; those that nobody can judge are left out."""

    name: str
    label: str
    score: float
    is_right: bool


Found = Mapping[str, Sequence[DetectedObject]]


def labelled_pictures(pictures: Path) -> list[Labelled]:
    """Return the pictures of a folder with ``MANIFEST.jsonl`` that have labelled objects."""

    def named(entries: Sequence[Sequence[Any]]) -> tuple[tuple[str, BoxPx], ...]:
        return tuple((label, (box[0], box[1], box[2], box[3])) for label, *box in entries)

    return [
        Labelled(
            entry["path"],
            (entry["width"], entry["height"]),
            named(entry["labels"]["objects"]),
            named(entry["labels"].get("crowd", [])),
        )
        for entry in _entries(pictures)
        if "objects" in entry["labels"]
    ]


def judge(cases: Sequence[Labelled], found: Found, least_share: float) -> tuple[list[Judged], dict[str, int]]:
    """Match what was found with the labels, surest first, and count the things of each class that count.

    Boxes under ``least_share`` of the picture and crowds neither count nor harm.
    """
    judged: list[Judged] = []
    counts: dict[str, int] = {}
    for case in cases:
        least_px = least_share * case.size_px[0] * case.size_px[1]
        for label, box in case.objects:
            counts[label] = counts.get(label, 0) + (_area(box) >= least_px)
        taken: set[int] = set()
        for one in sorted(found[case.name], key=lambda one: -one.score):
            fitting = [
                (_area(box) >= least_px, overlap, at)
                for at, (label, box) in enumerate(case.objects)
                if label == one.label and at not in taken and (overlap := _overlap(one.box, box)) >= _OVERLAP
            ]
            if fitting:
                counts_too, _, at = max(fitting)
                taken.add(at)
                if counts_too:
                    judged.append(Judged(case.name, one.label, one.score, is_right=True))
            elif _area(one.box) >= least_px and not _is_in_crowd(one, case):
                judged.append(Judged(case.name, one.label, one.score, is_right=False))
    return judged, {label: count for label, count in counts.items() if count}


def mean_average_precision(judged: Sequence[Judged], counts: Mapping[str, int]) -> float:
    """Return the mean over classes of the area under the curve of precision over recall, 0-1."""
    areas = []
    for label, count in counts.items():
        right = np.array([one.is_right for one in _surest_first(judged) if one.label == label], bool)
        if not len(right):
            areas.append(0.0)
            continue
        recall = right.cumsum() / count
        precision = np.maximum.accumulate((right.cumsum() / np.arange(1, len(right) + 1))[::-1])[::-1]
        at = np.searchsorted(recall, _RECALLS)
        areas.append(float(np.where(at < len(recall), precision[np.minimum(at, len(recall) - 1)], 0).mean()))
    return float(np.mean(areas))


def average_precision(model: str, pictures: Path, models: Path | None) -> tuple[float, int]:
    """Return AP50 of the boxes over 2 % of the picture, and how many such boxes are labelled.

    Args:
        model: Name of a detector.
        pictures: Folder with ``MANIFEST.jsonl``.
        models: Folder of models.
    """
    cases = labelled_pictures(pictures)
    judged, counts = judge(cases, detect_all(model, pictures, cases, _places(models))[0], LARGE)
    return mean_average_precision(judged, counts), sum(counts.values())


def detect_all(
    model: str, pictures: Path, cases: Sequence[Labelled], places: ModelPlaces
) -> tuple[dict[str, list[DetectedObject]], float]:
    """Return all that a detector finds in each picture, however unsure, and the processor time of one picture in s."""
    detector = load_model(model, places)
    found, spent_s = {}, 0.0
    for case in cases:
        picture = _open(pictures / case.name)
        started = time.process_time()
        (found[case.name],) = detector.detect([picture], 0.0)
        spent_s += time.process_time() - started
    return found, spent_s / max(1, len(cases))


def fit_calibration(raw: Sequence[float], is_right: NDArray[np.bool_]) -> Calibration:
    """Fit a logistic curve to log odds of scores of a network (Newton's method, weak ridge)."""
    inside = np.clip(np.array(raw), 1e-6, 1 - 1e-6)
    inputs = np.stack([np.log(inside / (1 - inside)), np.ones(len(inside))], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(50):
        shares = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (is_right - shares) - 1e-3 * weights
        curve = (inputs * (shares * (1 - shares))[:, None]).T @ inputs + 1e-3 * np.eye(2)
        weights = weights + np.linalg.solve(curve, slope)
    return Calibration(float(weights[0]), float(weights[1]))


def _entries(pictures: Path) -> Iterator[dict[str, Any]]:
    for line in (pictures / "MANIFEST.jsonl").read_text("utf-8").splitlines():
        if line.strip():
            yield json.loads(line)


def _open(path: Path) -> NDArray[np.uint8]:
    return np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))


def _places(models: Path | None) -> ModelPlaces:
    own = places_of(Settings())
    return ModelPlaces(models.resolve() if models is not None else own.folder, own.cache, own.may_fetch)


def _area(box: BoxPx) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _overlap(one: BoxPx, other: BoxPx) -> float:
    return float(overlaps(np.array([one], np.float64), np.array([other], np.float64))[0, 0])


def _is_in_crowd(one: DetectedObject, case: Labelled) -> bool:
    x_min, y_min, x_max, y_max = one.box
    return any(
        label == one.label and x_min < box[2] and box[0] < x_max and y_min < box[3] and box[1] < y_max
        for label, box in case.crowds
    )


def _surest_first(judged: Sequence[Judged]) -> list[Judged]:
    return sorted(judged, key=lambda one: -one.score)


def _print_detector(name: str, pictures: Path, places: ModelPlaces) -> list[Judged]:
    cases = labelled_pictures(pictures)
    found, spent_s = detect_all(name, pictures, cases, places)
    every, every_count = judge(cases, found, 0)
    judged, counts = judge(cases, found, LARGE)
    click.echo(
        f"{model_named(name).version}: {len(cases)} pictures, {1000 * spent_s:.0f} ms CPU each; AP50 "
        f"{mean_average_precision(every, every_count):.3f}, over {LARGE:.0%} of the picture "
        f"{mean_average_precision(judged, counts):.3f} ({sum(counts.values())} boxes, {len(counts)} classes)"
    )
    shown = model_named(name).threshold
    for threshold in sorted({*_THRESHOLDS, shown or 0}):
        kept = [one for one in judged if one.score >= threshold]
        right, count = sum(one.is_right for one in kept), sum(counts.values())
        precision, recall = right / max(1, len(kept)), right / max(1, count)
        both = 2 * precision * recall / max(1e-9, precision + recall)
        expected = sum(one.score for one in kept) / max(1, len(kept))
        click.echo(
            f"  from {threshold:.2f}{' (shown)' if threshold == shown else '':8s} precision {precision:.3f} "
            f"(scores promise {expected:.3f})  recall {recall:.3f}  F1 {both:.3f}  {len(kept)} boxes"
        )
    return judged


def _fit(judged: Sequence[Judged], now: Calibration) -> None:
    """Print the calibration that these boxes ask for, for all pictures and with each fold left out."""
    raw = [now.score_of(min(max(one.score, 1e-6), 1 - 1e-6)) for one in judged]
    right = np.array([one.is_right for one in judged])
    folds = np.array([zlib.crc32(one.name.encode()) % _FOLDS for one in judged])
    click.echo(f"  calibration now {now}, fitted {fit_calibration(raw, right)}")
    loss = 0.0
    for fold in range(_FOLDS):
        apart = folds == fold
        fitted = fit_calibration([one for one, left in zip(raw, apart, strict=True) if not left], right[~apart])
        shares = fitted.probabilities(np.array(raw)[apart])
        loss -= float(np.log(np.where(right[apart], shares, 1 - shares)).sum())
        click.echo(f"    without fold {fold}: {fitted}")
    click.echo(f"  log loss of a box in a fold that was left out: {loss / len(judged):.4f}")


def _print_labels(pictures: Path, places: ModelPlaces) -> None:
    model = load_model("efficientnet-lite0", places)
    captioner = load_model("label-caption", places)
    entries = [entry for entry in _entries(pictures) if "wnid" in entry["labels"]]

    def plain(label: str) -> str:
        return "".join(filter(str.isalnum, label.lower()))

    top, captions = [0, 0], []
    for entry in entries:
        (labels,) = model.classify([_open(pictures / entry["path"])], 5)
        hits = [plain(one.label) == plain(entry["labels"]["label"]) for one in labels]
        top = [top[0] + hits[0], top[1] + any(hits)]
        if captioner.caption_labels(labels) is not None:
            captions.append(hits[0])
    click.echo(
        f"efficientnet-lite0: {len(entries)} pictures, top 1 {top[0] / len(entries):.3f}, top 5 "
        f"{top[1] / len(entries):.3f}; with a caption {len(captions) / len(entries):.3f}, which begins with the right "
        f"label {sum(captions) / max(1, len(captions)):.3f}"
    )


def _print_retrieval(pictures: Path, places: ModelPlaces) -> None:
    """Of pictures with copies: how often another copy is nearest. Of photos: how often the nearest shares a class."""
    model = load_model("efficientnet-lite0", places)
    entries = list(_entries(pictures))

    def nearest(chosen: Sequence[Mapping[str, Any]], fits: Callable[[Any, Any], bool]) -> str:
        vectors = np.concatenate([model.embed([_open(pictures / entry["path"])]) for entry in chosen])
        alike = vectors @ vectors.T
        np.fill_diagonal(alike, -1)
        asked = [at for at, one in enumerate(chosen) if any(fits(one, other) for other in chosen if other is not one)]
        hits = sum(fits(chosen[at], chosen[int(alike[at].argmax())]) for at in asked)
        pairs = list(itertools.permutations(range(len(chosen)), 2))
        chance = sum(fits(chosen[one], chosen[other]) for one, other in pairs) / max(1, len(pairs))
        return f"{hits} of {len(asked)} (chance {chance:.2f})"

    def things(entry: Mapping[str, Any]) -> set[str]:
        return {label for label, *_ in entry["labels"]["objects"]} - {"person"}

    copies = [entry for entry in entries if entry["task"] == "neardup"]
    photos = [entry for entry in entries if entry["task"] == "objects"]
    same_group = nearest(copies, lambda one, other: one["labels"]["group"] == other["labels"]["group"])
    click.echo(f"nearest is another copy: {same_group}")
    click.echo(f"nearest shares a thing: {nearest(photos, lambda one, other: bool(things(one) & things(other)))}")


@click.command()
@click.option(
    "--pictures", type=click.Path(path_type=Path), help="Folder with MANIFEST.jsonl.  [default: shared/vision]"
)
@click.option("--models", type=click.Path(path_type=Path), help="Folder of models.  [default: shared/models]")
@click.option("--model", "names", multiple=True, default=("yolox-nano", "nanodet-g"), show_default=True)
@click.option("--fit", is_flag=True, help="Fit the calibration anew.")
@click.option("--labels/--no-labels", default=True, help="Score labels and vectors too.", show_default=True)
def main(pictures: Path | None, models: Path | None, names: tuple[str, ...], fit: bool, labels: bool) -> None:
    """Score detectors of the registry, labels and vectors."""
    pictures, places = pictures or SHARED / "vision", _places(models or SHARED / "models")
    for name in names:
        judged = _print_detector(name, pictures, places)
        if fit:
            _fit(judged, load_model(name, places).calibration)
    if labels:
        _print_labels(pictures, places)
        _print_retrieval(pictures, places)


if __name__ == "__main__":
    main()
