"""Findings as rows of the tables of op ``analyze`` (DESIGN.md section 8), and as results for the ledger.

Pure conversions. Boxes are scaled from the preview or frame to the upright original.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from media_assets.models.findings import PictureFindings
from media_assets.models.records import BoxPx, PointPx
from media_assets.models.registry import model_named
from media_assets.models.vision_recipe import EMBEDDINGS, FACES, OBJECTS, SAFETY, SCENES, TASKS_OF, TEXTS, VisionRecipe
from media_assets.pipeline.analysis_outcomes import AnalysisOutcome
from media_assets.pipeline.assets import code_version, ledger_version
from media_assets.pipeline.selection import RunIdentity
from media_assets.pipeline.skips import NO_CONSENT
from media_assets.storage.ledger_schema import Outcome, OutcomeState

Row = dict[str, Any]
_Scale = tuple[float, float]


def rows_of_analysis(
    outcomes: Iterable[AnalysisOutcome], run: RunIdentity, at: datetime
) -> dict[tuple[str, str], list[Row]]:
    """Return the rows of a chunk by ``(table, month)``; a table has the name of its asset."""
    rows: dict[tuple[str, str], list[Row]] = {}
    for outcome in outcomes:
        for asset in outcome.made:
            made = _asset_rows(outcome, asset, run, at)
            if made:
                rows.setdefault((asset, outcome.item.entry.month), []).extend(made)
    return rows


def without_findings(outcomes: Iterable[AnalysisOutcome]) -> dict[tuple[str, str], list[str]]:
    """Return, by ``(table, month)``, the files in which nothing was found now and something may have been before."""
    found: dict[tuple[str, str], list[str]] = {}
    for outcome in outcomes:
        for asset, made in outcome.made.items():
            if asset in outcome.item.computed_before and not any(_count(asset, one) for one in made.findings):
                found.setdefault((asset, outcome.item.entry.month), []).append(outcome.media_id)
    return found


def finding_count(outcome: AnalysisOutcome, asset: str) -> int:
    """Return how many things an asset found in a file, over all frames."""
    return sum(_count(asset, one) for one in outcome.made[asset].findings)


def analysis_outcomes(outcomes: Iterable[AnalysisOutcome], run: RunIdentity, at: datetime) -> list[Outcome]:
    """Return the results per asset for the ledger."""
    return [
        Outcome(
            media_id=outcome.media_id,
            asset=asset,
            state=_state(outcome, asset),
            input_version=outcome.item.preview.input_version,
            code_version=NO_CONSENT
            if asset in outcome.denied
            else ledger_version(asset, run.recipe, recognizes=outcome.recognizes),
            run_id=run.run_id,
            root_run_id=run.root_run_id,
            at=at,
        )
        for outcome in outcomes
        for asset in sorted({*outcome.made, *outcome.failed, *outcome.denied})
    ]


def _state(outcome: AnalysisOutcome, asset: str) -> OutcomeState:
    if asset in outcome.made:
        return "materialized"
    return "rejected" if asset in outcome.given_up or asset in outcome.denied else "failed"


def _count(asset: str, found: PictureFindings) -> int:
    if asset == EMBEDDINGS:
        return int(found.vector is not None)
    if asset == SCENES:
        return len(found.scene.labels) if found.scene is not None else 0
    counted: dict[str, Sequence[object]] = {
        OBJECTS: found.objects,
        FACES: found.faces,
        TEXTS: found.texts,
        SAFETY: found.safety,
    }
    return len(counted[asset])


def _asset_rows(outcome: AnalysisOutcome, asset: str, run: RunIdentity, at: datetime) -> list[Row]:
    entry, preview, made = outcome.item.entry, outcome.item.preview, outcome.made[asset]
    vision = run.recipe.vision
    model = vision.model(TASKS_OF[asset][0])
    common = {
        "media_id": entry.media_id,
        "owner": entry.owner,
        "input_version": preview.input_version,
        "code_version": code_version(asset, run.recipe),
        "model": model_named(model).version if model is not None else None,
        "run_id": run.run_id,
        "computed_at": at,
    }
    rows = []
    for found, (width, height), frame_s in zip(made.findings, made.sizes, made.frames, strict=True):
        scale = (preview.width_px / width, preview.height_px / height)
        for row in _ROWS_OF[asset](found, scale, vision):
            rows.append(common | {"frame_s": frame_s} | row)  # noqa: PERF401 - two levels read better so
    return rows


def _embedding_rows(found: PictureFindings, _: _Scale, __: VisionRecipe) -> list[Row]:
    return [] if found.vector is None else [{"dim": len(found.vector), "vector": list(found.vector)}]


def _object_rows(found: PictureFindings, scale: _Scale, _: VisionRecipe) -> list[Row]:
    return [
        {"object_index": at, "label": one.label, "score": one.score, **_box(one.box, scale)}
        for at, one in enumerate(found.objects)
    ]


def _face_rows(found: PictureFindings, scale: _Scale, vision: VisionRecipe) -> list[Row]:
    encoder = vision.model("face_identity")
    spec = model_named(encoder) if encoder is not None else None
    rows = []
    for at, one in enumerate(found.faces):
        face, quality = one.face, one.face.quality
        is_encoded = one.vector is not None and spec is not None
        row: Row = {
            "face_index": at,
            "score": face.score,
            **_box(face.box, scale),
            "landmarks": [_point(point, scale) for point in face.landmarks],
            "embedding": list(one.vector) if one.vector is not None else None,
            "embedding_model": spec.version if spec is not None and is_encoded else None,
            "embedding_metric": spec.metric if spec is not None and is_encoded else None,
        }
        if quality is not None:
            row |= {
                "face_size_px": quality.size_px * (scale[0] + scale[1]) / 2,
                "face_sharpness": quality.sharpness,
                "face_yaw_deg": quality.yaw_deg,
                "face_pitch_deg": quality.pitch_deg,
                "face_roll_deg": quality.roll_deg,
                "face_quality": quality.score,
            }
        rows.append(row)
    return rows


def _scene_rows(found: PictureFindings, _: _Scale, __: VisionRecipe) -> list[Row]:
    if found.scene is None:
        return []
    rows: list[Row] = [
        {"rank": rank, "label": one.label, "score": one.score} for rank, one in enumerate(found.scene.labels, 1)
    ]
    if rows and found.scene.caption is not None:
        rows[0] |= {"caption": found.scene.caption.text, "caption_source": found.scene.caption.source}
    return rows


def _text_rows(found: PictureFindings, scale: _Scale, _: VisionRecipe) -> list[Row]:
    return [
        {
            "text_index": at,
            "text": one.text,
            "score": one.score,
            **_box(one.box, scale),
            "polygon": [_point(point, scale) for point in one.polygon],
        }
        for at, one in enumerate(found.texts)
    ]


def _safety_rows(found: PictureFindings, _: _Scale, vision: VisionRecipe) -> list[Row]:
    rows = []
    for one in found.safety:
        level = "sensitive" if one.score >= vision.safety_sensitive else "review"
        is_flagged = one.score >= min(vision.safety_review, vision.safety_sensitive)
        rows.append(
            {
                "category": one.category,
                "score": one.score,
                "flagged": is_flagged,
                "level": level if is_flagged else None,
            }
        )
    return rows


def _box(box: BoxPx, scale: _Scale) -> Row:
    x_min, y_min, x_max, y_max = box
    return {
        "x_min_px": x_min * scale[0],
        "y_min_px": y_min * scale[1],
        "x_max_px": x_max * scale[0],
        "y_max_px": y_max * scale[1],
    }


def _point(point: PointPx, scale: _Scale) -> list[float]:
    return [point[0] * scale[0], point[1] * scale[1]]


_ROWS_OF: dict[str, Callable[[PictureFindings, _Scale, VisionRecipe], list[Row]]] = {
    EMBEDDINGS: _embedding_rows,
    OBJECTS: _object_rows,
    FACES: _face_rows,
    SCENES: _scene_rows,
    TEXTS: _text_rows,
    SAFETY: _safety_rows,
}
