"""Runs the work of one run of op ``protect``: originals become copies that may leave the library.

As in ``batch.py``, the caller iterates over chunks and logs the events of each; when it asks for the next chunk, the
last one is recorded in the ledger. Owners and reviewers are asked again right before a copy is stored and right after,
so that a consent that is withdrawn meanwhile leaves nothing behind. A copy in which the proof still sees a face, or
that says more than its picture, is never stored.
"""

import secrets
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from media_assets.media.hamming import distance
from media_assets.pipeline.analysis_recipe import places_of
from media_assets.pipeline.assets import SHAREABLE, TABLE_OF
from media_assets.pipeline.library import Library
from media_assets.pipeline.liveness import new_holder
from media_assets.pipeline.retries import with_retries
from media_assets.pipeline.selection import RunIdentity
from media_assets.pipeline.sharing_inputs import SharingInputs, read_inputs
from media_assets.pipeline.sharing_outcomes import (
    FACES_LEFT,
    TAGS_LEFT,
    MadeCopy,
    SharedOutcome,
    SharingChunk,
    SharingItem,
)
from media_assets.pipeline.sharing_pool import Covered, CoverTask, SharingPool
from media_assets.pipeline.sharing_rows import rows_of_sharing, sharing_results, without_row
from media_assets.pipeline.sharing_selection import read_rules
from media_assets.pipeline.sharing_withdrawal import withdraw_copies
from media_assets.pipeline.skips import NO_CONSENT, clear_skips, write_skips
from media_assets.pipeline.stopping import wait_unless_stopped
from media_assets.storage import keys
from media_assets.storage.errors import ObjectMissing, StorageError
from media_assets.storage.ledger_copies import SharedCopy
from media_assets.storage.tables import PartWriter

# Runs in which a file ends its process before it is to blame, where other files do not.
_KILLED_MOST = 3
_AHEAD = 2  # originals for each process that lie in the spool, so that none waits for input
_FLUSH_FILES = 16
_REPLACED = "The file was replaced while it was covered. The next run covers its new version."
_EXTENSIONS = {"jpeg": "jpg", "png": "png", "mp4": "mp4"}


@dataclass(frozen=True)
class _Work:
    """A file on its way: the answer comes, or something went wrong before."""

    item: SharingItem
    folder: Path
    answer: "Future[Covered] | None" = None
    error: str | None = None


def run_sharing(
    library: Library,
    items: Sequence[SharingItem],
    run: RunIdentity,
    on_progress: Callable[[str, float], None] | None = None,
) -> Iterator[SharingChunk]:
    """Make the copies of ``items`` on all cores and yield what was done, in chunks.

    What cannot be done comes back with ``error``. An error while something is stored ends the generator: nothing of
    that chunk is recorded, what was stored of it is withdrawn later, and a retry does it again.

    Args:
        library: Where everything is.
        items: What to do.
        run: Who does it.
        on_progress: Told a media id and a share of 0-1 while a video is covered, from any thread.

    Raises:
        StorageError: Rows, copies or ledger cannot be written.
        WorkStoppedError: ``library.stop`` was set.
        WorkerStartError: No process can be started.
    """
    if not items:
        return
    settings = library.settings
    spool = library.spool(run.run_id)
    flusher = _Flusher(library, run)
    try:
        chunk, since = [], time.monotonic()
        for done, outcome in enumerate(_outcomes(library, items, run, spool, on_progress), 1):
            chunk.append(outcome)
            waited = time.monotonic() - since
            if done == len(items) or len(chunk) >= _FLUSH_FILES or waited >= settings.flush_interval_s:
                yield from flusher.flush(chunk)
                chunk, since = [], time.monotonic()
    finally:
        shutil.rmtree(spool, ignore_errors=True)


def _outcomes(
    library: Library,
    items: Sequence[SharingItem],
    run: RunIdentity,
    spool: Path,
    on_progress: Callable[[str, float], None] | None,
) -> Iterator[SharedOutcome]:
    """Yield what became of each item: first of those that need no work."""
    making = [item for item in items if item.state == "published"]
    for item in items:
        if item.state != "published":
            yield SharedOutcome(item, item.state, item.reason)
    if not making:
        return
    settings = library.settings
    inputs = read_inputs(library, making, run.recipe.sharing.location)
    with SharingPool(
        settings.analysis_worker_count,
        recipe=run.recipe.sharing,
        places=replace(places_of(settings), may_fetch=False),
        work_folder=spool,
        memory_bytes=settings.analysis_memory_bytes,
        timeout_s=settings.analysis_timeout_s,
        video_timeout_s=settings.share_timeout_s,
    ) as pool:
        maker = _Maker(library, pool, inputs, spool, on_progress)
        yield from maker.outcomes(making)


class _Maker:
    """Fetches originals, passes them to the pool, and takes the answers apart."""

    def __init__(
        self,
        library: Library,
        pool: SharingPool,
        inputs: Mapping[str, SharingInputs],
        spool: Path,
        on_progress: Callable[[str, float], None] | None,
    ) -> None:
        self._library = library
        self._pool = pool
        self._inputs = inputs
        self._spool = spool
        self._on_progress = on_progress
        self._unusable: str | None = None  # why no copy can be made at all

    def outcomes(self, items: Sequence[SharingItem]) -> Iterator[SharedOutcome]:
        """Yield what became of each item, in their order."""
        ahead = _AHEAD * self._pool.count
        waiting: deque[Future[_Work]] = deque()
        readers = ThreadPoolExecutor(self._pool.count + 1, thread_name_prefix="original")
        try:
            for item in items:
                waiting.append(readers.submit(self._start, item))
                if len(waiting) >= ahead:
                    yield self._finish(waiting.popleft())
            while waiting:
                yield self._finish(waiting.popleft())
        finally:
            readers.shutdown(wait=True, cancel_futures=True)

    def _start(self, item: SharingItem) -> _Work:
        folder = self._spool / item.entry.media_id
        if self._unusable is not None:
            return _Work(item, folder, error=self._unusable)
        inputs, key = self._inputs.get(item.entry.media_id), item.entry.original_key
        if inputs is None or key is None:
            message = "The tables do not know the file. Bring the catalog up to date, then try again."
            return _Work(item, folder, error=message)
        target = folder / f"original.{key.rpartition('.')[2]}"
        try:
            (folder / "copy").mkdir(parents=True, exist_ok=True)
            # A copy, not a link: the process that decodes it may write into this folder.
            with_retries(lambda: self._library.store.get_to_file(key, target))
        except ObjectMissing as error:
            return _Work(item, folder, error=f"{error.key} is missing. Upload the file again, or restore a backup.")
        except (StorageError, OSError) as error:
            return _Work(item, folder, error=str(error))
        task = CoverTask(target, folder / "copy", inputs.is_video, inputs.faces, inputs.texts)
        return _Work(item, folder, self._pool.submit(task, self._progress_of(item)))

    def _progress_of(self, item: SharingItem) -> Callable[[float], None] | None:
        tell = self._on_progress
        return None if tell is None else lambda share: tell(item.entry.media_id, share)

    def _finish(self, started: "Future[_Work]") -> SharedOutcome:
        stop = self._library.stop
        work = wait_unless_stopped(started, stop)
        if work.answer is None:
            return SharedOutcome(work.item, None, error=work.error)
        covered = wait_unless_stopped(work.answer, stop)
        for original in work.folder.glob("original.*"):
            original.unlink(missing_ok=True)
        if covered.is_model_error:
            self._unusable = covered.error
        if covered.reason is not None:
            return SharedOutcome(work.item, "withheld", covered.reason)
        if covered.copy is None:
            return SharedOutcome(work.item, None, error=covered.error, has_killed=covered.has_killed)
        return self._judged(work.item, covered.copy)

    def _judged(self, item: SharingItem, copy: MadeCopy) -> SharedOutcome:
        """What the proof says: only a copy in which nothing is left may be published."""
        inputs = self._inputs[item.entry.media_id]
        # Of videos, that of the copy is of its first frame and that of the original of its poster.
        known = copy.phash is not None and inputs.phash is not None and not inputs.is_video
        outcome = SharedOutcome(
            item,
            "published",
            copy=copy,
            phash_distance=distance(copy.phash or 0, inputs.phash or 0) if known else None,
            location=inputs.location,
        )
        if copy.faces_left or copy.tags_left:
            copy.path.unlink(missing_ok=True)
            return replace(outcome, state="held", reason=FACES_LEFT if copy.faces_left else TAGS_LEFT)
        return outcome


class _Flusher:
    """Stores the copies and rows of a chunk, hands it over for its events, and records it."""

    def __init__(self, library: Library, run: RunIdentity) -> None:
        self._library = library
        self._run = run
        self._writer = PartWriter(library.store, run.run_id)
        self._holder = new_holder()

    def flush(self, chunk: Sequence[SharedOutcome]) -> Iterator[SharingChunk]:
        library, run, at = self._library, self._run, datetime.now(UTC)
        outcomes = self._stored(self._asked_again(chunk), at)
        for month, rows in rows_of_sharing(outcomes, run, at).items():
            self._writer.append(TABLE_OF[SHAREABLE], month, rows)
        for month, media_ids in without_row(outcomes).items():
            self._writer.remove(TABLE_OF[SHAREABLE], month, media_ids, at)
        denied = {one.item.entry: NO_CONSENT for one in outcomes if one.state == "denied"}
        write_skips(self._writer, SHAREABLE, run, denied, at)
        clear_skips(
            self._writer,
            SHAREABLE,
            [one.item.entry for one in outcomes if one.item.was_denied and one.state != "denied"],
            at,
        )
        outcomes = tuple(self._given_up(one) if one.has_killed else one for one in outcomes)
        yield SharingChunk(outcomes, at)
        library.ledger.record_results(sharing_results(outcomes, run, at))
        published = [one.key for one in outcomes if one.key is not None]
        if published:
            library.ledger.publish_copies(published)
            # An erasure may have forgotten them meanwhile: nobody would ever take them back.
            known = {one.path for one in library.ledger.copies(one.media_id for one in outcomes)}
            for key in set(published) - known:
                library.store.delete(key)
        if any(one.state is not None for one in outcomes):
            # What was replaced, and what somebody has forbidden since it was stored.
            withdraw_copies(library, among={one.media_id for one in outcomes})

    def _asked_again(self, chunk: Sequence[SharedOutcome]) -> list[SharedOutcome]:
        """Drop what owners or reviewers have forbidden since the run began."""
        wanted = [one.media_id for one in chunk if one.state == "published"]
        if not wanted:
            return list(chunk)
        rules = read_rules(self._library, self._run.recipe)
        rows = {row.media_id: row for row in self._library.ledger.share_rows(SHAREABLE, media_ids=wanted)}
        asked = []
        for one in chunk:
            row = rows.get(one.media_id)
            if one.state != "published":
                asked.append(one)
            elif row is None or row.sha256 != one.item.entry.sha256:
                asked.append(SharedOutcome(one.item, None, error=_REPLACED))
            elif (verdict := rules.verdict(row)).state in ("denied", "withheld"):
                item = replace(one.item, version=verdict.version)
                asked.append(SharedOutcome(item, verdict.state, verdict.reason))
            else:
                asked.append(one)
        return asked

    def _stored(self, outcomes: Sequence[SharedOutcome], at: datetime) -> tuple[SharedOutcome, ...]:
        """Store copies under new keys, which are on record before."""
        stored = [
            replace(one, key=_new_key(one.item, one.copy)) if one.state == "published" and one.copy is not None else one
            for one in outcomes
        ]
        copies = [
            SharedCopy(
                path=one.key,
                media_id=one.media_id,
                owner=one.item.entry.owner,
                month=one.item.entry.month,
                input_version=one.item.entry.sha256 or "",
                state="writing",
                holder=self._holder,
                at=at,
            )
            for one in stored
            if one.key is not None
        ]
        if copies:
            self._library.ledger.record_copies(copies)
        for one in stored:
            if one.key is not None and one.copy is not None:
                self._put(one.key, one.copy.path)
        return tuple(stored)

    def _put(self, key: str, path: Path) -> None:
        with_retries(lambda: self._library.store.put_file(key, path))
        path.unlink(missing_ok=True)

    def _given_up(self, outcome: SharedOutcome) -> SharedOutcome:
        """Note whether a file is not tried again: it ended its process in several runs."""
        item, library = outcome.item, self._library
        deaths = library.ledger.record_picture_death(
            outcome.media_id, SHAREABLE, item.entry.sha256 or "", item.version, self._run.run_id
        )
        if deaths < _KILLED_MOST:
            return outcome
        more = f" It did so in {deaths} runs and is not tried again before the file or the settings change."
        return replace(outcome, is_given_up=True, error=f"{outcome.error}{more}")


def _new_key(item: SharingItem, copy: MadeCopy) -> str:
    kind = "video" if copy.duration_s is not None else "picture"
    return keys.shareable_key(item.entry.owner, secrets.token_hex(16), f"{kind}.{_EXTENSIONS[copy.format]}")
