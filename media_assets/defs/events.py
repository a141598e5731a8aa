"""Outcomes as Dagster events: one materialization per file and asset that really exists.

A ranged run that yields an output would mark every partition of its range as materialized, the failed ones too. So the
op yields none and logs these instead (DESIGN.md section 2).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import dagster as dg

from media_assets.defs.checks import Verdicts, verdicts_text
from media_assets.defs.tags import CODE_VERSION_TAG, DATA_VERSION_TAG, input_tags
from media_assets.defs.ui_previews import UiPreviews
from media_assets.pipeline.assets import (
    APPEARANCE,
    METADATA,
    OPTIMIZED,
    ORIGINAL,
    THUMBNAILS,
    code_version,
    data_version,
)
from media_assets.pipeline.batch import Chunk
from media_assets.pipeline.outcomes import FileOutcome, StoredRendition
from media_assets.pipeline.recipe import Recipe


def _original(outcome: FileOutcome, previews: UiPreviews) -> Mapping[str, dg.MetadataValue]:
    assert outcome.result is not None  # noqa: S101 - materialized outcomes have one
    facts = outcome.result.facts
    metadata: dict[str, dg.MetadataValue] = {
        "format": dg.MetadataValue.text(facts.format),
        "dimensions": dg.MetadataValue.text(f"{facts.width_px} x {facts.height_px} px"),
        "size_bytes": dg.MetadataValue.int(outcome.entry.size_bytes),
        "sha256": dg.MetadataValue.text(outcome.sha256 or ""),
    }
    if previews.names:
        metadata["source_key"] = dg.MetadataValue.text(outcome.entry.source_key)
        metadata["stored_as"] = dg.MetadataValue.text(outcome.original_key or "")
    if facts.duration_s is not None:
        metadata["duration_s"] = dg.MetadataValue.float(round(facts.duration_s, 3))
    if outcome.duplicate_of is not None:
        metadata["duplicate_of"] = dg.MetadataValue.text(outcome.duplicate_of)
    if outcome.result.warnings and previews.names:  # they can name a sidecar
        metadata["warnings"] = dg.MetadataValue.md("\n".join(f"- `{line}`" for line in outcome.result.warnings[:20]))
    return metadata


def _camera(make: str | None, model: str | None) -> str | None:
    """Many makers repeat their name in the model ("NIKON CORPORATION", "NIKON D750")."""
    if make and model and not model.lower().startswith(make.split()[0].lower()):
        return f"{make} {model}"
    return model or make


def _metadata(outcome: FileOutcome, _: UiPreviews) -> Mapping[str, dg.MetadataValue]:
    """Camera and time only: positions and names stay in the table, out of the event log (DESIGN.md section 10)."""
    assert outcome.result is not None  # noqa: S101 - materialized outcomes have one
    assert outcome.result.metadata is not None  # noqa: S101 - it was asked for
    found = outcome.result.metadata
    shown = {
        "captured_at_local": found.captured_at_local.isoformat(sep=" ") if found.captured_at_local else None,
        "camera": _camera(found.camera_make, found.camera_model),
        "video_codec": found.video_codec,
    }
    values: dict[str, dg.MetadataValue] = {k: dg.MetadataValue.text(v) for k, v in shown.items() if v is not None}
    values["has_position"] = dg.MetadataValue.bool(found.latitude_deg is not None)
    return values


def _thumbnails(outcome: FileOutcome, previews: UiPreviews) -> Mapping[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {}
    thumbnails = outcome.renditions_of(THUMBNAILS)
    for one in thumbnails:
        if one.data is not None:
            metadata |= previews.picture(one.data, one.made.format)
    for one in thumbnails:
        # Behind a CDN the UI can show a larger picture, and shows it at once because the text is short.
        if one.made.kind == "thumb_300":
            metadata |= previews.link(one.public_url)
    return metadata | _listed(thumbnails)


def _optimized(outcome: FileOutcome, _: UiPreviews) -> Mapping[str, dg.MetadataValue]:
    assert outcome.result is not None  # noqa: S101 - materialized outcomes have one
    made, notes = outcome.renditions_of(OPTIMIZED), outcome.result.optimized_notes
    found: dict[str, dg.MetadataValue] = _listed(made) if made else {"renditions": dg.MetadataValue.text("none")}
    if notes:
        found["notes"] = dg.MetadataValue.md("\n".join(f"- `{note.replace('`', chr(39))}`" for note in notes))
    return found


def _appearance(outcome: FileOutcome, _: UiPreviews) -> Mapping[str, dg.MetadataValue]:
    found = outcome.result.appearance if outcome.result is not None else None
    if found is None:
        return {}
    numbers = {
        "quality_score": found.quality_score,
        "blur_score": found.blur_score,
        "noise_score": found.noise_score,
        "exposure": found.exposure,
        "contrast": found.contrast,
    }
    colors = "\n".join(f"- `{one.rgb_hex}` {one.share:.0%}" for one in found.dominant_colors)
    return {
        **{name: dg.MetadataValue.float(round(value, 3)) for name, value in numbers.items() if value is not None},
        "dominant_colors": dg.MetadataValue.md(colors),
    }


def _listed(renditions: Sequence[StoredRendition]) -> dict[str, dg.MetadataValue]:
    lines = []
    for one in renditions:
        made = one.made
        ssim = f", SSIM {made.ssim:.3f}" if made.ssim is not None else ""
        lines.append(
            f"- {made.kind} ({made.format}): {made.width_px} x {made.height_px} px, {made.size_bytes} bytes{ssim}"
        )
    found: dict[str, dg.MetadataValue] = {"renditions": dg.MetadataValue.md("\n".join(lines))}
    if renditions:
        found["folder"] = dg.MetadataValue.text(renditions[0].key.rsplit("/", 1)[0])
    return found


_METADATA_OF = {
    ORIGINAL: _original,
    METADATA: _metadata,
    THUMBNAILS: _thumbnails,
    OPTIMIZED: _optimized,
    APPEARANCE: _appearance,
}


def newest_materialization(instance: dg.DagsterInstance, asset: str) -> int | None:
    """Return the storage id of the newest materialization of any partition of ``asset``, if there is one."""
    records = instance.fetch_materializations(dg.AssetKey(asset), limit=1).records
    return records[0].storage_id if records else None


def materializations(
    chunk: Chunk,
    judged: Sequence[Verdicts],
    recipe: Recipe,
    newest_original: Callable[[], int | None],
    previews: UiPreviews,
) -> Iterator[list[dg.AssetMaterialization]]:
    """Yield the events of a chunk, those of each asset together: none for files that were not materialized.

    Store each batch before asking for the next. Each event carries the verdicts of the asset's checks on this file, so
    that the page of the partition shows them.

    Args:
        chunk: What was done.
        judged: Verdicts on its outcomes, in their order.
        recipe: How the results were made.
        newest_original: Returns the number of the newest event of asset ``original``. Asked once, after the events of
            the originals were stored: results were made from the newest original of their partition up to there.
        previews: What the UI may show.
    """
    made = [
        (outcome, found)
        for outcome, found in zip(chunk.outcomes, judged, strict=True)
        if outcome.state == "materialized" and outcome.sha256 is not None
    ]
    originals = [
        _event(recipe, outcome, found, ORIGINAL, {}, previews) for outcome, found in made if ORIGINAL in outcome.assets
    ]
    if originals:
        yield originals
    others = sorted({asset for outcome, _ in made for asset in outcome.assets} - {ORIGINAL})
    if not others:
        return
    pointer = newest_original()
    for asset in others:
        yield [
            _event(
                recipe,
                outcome,
                found,
                asset,
                input_tags(ORIGINAL, data_version(ORIGINAL, outcome.sha256 or ""), pointer),
                previews,
            )
            for outcome, found in made
            if asset in outcome.assets
        ]


def _event(
    recipe: Recipe, outcome: FileOutcome, found: Verdicts, asset: str, tags: Mapping[str, str], previews: UiPreviews
) -> dg.AssetMaterialization:
    checks = verdicts_text(found, asset)
    return dg.AssetMaterialization(
        asset_key=asset,
        partition=outcome.entry.media_id,
        metadata={
            **_METADATA_OF[asset](outcome, previews),
            **({"checks": dg.MetadataValue.md(checks)} if checks else {}),
        },
        tags={
            CODE_VERSION_TAG: code_version(asset, recipe),
            DATA_VERSION_TAG: data_version(asset, outcome.sha256 or "", recipe, outcome.sidecars_version),
            **tags,
        },
    )
