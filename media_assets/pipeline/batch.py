"""Runs the work of one run: many files at once, results in order, rows before events before the ledger.

The caller iterates over chunks and logs the events of each; when it asks for the next chunk, the last one is recorded
in the ledger. So a run that is killed anywhere leaves rows without events at worst, never events without rows, and the
next run redoes only what was not recorded (DESIGN.md section 5).
"""

import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from media_assets.pipeline.assets import METADATA, OPTIMIZED, ORIGINAL, REJECTED_TABLE, TABLE_OF
from media_assets.pipeline.consent import read_consents
from media_assets.pipeline.duplicates import hand_over_originals
from media_assets.pipeline.interrupted import complete_interrupted
from media_assets.pipeline.library import Library
from media_assets.pipeline.outcomes import FileOutcome
from media_assets.pipeline.pairs import facts_of, match_pairs, relink
from media_assets.pipeline.places import GeocodingStoppedError, with_places
from media_assets.pipeline.rows import (
    is_about_older_version,
    ledger_outcomes,
    no_longer_rejected,
    previews_of,
    rows_of,
    without_web_versions,
)
from media_assets.pipeline.selection import RunIdentity, WorkItem
from media_assets.pipeline.sidecars import clear_rejections
from media_assets.pipeline.stages import (
    Extracted,
    fetch_and_extract,
    original_key,
    quarantine,
    store_sound,
)
from media_assets.pipeline.stopping import WorkStoppedError, wait_unless_stopped
from media_assets.pipeline.withheld_location import withhold_location, write_withheld
from media_assets.pipeline.workers import WorkerPool
from media_assets.storage.errors import StorageError
from media_assets.storage.ledger_begun import BegunVersion
from media_assets.storage.tables import PartWriter

_HEARTBEAT_S = 15.0
_LOOKAHEAD_PER_WORKER = 8
_LOOKAHEAD_BYTES = 4 * 2**30  # spool space that files waiting for their turn may take

_Step: TypeAlias = "tuple[WorkItem, Future[Extracted | FileOutcome]]"


@dataclass(frozen=True)
class Chunk:
    """Files whose rows and objects are written. Their events come next; then ask for the next chunk."""

    outcomes: tuple[FileOutcome, ...]
    at: datetime


def run_work(library: Library, items: Sequence[WorkItem], run: RunIdentity) -> Iterator[Chunk]:
    """Process ``items`` on all cores and yield what was done, in chunks.

    Infrastructure errors of single files come back as ``failed`` outcomes, after retries. An error while rows are
    written ends the generator: nothing of that chunk is recorded, and a retry does it again.

    Raises:
        StorageError: Rows or ledger cannot be written.
        WorkStoppedError: ``library.stop`` was set.
    """
    if not items:
        return
    spool = library.spool(run.run_id)
    writer = PartWriter(library.store, run.run_id)
    try:
        # The pool closes first: without decoders the reading threads end at once.
        with (
            _heartbeat(library, run),
            _executors(library.settings.worker_count) as (readers, writers),
            library.worker_pool() as pool,
        ):
            chunk: list[FileOutcome | Future[FileOutcome]] = []
            since = time.monotonic()
            settings = library.settings
            for done, step in enumerate(_in_order(library, pool, readers, spool, items), 1):
                chunk.append(_reporting(library, _finish(library, writers, step)))
                is_last = done == len(items)
                waited = time.monotonic() - since
                if is_last or len(chunk) >= settings.flush_files or waited >= settings.flush_interval_s:
                    outcomes = tuple(one.result() if isinstance(one, Future) else one for one in chunk)
                    outcomes = complete_interrupted(library, pool, spool, outcomes)
                    yield from _flush(library, writer, run, outcomes, is_last=is_last)
                    chunk, since = [], time.monotonic()
    finally:
        shutil.rmtree(spool, ignore_errors=True)


@contextmanager
def _executors(workers: int) -> Iterator[tuple[ThreadPoolExecutor, ThreadPoolExecutor]]:
    """Threads that read (two more than decoders, so that none waits for input) and threads that write."""
    readers = ThreadPoolExecutor(workers + 2, thread_name_prefix="reader")
    writers = ThreadPoolExecutor(workers + 1, thread_name_prefix="writer")
    try:
        yield readers, writers
    finally:
        readers.shutdown(wait=True, cancel_futures=True)
        writers.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _heartbeat(library: Library, run: RunIdentity) -> Iterator[None]:
    """Tell the ledger now and then that the run of a batch is alive."""
    if run.batch_id is None:
        yield
        return
    stop = threading.Event()
    batch_id = run.batch_id

    def beat() -> None:
        while not stop.wait(_HEARTBEAT_S):
            try:
                library.ledger.heartbeat(batch_id)
            except StorageError:
                continue  # the next beat may get through; a run without beats is started again

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _in_order(
    library: Library, pool: WorkerPool, readers: ThreadPoolExecutor, spool: Path, items: Sequence[WorkItem]
) -> Iterator[_Step]:
    """Yield finished files in the order of ``items``, with a bounded number on the way.

    The order makes results repeatable: which of two equal files is the duplicate does not depend on timing.
    """
    window: deque[_Step] = deque()
    on_the_way = 0
    for item in items:
        while window and (
            len(window) >= _LOOKAHEAD_PER_WORKER * pool.count or on_the_way + item.entry.size_bytes > _LOOKAHEAD_BYTES
        ):
            on_the_way -= window[0][0].entry.size_bytes
            yield window.popleft()
        window.append((item, readers.submit(fetch_and_extract, library, pool, spool, item)))
        on_the_way += item.entry.size_bytes
    yield from window


def _finish(library: Library, writers: ThreadPoolExecutor, step: _Step) -> FileOutcome | Future[FileOutcome]:
    """Start storing what was extracted; the claim on the original is made here, in order."""
    item, future = step
    extracted = wait_unless_stopped(future, library.stop)
    if isinstance(extracted, FileOutcome):
        return extracted
    if extracted.error is not None:
        return writers.submit(quarantine, library, extracted)
    first = None
    if ORIGINAL in item.assets:
        assert extracted.sha256 is not None  # noqa: S101 - sound files were read
        key = item.entry.original_key if item.source == "original" else None
        first = library.ledger.claim_original(
            item.entry.owner, extracted.sha256, item.entry.media_id, key or original_key(extracted)
        )
    return writers.submit(store_sound, library, extracted, first)


def _reporting(library: Library, finished: FileOutcome | Future[FileOutcome]) -> FileOutcome | Future[FileOutcome]:
    """Tell whoever shows progress about a file as soon as it is finished."""
    tell = library.on_outcome
    if tell is not None:
        if isinstance(finished, FileOutcome):
            tell(finished)
        else:
            finished.add_done_callback(lambda future: tell(future.result()))
    return finished


def _flush(
    library: Library,
    writer: PartWriter,
    run: RunIdentity,
    outcomes: tuple[FileOutcome, ...],
    *,
    is_last: bool,
) -> Iterator[Chunk]:
    """Write rows, hand the chunk to the caller for its events, then record it in the ledger."""
    outcomes = withhold_location(read_consents(library), outcomes)
    try:
        outcomes = with_places(library.geocoder, outcomes)
    except GeocodingStoppedError:
        raise WorkStoppedError from None
    outcomes = hand_over_originals(library, writer, outcomes)
    at = datetime.now(UTC)
    from_inbox = [outcome for outcome in outcomes if outcome.source == "inbox"]
    accepted = [
        (outcome.entry, outcome.sha256, outcome.original_key)
        for outcome in outcomes
        if outcome.source == "inbox" or outcome.is_interrupted_version
        if outcome.state == "materialized" and outcome.sha256 is not None and outcome.original_key is not None
    ]
    library.ledger.note_begun(BegunVersion(one.media_id, one.etag, sha256, key) for one, sha256, key in accepted)
    facts = [one for one in map(facts_of, outcomes) if one is not None]
    partners = library.ledger.partners_of(facts, match_pairs)
    for (table, month), rows in rows_of(outcomes, run, at, partners).items():
        writer.append(table, month, rows)
    write_withheld(writer, outcomes, run, at)
    for month, media_ids in no_longer_rejected(outcomes).items():
        writer.remove(REJECTED_TABLE, month, media_ids, at)
    for month, media_ids in without_web_versions(outcomes).items():
        writer.remove(TABLE_OF[OPTIMIZED], month, media_ids, at, asset=OPTIMIZED)
    yield Chunk(outcomes, at)
    library.ledger.record_pairs(facts, partners, match_pairs)
    if is_last:
        # Before the last files are recorded: were it after them, a run killed in between would have nothing left to do,
        # and nobody would finish this.
        relink(library, writer)
        clear_rejections(library, writer, {outcome.entry.inbox for outcome in outcomes})
    refused = {outcome.entry.media_id for outcome in from_inbox if outcome.state == "rejected"}
    # The newest version of a file says how far its assets are.
    latest = [one for one in outcomes if not (one.is_interrupted_version and one.entry.media_id in refused)]
    library.ledger.record_results(
        ledger_outcomes(latest, run, at),
        accepted=accepted,
        rejected=[outcome.entry for outcome in from_inbox if outcome.state == "rejected"],
        gone=[outcome.entry for outcome in from_inbox if outcome.state == "gone"],
        failed=[
            outcome.entry
            for outcome in outcomes
            if outcome.state == "failed" and (outcome.source == "inbox" or outcome.is_interrupted_version)
        ],
        reread=[
            (outcome.entry, outcome.state == "materialized")
            for outcome in outcomes
            if outcome.state in ("materialized", "rejected") and not is_about_older_version(outcome)
            if outcome.source == "original"
        ],
        sidecars=[
            (outcome.entry, outcome.sidecars)
            for outcome in outcomes
            # The metadata of a version that was rejected now is not in the tables; that of the one before may be.
            if METADATA in outcome.assets
            if outcome.state == "materialized" or (outcome.state == "rejected" and outcome.source == "original")
        ],
        previews=previews_of(outcomes, run),
    )
