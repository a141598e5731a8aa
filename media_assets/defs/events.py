"""Outcomes as Dagster events: one materialization per file and asset that really exists.

A ranged run that yields an output would mark every partition of its range as materialized, the failed ones too. So the
op yields none and logs these instead (DESIGN.md section 2).
"""

import base64
from collections.abc import Iterator, Mapping

import dagster as dg

from media_assets.pipeline.assets import METADATA, ORIGINAL, THUMBNAILS, code_version, data_version
from media_assets.pipeline.outcomes import FileOutcome

# Literal values of Dagster's tags for a result's provenance; the constants are not part of its public API.
_CODE_VERSION_TAG = "dagster/code_version"
_DATA_VERSION_TAG = "dagster/data_version"
# Without these two the UI calls a result out of sync ("has a new dependency on original").
_INPUT_VERSION_TAG = f"dagster/input_data_version/{ORIGINAL}"
_INPUT_EVENT_TAG = f"dagster/input_event_pointer/{ORIGINAL}"
# The event of the same run has no number yet; looking each up afterwards would cost a query per file.
_NO_EVENT = "NULL"


def preview_markdown(jpeg: bytes) -> dg.MarkdownMetadataValue:
    """Return a picture that the UI shows in place, without a web server for files."""
    return dg.MetadataValue.md(f"![preview](data:image/jpeg;base64,{base64.b64encode(jpeg).decode()})")


def _original(outcome: FileOutcome) -> Mapping[str, dg.MetadataValue]:
    assert outcome.result is not None  # noqa: S101 - materialized outcomes have one
    facts = outcome.result.facts
    metadata: dict[str, dg.MetadataValue] = {
        "source_key": dg.MetadataValue.text(outcome.entry.source_key),
        "format": dg.MetadataValue.text(facts.format),
        "dimensions": dg.MetadataValue.text(f"{facts.width_px} x {facts.height_px} px"),
        "size_bytes": dg.MetadataValue.int(outcome.entry.size_bytes),
        "sha256": dg.MetadataValue.text(outcome.sha256 or ""),
        "stored_as": dg.MetadataValue.text(outcome.original_key or ""),
    }
    if facts.duration_s is not None:
        metadata["duration_s"] = dg.MetadataValue.float(round(facts.duration_s, 3))
    if outcome.duplicate_of is not None:
        metadata["duplicate_of"] = dg.MetadataValue.text(outcome.duplicate_of)
    if outcome.result.warnings:
        metadata["warnings"] = dg.MetadataValue.md("\n".join(f"- `{line}`" for line in outcome.result.warnings[:20]))
    return metadata


def _metadata(outcome: FileOutcome) -> Mapping[str, dg.MetadataValue]:
    """Camera and time only: positions and names stay in the table, out of the event log (DESIGN.md section 10)."""
    assert outcome.result is not None  # noqa: S101 - materialized outcomes have one
    assert outcome.result.metadata is not None  # noqa: S101 - it was asked for
    found = outcome.result.metadata
    shown = {
        "captured_at_local": found.captured_at_local.isoformat(sep=" ") if found.captured_at_local else None,
        "camera": " ".join(part for part in (found.camera_make, found.camera_model) if part) or None,
        "video_codec": found.video_codec,
    }
    values: dict[str, dg.MetadataValue] = {k: dg.MetadataValue.text(v) for k, v in shown.items() if v is not None}
    values["has_position"] = dg.MetadataValue.bool(found.latitude_deg is not None)
    return values


def _thumbnails(outcome: FileOutcome) -> Mapping[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {}
    for rendition in outcome.renditions:
        if rendition.data is not None:
            metadata["preview"] = preview_markdown(rendition.data)
    for rendition in outcome.renditions:
        # Behind a CDN the UI can show a larger picture, and shows it at once because the text is short.
        if rendition.kind == "thumb_300" and rendition.public_url and rendition.public_url.startswith("http"):
            metadata["preview"] = dg.MetadataValue.md(f"![preview]({rendition.public_url})")
    metadata["renditions"] = dg.MetadataValue.md(
        "\n".join(f"- `{r.key}` {r.width_px} x {r.height_px} px, {r.size_bytes} bytes" for r in outcome.renditions)
    )
    return metadata


_METADATA_OF = {ORIGINAL: _original, METADATA: _metadata, THUMBNAILS: _thumbnails}


def materializations(outcome: FileOutcome) -> Iterator[dg.AssetMaterialization]:
    """Yield the events of one file: none unless it was materialized."""
    if outcome.state != "materialized" or outcome.sha256 is None:
        return
    for asset in sorted(outcome.assets):
        tags = {
            _CODE_VERSION_TAG: code_version(asset),
            _DATA_VERSION_TAG: data_version(asset, outcome.sha256),
        }
        if asset != ORIGINAL:
            tags |= {_INPUT_VERSION_TAG: data_version(ORIGINAL, outcome.sha256), _INPUT_EVENT_TAG: _NO_EVENT}
        yield dg.AssetMaterialization(
            asset_key=asset,
            partition=outcome.entry.media_id,
            metadata=_METADATA_OF[asset](outcome),
            tags=tags,
        )
