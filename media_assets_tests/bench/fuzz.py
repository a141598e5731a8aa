"""Mutated files through the decoder processes and through the whole of ``ingest``: ``make fuzz MINUTES=10``.

Every file must end with a definite outcome: a result, or a content error with a reason. A decoder that dies or is too
slow is listed, with the numbers that make its file again; an error that no reader foresaw, a file that failed for the
machine, a rendition of a reject or memory without bound fails the run.
"""

import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click

from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.extract import extract
from media_assets.media.limits import Limits
from media_assets.media.records import MediaResult
from media_assets.pipeline.assets import INGEST_ASSETS
from media_assets.pipeline.batch import run_work
from media_assets.pipeline.intake import plan_batches, sweep
from media_assets.pipeline.library import Library
from media_assets.pipeline.outcomes import FileOutcome
from media_assets.pipeline.selection import RunIdentity, select_work
from media_assets.pipeline.workers import Task
from media_assets.settings import Settings
from media_assets_tests.bench.machine import SHARED
from media_assets_tests.bench.mutations import Case, CaseMaker, Seed, corpus_seeds, made_seeds
from media_assets_tests.bench.witness import MemoryWatch

TIMEOUT_S = 60.0
MAX_OWN_GROWTH_BYTES = 512 * 2**20
_POOL_CASES, _INGEST_CASES = 600, 200  # in turn: most cases skip the store, which costs time and finds little
_MACHINE_REASONS = frozenset({ReasonCode.DECODER_CRASHED, ReasonCode.DECODER_TIMEOUT, ReasonCode.DECODER_MEMORY})
_UNFORESEEN = ("The decoder failed on this file", "The decoder gave an impossible result")
_TRACEBACKS_OF_A_KIND = 2


@dataclass
class Findings:
    """What the run saw so far."""

    reasons: Counter[str] = field(default_factory=Counter)
    files: int = 0
    ingested: int = 0
    machine: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    tracebacks: Counter[str] = field(default_factory=Counter)

    def add(self, case: Case, error: ContentError | None) -> bool:
        """Count one outcome; returns whether the file is worth keeping."""
        self.files += 1
        self.reasons["sound" if error is None else str(error.reason)] += 1
        if error is None or error.reason not in _MACHINE_REASONS:
            return False
        line = f"case {case.number} ({case.recipe}): {error.reason}: {error.message}"
        if error.message.startswith(_UNFORESEEN):
            kind = re.sub(r"\d+|'[^']*'", "", error.message)
            self.tracebacks[kind] += 1
            told = self.tracebacks[kind] <= _TRACEBACKS_OF_A_KIND
            self.failures.append(f"{line}\n{_traceback_of(case)}" if told else line)
        else:
            self.machine.append(line)
        return True


def _traceback_of(case: Case) -> str:
    """Run the case in a process of its own that tells where the error came from."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / case.name
        path.write_bytes(case.data)
        command = [sys.executable, "-m", "media_assets_tests.bench.fuzz", "--reproduce", str(path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=2 * TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return "    (no traceback: it takes too long outside of the decoder process)"
    return "\n".join(f"    {line}" for line in done.stdout.splitlines()[-40:])


def _reproduce(path: Path) -> None:
    """Extract one file in this process and print its outcome, with the traceback of its causes."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            result = extract(path, Path(scratch), file_name=path.name, metadata=True, renditions=True, limits=Limits())
        except ContentError as error:
            click.echo(f"{error.stage}: {error}")
            if error.__cause__ is not None:
                click.echo("".join(traceback.format_exception(error.__cause__)))
        except BaseException:  # whatever it is, this command is there to show it
            click.echo(traceback.format_exc())
        else:
            click.echo(str(result))


# ---------------------------------------------------------------- through the decoder processes


class Fuzzer:
    """One fuzz run: settings, numbers and findings."""

    def __init__(self, maker: CaseMaker, work: Path, *, start: int, keep: Path | None, workers: int | None) -> None:
        self.maker = maker
        self.work = work
        self.keep = keep
        self.next_case = start
        self.found = Findings()
        self.workers = workers

    def _settings(self, folder: Path) -> Settings:
        return Settings(
            library=str(folder / "library"),
            inbox=str(folder / "inbox"),
            state=folder / "state",
            workers=self.workers,
            worker_timeout_s=TIMEOUT_S,
            inbox_settle_s=0.0,
        )

    def _cases(self, count: int) -> Iterator[Case]:
        for _ in range(count):
            self.next_case += 1
            yield self.maker.case(self.next_case - 1)

    def _note(self, case: Case, error: ContentError | None) -> None:
        if self.found.add(case, error) and self.keep is not None:
            (self.keep / case.name).write_bytes(case.data)

    def through_pool(self, count: int, deadline: float) -> None:
        """Decode ``count`` cases with every rendition, until ``deadline`` (monotonic)."""
        library = Library(self._settings(self.work))
        folder = library.store.scratch_dir()  # decoders see no other folder
        waiting: deque[tuple[Case, Path, Future[MediaResult]]] = deque()
        try:
            with library.worker_pool() as pool:
                for case in self._cases(count):
                    own = folder / str(case.number)
                    (own / "out").mkdir(parents=True)
                    (own / "source").write_bytes(case.data)
                    task = Task(own / "source", own / "out", case.name, metadata=True, renditions=True)
                    waiting.append((case, own, pool.submit(task)))
                    while len(waiting) > 4 * pool.count:
                        self._wait(*waiting.popleft())
                    if time.monotonic() > deadline:
                        break
                while waiting:
                    self._wait(*waiting.popleft())
        finally:
            library.close()

    def _wait(self, case: Case, own: Path, future: Future[MediaResult]) -> None:
        error = None
        try:
            # Four files may be queued before it in each process.
            result = future.result(timeout=6 * TIMEOUT_S)
        except ContentError as caught:
            error = caught
        except TimeoutError:
            raise click.ClickException(
                f"Case {case.number} ({case.recipe}) hangs beyond the time limit of the pool. Repeat it with --start."
            ) from None
        except Exception as caught:
            self.found.failures.append(f"case {case.number} ({case.recipe}): {type(caught).__name__}: {caught}")
        else:
            missing = [one.file_name for one in result.renditions if not (own / "out" / one.file_name).is_file()]
            if missing or not result.renditions or result.metadata is None:
                self.found.failures.append(
                    f"case {case.number} ({case.recipe}): accepted without {missing or 'output'}"
                )
        self._note(case, error)
        shutil.rmtree(own)

    # ------------------------------------------------------------ through ingest

    def through_ingest(self, count: int) -> None:
        """Run ``count`` cases as an inbox through the whole pipeline into a library, and look at the library."""
        folder = self.work / "ingest"
        cases: dict[str, Case] = {}
        (folder / "inbox").mkdir(parents=True)
        for case in self._cases(count):
            cases[case.name] = case
            (folder / "inbox" / case.name).write_bytes(case.data)
        library = Library(self._settings(folder))
        try:
            outcomes = list(ingest(library))
            self._judge(library, cases, outcomes)
        finally:
            library.close()
            shutil.rmtree(folder)

    def _judge(self, library: Library, cases: dict[str, Case], outcomes: list[FileOutcome]) -> None:
        sound = {outcome.sha256 for outcome in outcomes if outcome.state == "materialized"}
        seen = set()
        for outcome in outcomes:
            case = cases[outcome.entry.source_key]
            seen.add(case.name)
            self.found.ingested += 1
            problem = _problem(library, outcome, sound)
            if problem is not None:
                self.found.failures.append(f"case {case.number} ({case.recipe}): {problem}")
            self._note(case, outcome.error)
        if seen != set(cases):
            self.found.failures.append(f"files without an outcome: {sorted(set(cases) - seen)[:5]}")
        left = [path.name for path in library.store.scratch_dir().iterdir()]
        if left:
            self.found.failures.append(f"spool folders were left behind: {left[:3]}")


def _problem(library: Library, outcome: FileOutcome, sound: set[str | None]) -> str | None:
    """Return what is wrong with what the library holds of one file."""
    root = library.settings.library_root
    if outcome.error is not None and outcome.error.reason == ReasonCode.EMPTY_FILE:
        return None  # there is nothing to read and nothing to keep
    if outcome.sha256 is None:
        return f"{outcome.state}, and its bytes were never read: {outcome.message}"
    renditions = root / "renditions" / outcome.sha256[:2] / outcome.sha256
    if outcome.state == "materialized":
        if outcome.original_key is None or not (root / outcome.original_key).is_file():
            return "materialized without its original"
        return None if renditions.is_dir() and any(renditions.iterdir()) else "materialized without renditions"
    if outcome.state != "rejected" or outcome.error is None or not outcome.error.message:
        return f"{outcome.state} without a reason: {outcome.message}"
    if renditions.exists() and outcome.sha256 not in sound:
        return "rejected, but its renditions are in the library"
    if outcome.quarantine_key is None or not (root / outcome.quarantine_key).is_file():
        return "rejected, but its bytes are not in quarantine"
    return None


def ingest(library: Library) -> Iterator[FileOutcome]:
    """Run everything that waits in the inbox of ``library`` through the pipeline, without Dagster."""
    inbox = library.inbox(settle_s=0.0)
    sweep(library.ledger, inbox, page_size=1000, max_pages=None, take_over=False)
    settings = library.settings
    batches = plan_batches(
        library.ledger, inbox.url, dict, max_files=settings.batch_max_files, max_bytes=settings.batch_max_bytes
    )
    for batch in batches:
        run = RunIdentity(batch.batch_id, batch.batch_id, batch.batch_id)
        members = [entry.media_id for entry in library.ledger.batch_members(batch.batch_id)]
        work = select_work(library.ledger, members, INGEST_ASSETS, run).items
        for chunk in run_work(library, work, run):
            yield from chunk.outcomes


# ---------------------------------------------------------------- the command


def _seeds() -> list[Seed]:
    corpus = SHARED / "corpus"
    if (corpus / "MANIFEST.jsonl").is_file():
        seeds = corpus_seeds(corpus)
        click.echo(f"{len(seeds)} seed files of the shared corpus")
        return seeds
    seeds = made_seeds()
    click.echo(f"{len(seeds)} seed files made in code and of installed packages (no corpus at {corpus})")
    return seeds


@contextmanager
def _working_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        yield Path(folder).resolve()


def _run(fuzzer: Fuzzer, seconds: float, count: int | None) -> None:
    deadline = time.monotonic() + seconds
    end = None if count is None else fuzzer.next_case + count
    while time.monotonic() < deadline and (end is None or fuzzer.next_case < end):
        fuzzer.through_pool(_POOL_CASES if end is None else min(_POOL_CASES, end - fuzzer.next_case), deadline)
        if time.monotonic() < deadline:
            left = _INGEST_CASES if end is None else min(_INGEST_CASES, end - fuzzer.next_case)
            if left > 0:
                fuzzer.through_ingest(left)
        click.echo(f"{fuzzer.found.files} files, next case {fuzzer.next_case}", err=True)


def _report(found: Findings, memory: MemoryWatch, limit_bytes: int, seconds: float, as_json: bool) -> None:
    if memory.growth > MAX_OWN_GROWTH_BYTES:
        found.failures.append(f"the run's own process grew by {memory.growth / 2**20:.0f} MiB")
    if memory.worker_peak > limit_bytes:
        found.failures.append(f"a decoder process took {memory.worker_peak / 2**20:.0f} MiB")
    summary = {
        "files": found.files,
        "through_ingest": found.ingested,
        "files_per_s": round(found.files / seconds, 1),
        "seconds": round(seconds),
        "outcomes": dict(found.reasons.most_common()),
        "own_rss_start_mib": memory.start >> 20,
        "own_rss_peak_mib": memory.own_peak >> 20,
        "decoder_rss_peak_mib": memory.worker_peak >> 20,
        "machine_limits_hit": len(found.machine),
        "failures": len(found.failures),
    }
    click.echo(json.dumps(summary if not as_json else summary | {"listed": found.machine + found.failures}, indent=2))
    if not as_json:
        for title, lines in (("killed by a limit or a crash", found.machine), ("FAILURES", found.failures)):
            if lines:
                click.echo(f"=== {title}: {len(lines)}")
                for line in lines:
                    click.echo(f"  {line}")


@click.command()
@click.option("--minutes", type=float, help="How long.  [default: 1 without --count]")
@click.option("--seconds", type=float, help="How long, in seconds.")
@click.option("--count", type=click.IntRange(1), help="Number of files, instead of a time.")
@click.option("--seed", type=int, help="Seed number of a run to repeat.  [default: by chance]")
@click.option("--start", default=0, show_default=True, help="Number of the first case.")
@click.option("--workers", type=click.IntRange(1), help="Decoder processes.  [default: one per core]")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep listed files in this folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON only.")
@click.option("--reproduce", type=click.Path(exists=True, path_type=Path), help="Only: extract this file, say why.")
def main(
    minutes: float | None,
    seconds: float | None,
    count: int | None,
    seed: int | None,
    start: int,
    workers: int | None,
    keep: Path | None,
    as_json: bool,
    reproduce: Path | None,
) -> None:
    """Feed mutated files to decoder processes and to the whole pipeline; exit status 1 when a promise is broken."""
    if reproduce is not None:
        _reproduce(reproduce)
        return
    duration = seconds or (minutes * 60 if minutes else float("inf") if count else 60.0)
    seed = random.SystemRandom().randrange(2**31) if seed is None else seed
    maker = CaseMaker(_seeds(), seed)
    click.echo(f"seed {seed}, first case {start}; repeat a case with --seed {seed} --start NUMBER --count 1")
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with _working_folder() as work, MemoryWatch() as memory:
        fuzzer = Fuzzer(maker, work, start=start, keep=keep, workers=workers)
        _run(fuzzer, duration, count)
    limit = Settings(library="unused").worker_memory_bytes
    _report(fuzzer.found, memory, limit, time.monotonic() - started, as_json)
    if fuzzer.found.failures:
        raise click.ClickException(
            f"{len(fuzzer.found.failures)} promises were broken. Mend what the tracebacks name, and test the cases."
        )


if __name__ == "__main__":
    main()
