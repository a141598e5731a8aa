"""Findings as Dagster events: one materialization per file and asset that was really computed.

Each shows what was found, drawn on the preview, and a table of it. Names of people, texts and places do not go into the
event log (DESIGN.md section 10): the texts that were read are drawn as boxes and counted, they are in the table
``texts``.
"""

from collections.abc import Callable, Iterator, Mapping

import dagster as dg

from media_assets.defs.tags import CODE_VERSION_TAG, DATA_VERSION_TAG, input_tags
from media_assets.defs.ui_previews import UiPreviews
from media_assets.models.findings import PictureFindings
from media_assets.models.vision_recipe import EMBEDDINGS, FACES, OBJECTS, SAFETY, SCENES, TEXTS
from media_assets.pipeline.analysis_outcomes import AnalysisChunk, AnalysisOutcome, FoundInFile
from media_assets.pipeline.analysis_rows import finding_count
from media_assets.pipeline.assets import THUMBNAILS, code_version, data_version
from media_assets.pipeline.recipe import Recipe

_SHOWN = 20


def analysis_materializations(
    chunk: AnalysisChunk, recipe: Recipe, newest_thumbnails: Callable[[], int | None], previews: UiPreviews
) -> Iterator[list[dg.AssetMaterialization]]:
    """Yield the events of a chunk, those of each asset together.

    Args:
        chunk: What was done.
        recipe: How the results were made.
        newest_thumbnails: Returns the number of the newest event of asset ``thumbnails``; asked once.
        previews: What the UI may show.
    """
    assets = sorted({asset for outcome in chunk.outcomes for asset in outcome.made})
    if not assets:
        return
    pointer = newest_thumbnails()
    for asset in assets:
        yield [
            _event(outcome, asset, outcome.made[asset], recipe, pointer, previews)
            for outcome in chunk.outcomes
            if asset in outcome.made
        ]


def _event(
    outcome: AnalysisOutcome, asset: str, made: FoundInFile, recipe: Recipe, pointer: int | None, previews: UiPreviews
) -> dg.AssetMaterialization:
    preview = outcome.item.preview
    return dg.AssetMaterialization(
        asset_key=asset,
        partition=outcome.media_id,
        metadata=_metadata(outcome, asset, made, recipe, previews),
        tags={
            CODE_VERSION_TAG: code_version(asset, recipe),
            DATA_VERSION_TAG: data_version(asset, preview.input_version, recipe),
            **input_tags(THUMBNAILS, preview.data_version, pointer),
        },
    )


def _metadata(
    outcome: AnalysisOutcome, asset: str, made: FoundInFile, recipe: Recipe, previews: UiPreviews
) -> Mapping[str, dg.MetadataValue]:
    found: dict[str, dg.MetadataValue] = previews.drawn(made.drawn, asset)
    found["found"] = dg.MetadataValue.int(finding_count(outcome, asset))
    if len(made.findings) > 1:
        found["frames"] = dg.MetadataValue.int(len(made.findings))
    versions = ", ".join(recipe.vision.versions(asset))
    found["model"] = dg.MetadataValue.text(versions)
    lines = [
        line
        for one, frame_s in zip(made.findings, made.frames, strict=True)
        for line in _LINES_OF[asset](one, "" if frame_s is None else f"{frame_s:.1f} s")
    ]
    if lines:
        head, *body = _HEADS[asset], *lines[:_SHOWN]
        found["table"] = dg.MetadataValue.md("\n".join([_row(head), _row(["---"] * len(head)), *map(_row, body)]))
    if asset == FACES:
        found["recognition"] = dg.MetadataValue.text("allowed" if outcome.recognizes else "no consent: not encoded")
    if asset == SCENES and previews.names:
        captions = [one.scene.caption for one in made.findings if one.scene is not None and one.scene.caption]
        if captions:
            found["caption"] = dg.MetadataValue.text(f"{captions[0].text} (by {captions[0].source})")
    return found


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _objects(found: PictureFindings, frame: str) -> Iterator[list[str]]:
    for one in found.objects:
        yield [frame, one.label, f"{one.score:.2f}", _size(one.box)]


def _faces(found: PictureFindings, frame: str) -> Iterator[list[str]]:
    for one in found.faces:
        quality = f"{one.face.quality.score:.2f}" if one.face.quality is not None else ""
        yield [frame, f"{one.face.score:.2f}", _size(one.face.box), quality, "yes" if one.vector else "no"]


def _scenes(found: PictureFindings, frame: str) -> Iterator[list[str]]:
    for one in found.scene.labels if found.scene is not None else ():
        yield [frame, one.label, f"{one.score:.2f}"]


def _texts(found: PictureFindings, frame: str) -> Iterator[list[str]]:
    for one in found.texts:
        yield [frame, str(len(one.text)), f"{one.score:.2f}", _size(one.box)]


def _safety(found: PictureFindings, frame: str) -> Iterator[list[str]]:
    for one in found.safety:
        yield [frame, one.category, f"{one.score:.3f}"]


def _embeddings(found: PictureFindings, frame: str) -> Iterator[list[str]]:
    if found.vector is not None:
        yield [frame, str(len(found.vector))]


def _size(box: tuple[float, float, float, float]) -> str:
    """Width and height in pixels of the preview."""
    return f"{box[2] - box[0]:.0f} x {box[3] - box[1]:.0f}"


_HEADS: dict[str, list[str]] = {
    OBJECTS: ["frame", "label", "score", "size (px of the preview)"],
    FACES: ["frame", "score", "size (px of the preview)", "quality", "encoded"],
    SCENES: ["frame", "label", "score"],
    TEXTS: ["frame", "characters", "score", "size (px of the preview)"],
    SAFETY: ["frame", "category", "score"],
    EMBEDDINGS: ["frame", "dimensions"],
}
_LINES_OF: dict[str, Callable[[PictureFindings, str], Iterator[list[str]]]] = {
    OBJECTS: _objects,
    FACES: _faces,
    SCENES: _scenes,
    TEXTS: _texts,
    SAFETY: _safety,
    EMBEDDINGS: _embeddings,
}
