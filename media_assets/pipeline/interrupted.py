"""Versions that a dead run had stored and begun to write, and that left the inbox before they were tried again.

A run that dies between rows and events leaves rows that Dagster does not know of. As a rule the next run does the
upload again. But the upload may be deleted by then, or overwritten by something broken: then nothing would ever tell of
the rows and of the original, which is stored. So the version is completed from its stored original.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from media_assets.media.errors import ReasonCode
from media_assets.pipeline.library import Library
from media_assets.pipeline.outcomes import FileOutcome
from media_assets.pipeline.selection import WorkItem
from media_assets.pipeline.stages import Extracted, discard, fetch_and_extract, store_sound
from media_assets.pipeline.workers import WorkerPool
from media_assets.storage.ledger_begun import BegunVersion

_LEFT = ("gone", "rejected")


def complete_interrupted(
    library: Library, pool: WorkerPool, spool: Path, outcomes: Sequence[FileOutcome]
) -> tuple[FileOutcome, ...]:
    """Complete versions that were begun and are not in the inbox any more, according to ``outcomes``.

    Such an outcome comes before that of the upload which replaced it, and instead of that of an upload which is gone
    itself. Where completing it fails, the failure stands for both, so that both are tried again.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    left = [one for one in outcomes if one.source == "inbox" and one.state in _LEFT]
    begun = library.ledger.begun([one.entry.media_id for one in left]) if left else {}
    if not begun:
        return tuple(outcomes)

    def completed() -> Iterator[FileOutcome]:
        for one in outcomes:
            version = begun.get(one.entry.media_id) if one in left else None
            # What killed a run must not be looked at again, and an upload that is refused is not its own predecessor.
            if version is None or one.entry.problem == ReasonCode.RUN_KILLED or one.sha256 == version.sha256:
                yield one
                continue
            older = _complete(library, pool, spool, one, version)
            if older is not None:
                yield older
            # Recorded as accepted, a version that is gone would not be read when it is back.
            is_this_one = one.state == "gone" and one.entry.etag == version.etag
            if older is None or (older.state == "materialized" and not is_this_one):
                yield one

    return tuple(completed())


def _complete(
    library: Library, pool: WorkerPool, spool: Path, left: FileOutcome, version: BegunVersion
) -> FileOutcome | None:
    """Do the work on the stored original of a version; ``None`` where nothing can be made of it."""
    entry = replace(left.entry, sha256=version.sha256, original_key=version.original_key)
    if library.store.head(version.original_key) is None:
        return None
    sidecars = library.ledger.sidecars_of([entry]).get(entry.media_id, ())
    extracted = fetch_and_extract(library, pool, spool, WorkItem(entry, left.assets, "original", tuple(sidecars)))
    if isinstance(extracted, Extracted):
        if extracted.error is not None:
            discard(extracted)
            return None
        first = library.ledger.claim_original(entry.owner, version.sha256, entry.media_id, version.original_key)
        extracted = store_sound(library, extracted, first)
    # Whether the inbox shows something that was refused since, see ``rows.is_about_older_version``.
    state = "rejected" if left.state == "rejected" else left.entry.state
    return replace(extracted, entry=replace(left.entry, state=state), is_interrupted_version=True)
