"""Runs the work of one run of op ``analyze``: many previews at once, results in order, rows before events.

As in ``batch.py``, the caller iterates over chunks and logs the events of each; when it asks for the next chunk, the
last one is recorded in the ledger. Originals are never read. A model that cannot be used costs its own asset, for all
files of the run and with one message; what a picture does to a model costs that picture.
"""

import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from media_assets.pipeline.analysis_consent import denied_assets, without_consent, write_denied
from media_assets.pipeline.analysis_outcomes import AnalysisChunk, AnalysisItem, AnalysisOutcome, FoundInFile
from media_assets.pipeline.analysis_pool import AnalysisPool, Looked, LookItem
from media_assets.pipeline.analysis_recipe import places_of
from media_assets.pipeline.analysis_rows import analysis_outcomes, rows_of_analysis, without_findings
from media_assets.pipeline.assets import ledger_version
from media_assets.pipeline.consent import read_consents
from media_assets.pipeline.library import Library
from media_assets.pipeline.model_supply import supply
from media_assets.pipeline.retries import with_retries
from media_assets.pipeline.selection import RunIdentity
from media_assets.pipeline.stopping import wait_unless_stopped
from media_assets.storage.errors import ObjectMissing, StorageError
from media_assets.storage.tables import PartWriter

# Runs in which a picture ends the process of the models before it is to blame, where other pictures do not.
_KILLED_MOST = 3
_TASKS_AHEAD = 3  # for each process, so that none waits for input
# Events of six assets take longer than those of one decode: written while the models go on, and not all at the end.
_FLUSH_FILES = 16


@dataclass(frozen=True)
class _Fetched:
    """A file whose pictures lie on this machine, or why they do not."""

    item: AnalysisItem
    paths: tuple[Path, ...] = ()
    error: str | None = None


def run_analysis(
    library: Library,
    items: Sequence[AnalysisItem],
    run: RunIdentity,
    tell: Callable[[str], None] = lambda message: None,
) -> Iterator[AnalysisChunk]:
    """Look at ``items`` on all cores and yield what was done, in chunks.

    What cannot be done comes back in ``failed`` of the outcomes. An error while rows are written ends the generator:
    nothing of that chunk is recorded, and a retry does it again.

    Args:
        library: Where everything is.
        items: What to do.
        run: Who does it.
        tell: Receives what people who wait should know, for example that a model is being fetched.

    Raises:
        StorageError: Rows or ledger cannot be written.
        WorkStoppedError: ``library.stop`` was set.
        WorkerStartError: No process can be started.
    """
    if not items:
        return
    settings, vision = library.settings, run.recipe.vision
    assets = {asset for item in items for asset in item.assets}
    places, unusable = supply(vision, places_of(settings), assets, tell)
    spool = library.spool(run.run_id)
    writer = PartWriter(library.store, run.run_id)
    try:
        with (
            _readers(library) as readers,
            AnalysisPool(
                library.settings.analysis_worker_count,
                recipe=vision,
                places=places,
                memory_bytes=settings.analysis_memory_bytes,
                timeout_s=settings.analysis_timeout_s,
            ) as pool,
        ):
            chunk: list[AnalysisOutcome] = []
            since = time.monotonic()
            work = _Work(library, pool, readers, spool, unusable)
            for done, outcome in enumerate(work.outcomes(items), 1):
                chunk.append(outcome)
                is_last = done == len(items)
                waited = time.monotonic() - since
                if (
                    is_last
                    or len(chunk) >= min(_FLUSH_FILES, settings.flush_files)
                    or waited >= settings.flush_interval_s
                ):
                    yield from _flush(library, writer, run, chunk)
                    chunk, since = [], time.monotonic()
    finally:
        shutil.rmtree(spool, ignore_errors=True)


@contextmanager
def _readers(library: Library) -> Iterator[ThreadPoolExecutor]:
    readers = ThreadPoolExecutor(library.settings.analysis_worker_count + 2, thread_name_prefix="preview")
    try:
        yield readers
    finally:
        readers.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class _Task:
    """Files that were passed to a process together; ``asked`` are those of them that it can do something for."""

    group: tuple[_Fetched, ...]
    asked: tuple[_Fetched, ...]
    answer: "Future[list[Looked]] | None"


class _Work:
    """Groups files into tasks, keeps a bounded number of them on the way, and takes the answers apart."""

    def __init__(
        self,
        library: Library,
        pool: AnalysisPool,
        readers: ThreadPoolExecutor,
        spool: Path,
        unusable: Mapping[str, str],
    ) -> None:
        self._library = library
        self._pool = pool
        self._readers = readers
        self._spool = spool
        self._consents = read_consents(library)
        # Why assets cannot be made by this run at all; grows when a process finds that a model cannot be loaded.
        self._unusable = dict(unusable)

    def outcomes(self, items: Sequence[AnalysisItem]) -> Iterator[AnalysisOutcome]:
        """Yield what became of each item, in their order."""
        window: deque[_Task] = deque()
        for group in self._groups(items):
            if len(window) >= _TASKS_AHEAD * self._pool.count:
                yield from self._finish(window.popleft())
            asked = tuple(one for one in group if one.paths and self._usable(one.item))
            answer = self._pool.submit([self._question(one) for one in asked]) if asked else None
            window.append(_Task(tuple(group), asked, answer))
        while window:
            yield from self._finish(window.popleft())

    def _groups(self, items: Sequence[AnalysisItem]) -> Iterator[list[_Fetched]]:
        """Yield files whose pictures are at hand, as many as are looked at together; a video stays in one piece."""
        most = self._library.settings.analysis_batch
        group: list[_Fetched] = []
        pictures = 0
        for fetched in self._fetched(items, 2 * most):
            if group and pictures + len(fetched.paths) > most:
                yield group
                group, pictures = [], 0
            group.append(fetched)
            pictures += len(fetched.paths)
        if group:
            yield group

    def _fetched(self, items: Sequence[AnalysisItem], ahead: int) -> Iterator[_Fetched]:
        waiting: deque[Future[_Fetched]] = deque()
        for item in items:
            waiting.append(self._readers.submit(self._fetch, item))
            if len(waiting) >= ahead:
                yield wait_unless_stopped(waiting.popleft(), self._library.stop)
        while waiting:
            yield wait_unless_stopped(waiting.popleft(), self._library.stop)

    def _fetch(self, item: AnalysisItem) -> _Fetched:
        keys = [key for key, _ in item.preview.frames] or [key for key in (item.preview.preview_key,) if key]
        try:
            return _Fetched(item, tuple(self._local(key, item.entry.media_id, at) for at, key in enumerate(keys)))
        except ObjectMissing as error:
            message = f"{error.key} is missing. Make it again: media-assets reprocess --asset thumbnails --all"
            return _Fetched(item, error=message)
        except (StorageError, OSError) as error:
            return _Fetched(item, error=str(error))

    def _local(self, key: str, media_id: str, at: int) -> Path:
        store = self._library.store
        path = store.local_path(key)
        if path is not None:
            if not path.is_file():
                raise ObjectMissing(f"{key} is missing.", key)
            return path
        target = self._spool / f"{media_id}-{at}.jpeg"
        with_retries(lambda: store.get_to_file(key, target))
        return target

    def _usable(self, item: AnalysisItem) -> frozenset[str]:
        return item.assets - self._unusable.keys() - self._denied(item)

    def _denied(self, item: AnalysisItem) -> frozenset[str]:
        return denied_assets(self._consents, item)

    def _question(self, fetched: _Fetched) -> LookItem:
        item = fetched.item
        # Nobody draws what nobody may see.
        draws = self._library.settings.ui_previews != "off"
        return LookItem(fetched.paths, _frames(item), self._usable(item), self._recognizes(item), draws)

    def _recognizes(self, item: AnalysisItem) -> bool:
        return self._consents.allows(item.entry.owner, "recognition")

    def _finish(self, task: _Task) -> Iterator[AnalysisOutcome]:
        answers = wait_unless_stopped(task.answer, self._library.stop) if task.answer is not None else []
        looked = {one.item.entry.media_id: answer for one, answer in zip(task.asked, answers, strict=True)}
        for fetched in task.group:
            yield self._outcome(fetched, looked.get(fetched.item.entry.media_id))
            for path in fetched.paths:
                if self._spool in path.parents:
                    path.unlink(missing_ok=True)

    def _outcome(self, fetched: _Fetched, looked: Looked | None) -> AnalysisOutcome:
        item = fetched.item
        made: dict[str, FoundInFile] = {}
        failed: dict[str, str] = {}
        killed: set[str] = set()
        denied = self._denied(item)
        for asset in sorted(item.assets - denied):
            answer = looked.assets.get(asset) if looked is not None else None
            if looked is not None and answer is not None and answer.found is not None:
                made[asset] = FoundInFile(answer.found, looked.sizes, _frames(item), answer.drawn)
                continue
            if not fetched.paths and fetched.error is None and asset not in self._unusable:
                made[asset] = FoundInFile((), (), ())
                continue
            said = answer.error if answer is not None else None
            failed[asset] = fetched.error or said or self._unusable[asset]
            if answer is not None and answer.has_killed:
                killed.add(asset)
            if answer is not None and answer.is_model_error:
                self._unusable.setdefault(asset, failed[asset])
        return AnalysisOutcome(item, self._recognizes(item), made, failed, frozenset(killed), denied=denied)


def _frames(item: AnalysisItem) -> tuple[float | None, ...]:
    """Time of each picture; none where there is nothing to look at."""
    return tuple(at for _, at in item.preview.frames) or ((None,) if item.preview.preview_key else ())


def _given_up(library: Library, outcome: AnalysisOutcome, run: RunIdentity) -> AnalysisOutcome:
    """Note which assets are not tried again: they ended their process in several runs, and not with other pictures."""
    failed, given_up = dict(outcome.failed), set()
    for asset in sorted(outcome.killed):
        version = ledger_version(asset, run.recipe, recognizes=outcome.recognizes)
        deaths = library.ledger.record_picture_death(
            outcome.media_id, asset, outcome.item.preview.input_version, version, run.run_id
        )
        if deaths >= _KILLED_MOST and library.ledger.has_made(asset, version):
            given_up.add(asset)
            failed[asset] += f" It did so in {deaths} runs and is not tried again before the file or the model changes."
    return replace(outcome, failed=failed, given_up=frozenset(given_up))


def _flush(
    library: Library, writer: PartWriter, run: RunIdentity, chunk: Sequence[AnalysisOutcome]
) -> Iterator[AnalysisChunk]:
    """Write rows, hand the chunk to the caller for its events, then record it in the ledger."""
    # Asked again: a consent that was withdrawn while the models looked counts.
    consents = read_consents(library)
    at = datetime.now(UTC)
    outcomes = tuple(without_consent(consents, outcome) for outcome in chunk)
    write_denied(writer, outcomes, run, at)
    for (table, month), rows in rows_of_analysis(outcomes, run, at).items():
        writer.append(table, month, rows)
    for (table, month), media_ids in without_findings(outcomes).items():
        writer.remove(table, month, media_ids, at)
    outcomes = tuple(_given_up(library, outcome, run) if outcome.killed else outcome for outcome in outcomes)
    yield AnalysisChunk(outcomes, at)
    library.ledger.record_results(analysis_outcomes(outcomes, run, at))
