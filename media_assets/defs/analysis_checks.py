"""Asset checks of op ``analyze``: verdicts on single files, summed over a run or over the whole library.

As in ``checks.py``: each names the partitions that did not pass.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
import numpy as np

from media_assets.defs.checks import CheckFacts, Verdicts
from media_assets.models.findings import PictureFindings
from media_assets.models.records import BoxPx
from media_assets.models.vision_recipe import EMBEDDINGS, FACES, OBJECTS, SAFETY, TEXTS, VisionRecipe
from media_assets.pipeline.analysis_outcomes import AnalysisOutcome
from media_assets.pipeline.library import Library
from media_assets.storage import catalog

_LENGTH_TOLERANCE = 1e-3
# Boxes and lines may reach a little over the edge, as the thing does; one that lies outside is an error of scale.
_OVERHANG = 0.1

_INSIDE_OF = {OBJECTS: "objects_inside", FACES: "faces_inside", TEXTS: "texts_inside"}

ANALYZE_CHECKS = (
    *(
        dg.AssetCheckSpec(
            name,
            asset=asset,
            description="Every box has an area and lies inside the picture, but for a tenth of its size at most.",
        )
        for asset, name in _INSIDE_OF.items()
    ),
    dg.AssetCheckSpec(
        "vectors_have_length_one", asset=EMBEDDINGS, description="Every vector is finite and of length 1."
    ),
    dg.AssetCheckSpec(
        "nothing_to_review",
        asset=SAFETY,
        description="No picture is flagged as sensitive or for review. A warning lists those that are.",
    ),
)

_ASSET_OF = {spec.name: spec.asset_key.to_user_string() for spec in ANALYZE_CHECKS}


class AnalysisCheckFacts(CheckFacts):
    """Sum of the verdicts on the files of a run or of the library."""

    def __init__(self) -> None:
        super().__init__(asset_of=_ASSET_OF)

    def add_analysis(self, outcomes: Iterable[AnalysisOutcome], vision: VisionRecipe) -> None:
        """Count the verdicts on a chunk."""
        for outcome in outcomes:
            self.add(outcome.media_id, analysis_verdicts(outcome, vision))


def analysis_verdicts(outcome: AnalysisOutcome, vision: VisionRecipe) -> Verdicts:
    """Judge one file by the checks of those assets that were made."""
    found: dict[str, tuple[str, ...]] = {}
    for asset, made in outcome.made.items():
        pairs = list(zip(made.findings, made.sizes, strict=True))
        if asset in _INSIDE_OF:
            boxes = [(box, size) for one, size in pairs for box in _boxes(asset, one)]
            found[_INSIDE_OF[asset]] = tuple(doubt for box, size in boxes if (doubt := _doubt_about(box, size)))
        elif asset == EMBEDDINGS:
            vectors = [one.vector for one, _ in pairs if one.vector is not None]
            found["vectors_have_length_one"] = tuple(doubt for one in vectors if (doubt := _doubt_about_length(one)))
        elif asset == SAFETY:
            scores = [(one.category, one.score) for findings, _ in pairs for one in findings.safety]
            found["nothing_to_review"] = _reviews(scores, vision.safety_review)
    return found


def facts_of_tables(library: Library, names: Iterable[str]) -> AnalysisCheckFacts:
    """Judge everything that the catalog names.

    Raises:
        StorageError: The catalog cannot be read.
    """
    facts, wanted = AnalysisCheckFacts(), set(names)
    sizes: dict[str, tuple[int, int]] = {}
    if wanted & set(_INSIDE_OF.values()):
        for row in _rows(library, "files", ["media_id", "width_px", "height_px"]):
            sizes[row["media_id"]] = (row["width_px"], row["height_px"])
    for name in sorted(wanted):
        doubts: dict[str, list[str]] = {}
        for row in _rows(library, _ASSET_OF[name], _COLUMNS_OF[name]):
            doubt = _doubt_about_row(name, row, sizes)
            doubts.setdefault(row["media_id"], []).extend([doubt] if doubt else [])
        for media_id, reasons in doubts.items():
            facts.add(media_id, {name: tuple(reasons)})
    return facts


_BOX_COLUMNS = ("x_min_px", "y_min_px", "x_max_px", "y_max_px")
_COLUMNS_OF: Mapping[str, Sequence[str]] = {
    **{name: ["media_id", *_BOX_COLUMNS] for name in _INSIDE_OF.values()},
    "vectors_have_length_one": ["media_id", "vector"],
    "nothing_to_review": ["media_id", "category", "score", "level"],
}


def _rows(library: Library, table: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    for batch in catalog.read_current(library.store, table, columns).to_batches():
        yield from batch.to_pylist()


def _doubt_about_row(name: str, row: Mapping[str, Any], sizes: Mapping[str, tuple[int, int]]) -> str | None:
    if name == "vectors_have_length_one":
        return _doubt_about_length(row["vector"])
    if name == "nothing_to_review":
        return f"{row['category']} {row['score']:.2f}: {row['level']}" if row["level"] is not None else None
    size = sizes.get(row["media_id"])
    x_min, y_min, x_max, y_max = (row[column] for column in _BOX_COLUMNS)
    return "It belongs to no accepted file." if size is None else _doubt_about((x_min, y_min, x_max, y_max), size)


def _boxes(asset: str, found: PictureFindings) -> list[BoxPx]:
    if asset == OBJECTS:
        return [one.box for one in found.objects]
    if asset == FACES:
        return [one.face.box for one in found.faces]
    return [one.box for one in found.texts]


def _doubt_about(box: BoxPx, size: tuple[int, int]) -> str | None:
    x_min, y_min, x_max, y_max = box
    width, height = x_max - x_min, y_max - y_min
    if not all(map(np.isfinite, box)) or width <= 0 or height <= 0:
        return "A box has no area."
    over = (-x_min / width, -y_min / height, (x_max - size[0]) / width, (y_max - size[1]) / height)
    return "A box lies outside of the picture." if max(over) > _OVERHANG else None


def _doubt_about_length(vector: Sequence[float]) -> str | None:
    length = float(np.linalg.norm(np.asarray(vector, np.float64)))
    return None if abs(length - 1) <= _LENGTH_TOLERANCE else f"A vector has length {length:.3f}."


def _reviews(scores: Iterable[tuple[str, float]], least: float) -> tuple[str, ...]:
    return tuple(f"{category} {score:.2f}" for category, score in scores if score >= least)
