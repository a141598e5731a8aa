"""Copies as rows of table ``shareable``, refusals as rows of table ``skipped``, and both as results for the ledger.

Pure conversions.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from media_assets.pipeline.assets import SHAREABLE, TABLE_OF, code_version
from media_assets.pipeline.selection import RunIdentity
from media_assets.pipeline.sharing_outcomes import SharedOutcome
from media_assets.storage.ledger_schema import Outcome

Row = dict[str, Any]


def rows_of_sharing(outcomes: Iterable[SharedOutcome], run: RunIdentity, at: datetime) -> dict[str, list[Row]]:
    """Return the rows of table ``shareable`` of a chunk, by month."""
    rows: dict[str, list[Row]] = {}
    for outcome in outcomes:
        if outcome.state in ("published", "held", "withheld"):
            rows.setdefault(outcome.item.entry.month, []).append(_row(outcome, run, at))
    return rows


def without_row(outcomes: Iterable[SharedOutcome]) -> dict[str, list[str]]:
    """Return, by month, the files that may have had a row and have none any longer."""
    found: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.state == "denied" and outcome.item.computed_before:
            found.setdefault(outcome.item.entry.month, []).append(outcome.media_id)
    return found


def sharing_results(outcomes: Iterable[SharedOutcome], run: RunIdentity, at: datetime) -> list[Outcome]:
    """Return the results for the ledger."""
    return [
        Outcome(
            media_id=outcome.media_id,
            asset=SHAREABLE,
            state="materialized" if outcome.state is not None else "rejected" if outcome.is_given_up else "failed",
            input_version=outcome.item.entry.sha256,
            code_version=outcome.item.version,
            run_id=run.run_id,
            root_run_id=run.root_run_id,
            at=at,
        )
        for outcome in outcomes
    ]


def _row(outcome: SharedOutcome, run: RunIdentity, at: datetime) -> Row:
    entry, place = outcome.item.entry, outcome.location
    row: Row = {
        "media_id": entry.media_id,
        "owner": entry.owner,
        "input_version": entry.sha256,
        "code_version": code_version(SHAREABLE, run.recipe),
        "model": None,
        "run_id": run.run_id,
        "computed_at": at,
        "state": outcome.state,
        "reason": outcome.reason,
        "path": outcome.key,
    }
    copy = outcome.copy
    if copy is None:
        return row
    facts = ("format", "mime_type", "width_px", "height_px", "duration_s", "size_bytes", "sha256", "phash")
    counts = ("faces_covered", "texts_covered", "faces_left", "rounds", "has_audio")
    row |= {name: getattr(copy, name) for name in (*facts, *counts)}
    row |= {
        "model": " ".join(copy.verified_with) or None,
        "phash_distance": outcome.phash_distance,
        "style": run.recipe.sharing.style,
        "tags_left": len(copy.tags_left),
        "verified_with": list(copy.verified_with),
        "covers": [
            {"kind": one.kind, "source": one.source, "polygon": [list(point) for point in one.polygon]}
            for one in copy.covers
        ],
    }
    if outcome.state == "published":
        row |= {
            "location_level": place.level,
            "latitude_deg": place.latitude_deg,
            "longitude_deg": place.longitude_deg,
            "place_city": place.place_city,
            "place_country_code": place.place_country_code,
        }
    return row


SHAREABLE_TABLE = TABLE_OF[SHAREABLE]
