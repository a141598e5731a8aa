"""Copies as Dagster events: one materialization per file of which a copy was made or decided about.

Each shows the copy, which anybody may see, and counts. A copy that is held shows nothing: a face may be in it. Names,
places, texts and the key of the copy stay out of the event log.
"""

from collections.abc import Callable, Iterator, Mapping

import dagster as dg

from media_assets.defs.tags import CODE_VERSION_TAG, DATA_VERSION_TAG, input_tags
from media_assets.defs.ui_previews import UiPreviews
from media_assets.pipeline.assets import ORIGINAL, SHAREABLE, code_version, data_version
from media_assets.pipeline.recipe import Recipe
from media_assets.pipeline.sharing_outcomes import SharedOutcome, SharingChunk

_EVENTS_OF = ("published", "held", "withheld")


def shareable_materializations(
    chunk: SharingChunk, recipe: Recipe, newest: Callable[[str], int | None], previews: UiPreviews
) -> Iterator[list[dg.AssetMaterialization]]:
    """Yield the events of a chunk. Files whose owner denies publication have none: table ``skipped`` lists them.

    Args:
        chunk: What was done.
        recipe: How the copies were made.
        newest: Returns the number of the newest event of an asset; asked once.
        previews: What the UI may show.
    """
    made = [outcome for outcome in chunk.outcomes if outcome.state in _EVENTS_OF]
    if made:
        pointer = newest(ORIGINAL)
        yield [_event(outcome, recipe, pointer, previews) for outcome in made]


def _event(
    outcome: SharedOutcome, recipe: Recipe, pointer: int | None, previews: UiPreviews
) -> dg.AssetMaterialization:
    input_version = outcome.item.entry.sha256 or ""
    return dg.AssetMaterialization(
        asset_key=SHAREABLE,
        partition=outcome.media_id,
        metadata=_metadata(outcome, previews),
        tags={
            CODE_VERSION_TAG: code_version(SHAREABLE, recipe),
            DATA_VERSION_TAG: data_version(SHAREABLE, input_version, recipe),
            **input_tags(ORIGINAL, data_version(ORIGINAL, input_version), pointer),
        },
    )


def _metadata(outcome: SharedOutcome, previews: UiPreviews) -> Mapping[str, dg.MetadataValue]:
    found: dict[str, dg.MetadataValue] = {}
    copy = outcome.copy
    if outcome.state == "published" and copy is not None:
        found |= previews.drawn(copy.preview, "copy")
    found["state"] = dg.MetadataValue.text(outcome.state or "failed")
    if outcome.reason is not None:
        found["reason"] = dg.MetadataValue.text(outcome.reason)
    if copy is None:
        return found
    found |= {
        "faces_covered": dg.MetadataValue.int(copy.faces_covered),
        "texts_covered": dg.MetadataValue.int(copy.texts_covered),
        "faces_left": dg.MetadataValue.int(copy.faces_left),
        "tags_left": dg.MetadataValue.int(len(copy.tags_left)),
        "rounds": dg.MetadataValue.int(copy.rounds),
        "verified_with": dg.MetadataValue.text(", ".join(copy.verified_with)),
        "copy": dg.MetadataValue.text(f"{copy.format}, {copy.width_px} x {copy.height_px} px, {copy.size_bytes} bytes"),
    }
    if outcome.phash_distance is not None:
        found["phash_distance"] = dg.MetadataValue.int(outcome.phash_distance)
    return found
