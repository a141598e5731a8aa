"""``files.duplicate_of`` when the file that it names becomes another one.

Of the files of an owner with the same bytes one counts as the original, the others name it. A new upload under its key
takes these bytes away from it: the next of the others takes its place, and their rows are written again. Otherwise the
bytes would be left without a row that is no duplicate.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from media_assets.pipeline.assets import ORIGINAL, TABLE_OF
from media_assets.pipeline.library import Library
from media_assets.pipeline.outcomes import FileOutcome
from media_assets.storage.ledger_schema import MediaEntry
from media_assets.storage.present import present_rows
from media_assets.storage.tables import PartWriter

_Content = tuple[str, str]


def hand_over_originals(
    library: Library, writer: PartWriter, outcomes: Sequence[FileOutcome]
) -> tuple[FileOutcome, ...]:
    """Let other files take the places of those that have other bytes now; return the outcomes, corrected.

    Call it before the outcomes are recorded: done twice, it changes nothing more. Needs no events, as the rows of a
    pair do not (``pipeline.pairs.relink``).

    Raises:
        StorageError: Rows or ledger cannot be read or written.
    """
    left = {
        (one.entry.owner, one.entry.sha256): one.entry.media_id
        for one in outcomes
        if one.state == "materialized" and one.sha256 is not None and one.entry.sha256 is not None
        if ORIGINAL in one.assets and one.entry.sha256 != one.sha256
    }
    if not left:
        return tuple(outcomes)
    claimed = library.ledger.claimed_by(left)
    left = {content: media_id for content, media_id in left.items() if claimed.get(content) == media_id}
    if not left:
        return tuple(outcomes)
    changed = {one.entry.media_id for one in outcomes if one.state == "materialized" and ORIGINAL in one.assets}
    recorded = {
        content: [entry for entry in entries if entry.media_id not in changed]
        for content, entries in library.ledger.holders(left).items()
    }
    heirs: dict[_Content, str] = {content: entries[0].media_id for content, entries in recorded.items() if entries}
    for one in outcomes:  # those of this very chunk are in no table yet
        if one.state == "materialized" and one.sha256 is not None and ORIGINAL in one.assets:
            content = (one.entry.owner, one.sha256)
            if content in left:
                heirs.setdefault(content, one.entry.media_id)
    _write_again(library, writer, recorded, heirs)
    library.ledger.hand_over(heirs)
    return tuple(_corrected(one, heirs) for one in outcomes)


def _corrected(outcome: FileOutcome, heirs: Mapping[_Content, str]) -> FileOutcome:
    heir = heirs.get((outcome.entry.owner, outcome.sha256 or ""))
    if heir is None or outcome.state != "materialized" or ORIGINAL not in outcome.assets:
        return outcome
    return replace(outcome, duplicate_of=None if heir == outcome.entry.media_id else heir)


def _write_again(
    library: Library,
    writer: PartWriter,
    recorded: Mapping[_Content, Sequence[MediaEntry]],
    heirs: Mapping[_Content, str],
) -> None:
    months: dict[str, dict[str, str | None]] = defaultdict(dict)
    for content, entries in recorded.items():
        for entry in entries:
            heir = heirs[content]
            months[entry.month][entry.media_id] = None if heir == entry.media_id else heir
    table = TABLE_OF[ORIGINAL]
    for month, targets in months.items():
        rows = [
            _pointed(row, targets[media_id])
            for media_id, row in present_rows(library.store, table, month, targets).items()
            if row["duplicate_of"] != targets[media_id]
        ]
        if rows:
            writer.append(table, month, rows)


def _pointed(row: Mapping[str, Any], duplicate_of: str | None) -> dict[str, Any]:
    """The same row with another target; a microsecond younger, so that what is computed meanwhile wins over it."""
    kept = {name: value for name, value in row.items() if name != "run_id"}
    return {**kept, "duplicate_of": duplicate_of, "computed_at": row["computed_at"] + timedelta(microseconds=1)}
