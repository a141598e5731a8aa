"""Outcomes as rows of the tables (DESIGN.md section 8), and as results for the ledger.

Pure conversions; the schemas that the rows must meet are in ``storage.schemas``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from media_assets import __version__
from media_assets.media.errors import CIRCUMSTANTIAL
from media_assets.media.places import NOWHERE
from media_assets.media.records import Appearance
from media_assets.pipeline.assets import (
    APPEARANCE,
    METADATA,
    OPTIMIZED,
    ORIGINAL,
    REJECTED_TABLE,
    TABLE_OF,
    THUMBNAILS,
    code_version,
    data_version,
    ledger_version,
)
from media_assets.pipeline.outcomes import FileOutcome, StoredRendition
from media_assets.pipeline.selection import RunIdentity
from media_assets.storage.ledger_schema import Outcome, OutcomeState, Preview

Row = dict[str, Any]


def _common(outcome: FileOutcome, asset: str, run: RunIdentity, at: datetime) -> Row:
    return {
        "media_id": outcome.entry.media_id,
        "owner": outcome.entry.owner,
        "input_version": outcome.sha256,
        "code_version": code_version(asset, run.recipe),
        "model": None,
        "run_id": run.run_id,
        "computed_at": at,
    }


def _files_row(outcome: FileOutcome, run: RunIdentity, at: datetime) -> Row:
    assert outcome.result is not None  # noqa: S101 - materialized outcomes have one
    facts, entry = outcome.result.facts, outcome.entry
    return _common(outcome, ORIGINAL, run, at) | {
        "source_key": entry.source_key,
        "file_name": entry.source_key.rsplit("/", 1)[-1],
        "sha256": outcome.sha256,
        "size_bytes": outcome.size_bytes,
        "media_type": facts.media_type,
        "mime_type": facts.mime_type,
        "format": facts.format,
        "width_px": facts.width_px,
        "height_px": facts.height_px,
        "orientation": facts.orientation,
        "duration_s": facts.duration_s,
        "frame_count": facts.frame_count,
        "duplicate_of": outcome.duplicate_of,
        "original_path": outcome.original_key,
        "received_at": entry.seen_at,
        # The ledger's mark is that of the upload that the inbox shows, which need not be the stored version.
        "etag": entry.etag if outcome.source == "inbox" or entry.state == "accepted" else None,
        "status": "accepted",
    }


def _metadata_row(outcome: FileOutcome, run: RunIdentity, at: datetime, partner: str | None) -> Row:
    assert outcome.result is not None  # noqa: S101 - materialized outcomes have one
    assert outcome.result.metadata is not None  # noqa: S101 - it was asked for
    place = outcome.place or NOWHERE
    return (
        _common(outcome, METADATA, run, at)
        | asdict(outcome.result.metadata)
        | {"place_city": place.city, "place_region": place.region, "place_country_code": place.country_code}
        | {"pair_media_id": partner}
    )


def _rendition_row(outcome: FileOutcome, stored: StoredRendition, run: RunIdentity, at: datetime) -> Row:
    made, crop = stored.made, stored.made.crop
    return _common(outcome, stored.asset, run, at) | {
        "asset": stored.asset,
        "kind": made.kind,
        "path": stored.key,
        "public_url": stored.public_url,
        "format": made.format,
        "width_px": made.width_px,
        "height_px": made.height_px,
        "size_bytes": made.size_bytes,
        "crop_x_px": crop.x_px if crop else None,
        "crop_y_px": crop.y_px if crop else None,
        "crop_width_px": crop.width_px if crop else None,
        "crop_height_px": crop.height_px if crop else None,
        "crop_reason": crop.reason if crop else "none",
        "ssim": made.ssim,
        "quality": made.quality,
        "thumbhash": made.thumbhash,
        "duration_s": made.duration_s,
        "frame_s": made.frame_s,
    }


def _appearance_row(outcome: FileOutcome, found: Appearance, run: RunIdentity, at: datetime) -> Row:
    return _common(outcome, APPEARANCE, run, at) | asdict(found)


def _rejected_row(outcome: FileOutcome, run: RunIdentity, at: datetime) -> Row:
    assert outcome.error is not None  # noqa: S101 - rejected outcomes have one
    entry = outcome.entry
    return _common(outcome, ORIGINAL, run, at) | {
        "source_key": entry.source_key,
        "sha256": outcome.sha256,
        "size_bytes": entry.size_bytes,
        "stage": outcome.error.stage,
        "reason_code": str(outcome.error.reason),
        "permanent": outcome.error.reason not in CIRCUMSTANTIAL,
        "message": outcome.error.message,
        "tool_version": f"media_assets {__version__}",
        "attempts": entry.attempts + 1,
        "first_seen_at": entry.first_rejected_at or at,
        "last_seen_at": at,
        "etag": entry.etag,
    }


def rows_of(
    outcomes: Iterable[FileOutcome], run: RunIdentity, at: datetime, partners: Mapping[str, str]
) -> dict[tuple[str, str], list[Row]]:
    """Return the rows of a chunk by ``(table, month)``; the month is that in which the file first came.

    Args:
        outcomes: The chunk.
        run: The run that writes them.
        at: When they were computed.
        partners: Media id of the other half of its pair, for each file that has one.
    """
    rows: dict[tuple[str, str], list[Row]] = {}
    for outcome in outcomes:
        month = outcome.entry.month
        if outcome.state == "rejected" and not is_about_older_version(outcome):
            rows.setdefault((REJECTED_TABLE, month), []).append(_rejected_row(outcome, run, at))
        elif outcome.state == "materialized":
            if ORIGINAL in outcome.assets:
                rows.setdefault((TABLE_OF[ORIGINAL], month), []).append(_files_row(outcome, run, at))
            if METADATA in outcome.assets:
                row = _metadata_row(outcome, run, at, partners.get(outcome.entry.media_id))
                rows.setdefault((TABLE_OF[METADATA], month), []).append(row)
            if APPEARANCE in outcome.assets and outcome.result is not None and outcome.result.appearance is not None:
                row = _appearance_row(outcome, outcome.result.appearance, run, at)
                rows.setdefault((TABLE_OF[APPEARANCE], month), []).append(row)
            for stored in outcome.renditions:
                row = _rendition_row(outcome, stored, run, at)
                rows.setdefault((TABLE_OF[stored.asset], month), []).append(row)
    return rows


def is_about_older_version(outcome: FileOutcome) -> bool:
    """Return whether the upload that the inbox shows is rejected, and this is about the stored version before it."""
    return outcome.source == "original" and outcome.entry.state == "rejected"


def no_longer_rejected(outcomes: Iterable[FileOutcome]) -> dict[str, list[str]]:
    """Return, by month, the files that were rejected before and are sound now."""
    cleared: dict[str, list[str]] = {}
    for outcome in outcomes:
        was_rejected = outcome.entry.first_rejected_at is not None and not is_about_older_version(outcome)
        if outcome.state == "materialized" and was_rejected:
            cleared.setdefault(outcome.entry.month, []).append(outcome.entry.media_id)
    return cleared


def without_web_versions(outcomes: Iterable[FileOutcome]) -> dict[str, list[str]]:
    """Return, by month, the files that have no web version now and may have had one before."""
    found: dict[str, list[str]] = {}
    for outcome in outcomes:
        asked = OPTIMIZED in outcome.assets or OPTIMIZED in outcome.given_up
        was_there = outcome.entry.original_key is not None
        if outcome.state == "materialized" and asked and was_there and not outcome.renditions_of(OPTIMIZED):
            found.setdefault(outcome.entry.month, []).append(outcome.entry.media_id)
    return found


def previews_of(outcomes: Iterable[FileOutcome], run: RunIdentity) -> list[Preview]:
    """Return what the analysis of the files reads, of those whose thumbnails were made."""
    found = []
    for outcome in outcomes:
        thumbnails = {one.made.kind: one for one in outcome.renditions_of(THUMBNAILS)}
        if "preview" not in thumbnails or outcome.result is None or outcome.sha256 is None:
            continue
        facts = outcome.result.facts
        frames = sorted((one for kind, one in thumbnails.items() if kind.startswith("frame_")), key=lambda one: one.key)
        found.append(
            Preview(
                media_id=outcome.entry.media_id,
                input_version=outcome.sha256,
                data_version=data_version(THUMBNAILS, outcome.sha256, run.recipe),
                # A recording without pictures has a black preview and no frames: there is nothing to look at.
                preview_key=thumbnails["preview"].key if facts.media_type == "image" or frames else "",
                width_px=facts.width_px,
                height_px=facts.height_px,
                frames=tuple((one.key, one.made.frame_s or 0.0) for one in frames),
            )
        )
    return found


_LEDGER_STATE: dict[str, OutcomeState] = {"materialized": "materialized", "rejected": "rejected", "failed": "failed"}


def ledger_outcomes(outcomes: Iterable[FileOutcome], run: RunIdentity, at: datetime) -> list[Outcome]:
    """Return the results per asset for the ledger."""
    return [
        Outcome(
            media_id=outcome.entry.media_id,
            asset=asset,
            state="rejected" if asset in outcome.given_up else _LEDGER_STATE[outcome.state],
            input_version=outcome.sha256,
            code_version=ledger_version(asset, run.recipe, recognizes=False, locates=not outcome.withholds_location),
            run_id=run.run_id,
            root_run_id=run.root_run_id,
            at=at,
        )
        for outcome in outcomes
        if outcome.state in _LEDGER_STATE
        for asset in sorted({*outcome.assets, *outcome.given_up})
    ]
