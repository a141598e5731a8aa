"""Files whose owners do not consent to keeping where they were: the position goes before anything is written of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from media_assets.media.position_tags import without_position
from media_assets.pipeline.assets import METADATA
from media_assets.pipeline.consent import Consents
from media_assets.pipeline.outcomes import FileOutcome
from media_assets.pipeline.selection import RunIdentity
from media_assets.pipeline.skips import NO_CONSENT, write_skips
from media_assets.storage.tables import PartWriter


def withhold_location(consents: Consents, outcomes: Sequence[FileOutcome]) -> tuple[FileOutcome, ...]:
    """Return the outcomes without the positions of owners who do not consent; no geocoder is asked about them then."""
    return tuple(
        outcome if consents.allows(outcome.entry.owner, "location") else _bare(outcome) for outcome in outcomes
    )


def _bare(outcome: FileOutcome) -> FileOutcome:
    result = outcome.result
    if result is None or result.metadata is None or METADATA not in outcome.assets:
        return replace(outcome, withholds_location=True)
    bare = replace(result, metadata=without_position(result.metadata))
    return replace(outcome, result=bare, place=None, withholds_location=True)


def write_withheld(writer: PartWriter, outcomes: Sequence[FileOutcome], run: RunIdentity, at: datetime) -> None:
    """Say in table ``skipped`` of which files no position is kept.

    Raises:
        StorageError: The rows cannot be written.
    """
    denied = {
        one.entry if one.entry.sha256 == one.sha256 else replace(one.entry, sha256=one.sha256): NO_CONSENT
        for one in outcomes
        if one.withholds_location and METADATA in one.assets and one.state == "materialized"
    }
    if denied:
        write_skips(writer, METADATA, run, denied, at)
