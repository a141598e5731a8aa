"""Score the analysis of labelled pictures: ``python -m media_assets_tests.bench.score_vision``.

The pictures go through the real command line into a library; what is in its catalog is scored by the tools beside the
pictures. First with the bundled models, then again, redoing exactly what is out of date, with a folder of models.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from media_assets.models.registry import ModelSpec
from media_assets.pipeline.analysis_recipe import chosen
from media_assets.pipeline.assets import ANALYZE_ASSETS, APPEARANCE, ORIGINAL, THUMBNAILS
from media_assets.settings import Settings
from media_assets_tests.bench.machine import SHARED, describe_machine
from media_assets_tests.bench.score_objects import average_precision

_PACKAGES = ("onnxruntime", "opencv-python-headless", "dlib-bin", "rapidocr")
_FACE_SCORE = "0.5"
_SAFETY = {"review": ("0.5", 0.01), "sensitive": ("0.8", 0.003)}


@dataclass(frozen=True)
class Goals:
    """What a tier has to reach."""

    face_recall: float
    large_face_recall: float
    objects_ap50: float


_TIERS = {"bundled": Goals(0.80, 0.92, 0.58), "folder": Goals(0.86, 0.92, 0.61)}


@dataclass
class Scores:
    """Goals as they are met or missed, tier by tier."""

    missed: list[str] = field(default_factory=list)

    def need(self, value: float | None, least: float, what: str) -> None:
        """Print a figure beside its goal."""
        met = value is not None and value >= least
        shown = "none" if value is None else f"{value:.4f}"
        click.echo(f"  {'ok    ' if met else 'MISSED'}  {what}: {shown} (goal at least {least})")
        if not met:
            self.missed.append(what)

    def need_at_most(self, value: float | None, most: float, what: str) -> None:
        """Print a figure that has to be small beside its goal."""
        met = value is not None and value <= most
        shown = "none" if value is None else f"{value:.4f}"
        click.echo(f"  {'ok    ' if met else 'MISSED'}  {what}: {shown} (goal at most {most})")
        if not met:
            self.missed.append(what)


def _environment(models: Path | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEDIA_ASSETS_", "AWS_"))}
    cache = os.environ.get("MEDIA_ASSETS_MODEL_CACHE")
    return kept | {
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        # The people in the pictures are in published test sets; in an installation, owners consent one by one.
        "MEDIA_ASSETS_RECOGNITION_OWNERS": "*",
        **({"MEDIA_ASSETS_MODELS": str(models)} if models is not None else {}),
        **({"MEDIA_ASSETS_MODEL_CACHE": cache} if cache else {}),
    }


def _media_assets(environment: Mapping[str, str], *arguments: str) -> dict[str, Any]:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "media_assets.cli", *arguments, "--json"],
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    click.echo(f"media-assets {arguments[0]}: {time.monotonic() - started:.0f} s, exit status {done.returncode}")
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise click.ClickException(f"`media-assets {' '.join(arguments)}` gave no report; see above.") from None
    for failure in report.get("failures", ()):
        click.echo(f"  failed: {failure}")
    return report


def _tool(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(SHARED / "tools" / name), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise click.ClickException(f"{name} failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def _chosen(models: Path | None, task: Any) -> ModelSpec:
    spec = chosen(Settings(models=models), task)
    assert spec is not None
    return spec


def _scored(manifest: Path, predictions: Path, *options: str) -> dict[str, Any]:
    scores: dict[str, Any] = json.loads(_tool("score-vision", str(manifest), str(predictions), *options, "--json"))
    return scores


def pairwise(truth: Mapping[str, str], found: Mapping[str, str]) -> tuple[float | None, float | None]:
    """Precision and recall of "the same person" over all pairs of pictures with a known person.

    Args:
        truth: Person of each picture.
        found: Cluster of each picture; a picture without one is a person of its own.
    """
    same = both = joined = 0
    for one, other in itertools.combinations(sorted(truth), 2):
        is_same = truth[one] == truth[other]
        is_joined = one in found and found[one] == found.get(other)
        same, joined, both = same + is_same, joined + is_joined, both + (is_same and is_joined)
    return (both / joined if joined else None), (both / same if same else None)


def large_face_recall(
    files: Sequence[Mapping[str, Any]], predictions: Mapping[str, Mapping[str, Any]], least_px: float
) -> tuple[int, float | None]:
    """Number of labelled faces of ``least_px`` in the preview, and the share of them that was found (IoU 0.5)."""
    total = hit = 0
    for file in files:
        if file["task"] != "face_det" or not file["labels"].get("faces"):
            continue
        shrink = min(1.0, 1600 / max(file["width"], file["height"]))
        boxes = [face[:4] for face in predictions.get(file["sha256"], {}).get("faces", ())]
        for truth in file["labels"]["faces"]:
            if min(truth[2] - truth[0], truth[3] - truth[1]) * shrink >= least_px:
                total += 1
                hit += any(_iou(truth, box) >= 0.5 for box in boxes)
    return total, hit / total if total else None


def _iou(one: Sequence[float], other: Sequence[float]) -> float:
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (sum(areas) - shared or 1)


def _identities(scores: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, found in scores.items():
        if name.startswith("identity:"):
            yield name, found


_MAIN_PERSON = """
select f.sha256, arg_max(p.person_id, (p.x_max_px - p.x_min_px) * (p.y_max_px - p.y_min_px)) as person
from people p join files f using (media_id) group by f.sha256"""


def _people(library: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Person of the largest face of each picture: the labels name the person that a picture is of."""
    done = subprocess.run(
        [sys.executable, "-m", "media_assets.cli", "query", _MAIN_PERSON, "--library", str(library), "--json"],
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {row["sha256"]: row["person"] for row in json.loads(done.stdout)}


def _score_tier(tier: str, pictures: Path, work: Path, models: Path | None, scores: Scores) -> None:
    environment = _environment(models)
    goals, manifest = _TIERS[tier], pictures / "MANIFEST.jsonl"
    files = [json.loads(line) for line in manifest.read_text("utf-8").splitlines() if line.strip()]
    lines = work / f"{tier}.jsonl"
    click.echo(_tool("library-to-predictions", str(work / "library"), str(lines)).strip())
    predictions = {one["sha256"]: one for one in map(json.loads, lines.read_text("utf-8").splitlines())}
    identity = _chosen(models, "face_identity")
    options = ("--face-score", _FACE_SCORE, "--object-score", "0", "--id-threshold", str(identity.same_below))
    found = _scored(manifest, lines, *options, "--metric", identity.metric or "cosine")
    click.echo(f"=== {tier}: {len(files)} pictures, {datetime.now(UTC):%Y-%m-%d}, {describe_machine(_PACKAGES)}")
    for name, figures in found.items():
        click.echo(f"  {name}: {figures}")
    click.echo(f"=== {tier}: goals")
    faces, objects = found.get("faces", {}), found.get("objects", {})
    detector = _chosen(models, "faces")
    scores.need(faces.get("precision_on_exhaustive"), 0.95, f"{tier}: precision of faces ({detector.version})")
    scores.need(faces.get("recall"), goals.face_recall, f"{tier}: recall of faces from 20 px, of {faces.get('gt')}")
    count, recall = large_face_recall(files, predictions, 40)
    scores.need(recall, goals.large_face_recall, f"{tier}: recall of faces from 40 px in the preview, of {count}")
    for name, figures in _identities(found):
        pairs = figures["pairs_same"] + figures["pairs_different"]
        scores.need(figures["balanced_accuracy"], 0.98, f"{tier}: {name}, balanced accuracy, {pairs} pairs")
    _score_clusters(tier, files, _people(work / "library", environment), scores)
    shown = _chosen(models, "objects")
    ap50, boxes = average_precision(shown.name, pictures, models)
    scores.need(ap50, goals.objects_ap50, f"{tier}: AP50 of {boxes} objects over 2 % ({shown.version})")
    scores.need(objects.get("precision"), 0.90, f"{tier}: precision of the objects that are shown")
    click.echo(
        f"          (recall of the objects that are shown: {objects.get('recall')}, threshold {shown.threshold})"
    )
    classes, ocr = found.get("classes", {}), found.get("ocr", {})
    scores.need(classes.get("top1"), 0.80, f"{tier}: labels, top 1, {classes.get('images')} pictures")
    scores.need(classes.get("top5"), 0.94, f"{tier}: labels, top 5")
    scores.need(ocr.get("word_recall"), 0.92, f"{tier}: recall of {ocr.get('words')} words")
    for level, (score, most) in _SAFETY.items():
        rated = _scored(manifest, lines, "--sensitive-score", score).get("sensitive", {})
        safe = rated.get("safe_images")
        scores.need_at_most(rated.get("rate"), most, f"{tier}: of {safe} safe pictures, {level} (from {score})")


def _score_clusters(tier: str, files: Sequence[Mapping[str, Any]], people: Mapping[str, str], scores: Scores) -> None:
    truth = {file["sha256"]: file["labels"]["identity"] for file in files if "identity" in file["labels"]}
    sets: dict[str, dict[str, str]] = defaultdict(dict)
    for key, person in truth.items():
        sets[person.split("/")[0]][key] = person
    precision, recall = pairwise(truth, people)
    count = len(truth)
    scores.need(precision, 0.99, f"{tier}: people, pairwise precision, {count} pictures of {len(set(truth.values()))}")
    scores.need(recall, 0.97, f"{tier}: people, pairwise recall")
    for name, members in sets.items():
        click.echo(f"          ({name}: precision and recall {pairwise(members, people)}, {len(members)} pictures)")


@click.command()
@click.option(
    "--pictures", type=click.Path(path_type=Path), help="Folder with MANIFEST.jsonl.  [default: shared/vision]"
)
@click.option("--models", type=click.Path(path_type=Path), help="Folder of models.  [default: shared/models]")
@click.option("--keep", type=click.Path(path_type=Path), help="Leave the library in this new folder.")
@click.option("--tier", type=click.Choice(["bundled", "folder", "both"]), default="both", show_default=True)
def main(pictures: Path | None, models: Path | None, keep: Path | None, tier: str) -> None:
    """Analyse the pictures, print every figure beside its goal; exit status 1 below a goal."""
    pictures, models = pictures or SHARED / "vision", models or SHARED / "models"
    if not (pictures / "MANIFEST.jsonl").is_file():
        raise click.ClickException(
            f"There are no labelled pictures at {pictures}. Set MEDIA_ASSETS_SHARED to the folder that holds vision/ "
            "and tools/, or name a folder: --pictures DIR"
        )
    scores = Scores()
    with tempfile.TemporaryDirectory(prefix="score-") as temporary:
        work = Path(temporary).resolve()
        if keep is not None:
            keep.mkdir(parents=True)
            work = keep.resolve()
        library = ("--library", str(work / "library"))
        first = models if tier == "folder" else None
        # Web versions would only take time.
        assets = ",".join((ORIGINAL, THUMBNAILS, APPEARANCE, *ANALYZE_ASSETS))
        _media_assets(_environment(first), "process", str(pictures), "--assets", assets, *library)
        if tier != "folder":
            _score_tier("bundled", pictures, work, None, scores)
        if tier == "both":
            again = (argument for asset in ANALYZE_ASSETS for argument in ("--asset", asset))
            done = _media_assets(_environment(models), "reprocess", *again, "--stale", *library)
            click.echo(f"  redone because another model is there: {done['files']}")
        if tier != "bundled":
            _score_tier("folder", pictures, work, models, scores)
    if scores.missed:
        raise click.ClickException(f"{len(scores.missed)} goals are missed; they are listed above.")


if __name__ == "__main__":
    main()
