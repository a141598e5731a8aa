"""Table ``skipped``: what was not computed for lack of consent. An outcome, not an error."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from media_assets.pipeline.assets import METADATA, SHAREABLE, code_version
from media_assets.pipeline.consent import PURPOSE_OF, Purpose
from media_assets.pipeline.selection import RunIdentity
from media_assets.storage.ledger_schema import MediaEntry
from media_assets.storage.tables import PartWriter

SKIPPED = "skipped"
NO_CONSENT = "no_consent"
"""The reason, and the version by which the ledger knows a result that was not computed."""

PEOPLE = "people"
SKIPPED_FOR: Mapping[str, Purpose] = {
    **PURPOSE_OF,
    METADATA: "location",
    PEOPLE: "recognition",
    SHAREABLE: "publication",
}
"""The purpose that lacks, by what is named in column ``asset``."""


def write_skips(
    writer: PartWriter,
    asset: str,
    run: RunIdentity,
    denied: Mapping[MediaEntry, str],
    at: datetime,
) -> None:
    """Write one row for each file of which ``asset`` was not computed.

    Args:
        writer: Of the run.
        asset: One of :data:`SKIPPED_FOR`.
        run: Who did not compute it.
        denied: Reason by file.
        at: When.

    Raises:
        StorageError: The rows cannot be written.
    """
    months: dict[str, list[dict[str, object]]] = defaultdict(list)
    for entry, reason in denied.items():
        months[entry.month].append(
            {
                "media_id": entry.media_id,
                "owner": entry.owner,
                "input_version": entry.sha256,
                "code_version": NO_CONSENT if asset == PEOPLE else code_version(asset, run.recipe),
                "model": None,
                "run_id": run.run_id,
                "computed_at": at,
                "asset": asset,
                "purpose": SKIPPED_FOR[asset],
                "reason": reason,
            }
        )
    for month, rows in months.items():
        writer.append(SKIPPED, month, rows)


def clear_skips(writer: PartWriter, asset: str, entries: Iterable[MediaEntry], at: datetime) -> None:
    """Remove the rows of files of which ``asset`` is computed again, or will be.

    Raises:
        StorageError: The rows cannot be written.
    """
    months: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        months[entry.month].append(entry.media_id)
    for month, media_ids in months.items():
        writer.remove(SKIPPED, month, media_ids, at, asset=asset)
