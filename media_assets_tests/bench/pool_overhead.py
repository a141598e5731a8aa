"""What the isolation of decoders costs: ``extract`` in plain processes against the worker pool, same files.

``make bench-pool``. Each mode decodes every file once in each process, with all
renditions. CPU time is compared too, because the machine may be shared: of all processes, the run's own included.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
import psutil

from media_assets.media.extract import extract
from media_assets.media.limits import Limits
from media_assets.pipeline.workers import Task, WorkerPool
from media_assets.settings import Settings
from media_assets_tests.bench.bookkeeping import write_pictures
from media_assets_tests.bench.machine import SHARED, describe_machine, medians, rounds

GOAL = 0.05
_MAX_BYTES, _MAX_PIXELS = 4 * 2**20, 13_000_000  # what phones and cameras make; giants would hide the overhead


def _files(folder: Path) -> tuple[list[Path], str]:
    manifest = SHARED / "corpus" / "MANIFEST.jsonl"
    if not manifest.is_file():
        return write_pictures(folder / "pictures", 40, (2000, 1500)), "JPEGs made in code (no corpus)"
    entries = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    sound = [
        SHARED / "corpus" / entry["path"]
        for entry in entries
        if entry["verdict"] == "accept" and entry["path"].startswith("valid/") and entry["bytes"] <= _MAX_BYTES
        if entry["tier"] == "core" and (entry["width"] or 0) * (entry["height"] or 0) <= _MAX_PIXELS
    ]
    return sound, "sound files of the core tier of the shared corpus"


def _decode(path: Path, scratch: Path) -> None:
    extract(path, scratch, file_name=path.name, metadata=True, renditions=True, limits=Limits())


def _plain_child(listing: Path) -> None:
    """Wait for a line, then decode every file of ``listing``; say the CPU time of that."""
    files = [Path(line) for line in listing.read_text("utf-8").split("\0")]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        _decode(files[0], scratch)  # loads the codecs
        print("ready", flush=True)
        sys.stdin.readline()
        before = resource.getrusage(resource.RUSAGE_SELF)
        for number, path in enumerate(files):
            own = scratch / str(number)
            own.mkdir()
            _decode(path, own)
            shutil.rmtree(own)
        after = resource.getrusage(resource.RUSAGE_SELF)
        print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, flush=True)


@dataclass
class _Bench:
    """Both modes over the same files; ``cpu_s`` collects CPU time beside the wall time that they return."""

    files: list[Path]
    folder: Path
    processes: int

    def __post_init__(self) -> None:
        self.cpu_s: dict[str, list[float]] = {"plain": [], "pool": []}
        self.listing = self.folder / "listing"
        self.listing.write_text("\0".join(map(str, self.files)), "utf-8")
        settings = Settings(library="unused")
        self.pool = WorkerPool(
            self.processes,
            memory_bytes=settings.worker_memory_bytes,
            timeout_s=settings.worker_timeout_s,
            max_tasks=10**9,
            limits=settings.limits,
        )

    def plain(self) -> float:
        """``extract`` in a loop in plain processes, environment as in the pool."""
        command = [sys.executable, "-m", "media_assets_tests.bench.pool_overhead", "--plain-child", str(self.listing)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        children = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
            for _ in range(self.processes)
        ]
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        started = time.perf_counter()
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        cpu = [float((child.stdout.readline() if child.stdout else "") or "nan") for child in children]
        spent = time.perf_counter() - started
        for child in children:
            child.communicate()
        self.cpu_s["plain"].append(sum(cpu))
        return spent

    def through_pool(self) -> float:
        """The same through the pool, with a scratch folder for each file."""
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        before, started = _cpu(), time.perf_counter()
        waiting = []
        for number, path in enumerate(self.files * self.processes):
            own = scratch / str(number)
            own.mkdir()
            waiting.append((own, self.pool.submit(Task(path, own, path.name, metadata=True, renditions=True))))
        for own, future in waiting:
            future.result()
            shutil.rmtree(own)
        spent = time.perf_counter() - started
        self.cpu_s["pool"].append(_cpu() - before)
        return spent


def _cpu() -> float:
    """CPU time of this process, of the decoders that live and of those that have ended."""
    own = psutil.Process()
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    alive = sum(sum(process.cpu_times()[:2]) for process in (own, *own.children(recursive=True)))
    return alive + ended.ru_utime + ended.ru_stime


def _start_s() -> float:
    """Seconds from nothing to the first answer of a decoder process."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_pictures(Path(folder), 1, (64, 48))[0]
        started = time.perf_counter()
        with WorkerPool(1, memory_bytes=4 * 2**30, timeout_s=60, max_tasks=1, limits=Limits()) as pool:
            pool.submit(Task(path, Path(folder), path.name, metadata=True, renditions=True)).result()
            return time.perf_counter() - started


@click.command()
@click.option("--rounds", "count", default=5, show_default=True, type=click.IntRange(3), help="Alternating rounds.")
@click.option("--processes", type=click.IntRange(1), help="Processes of each mode.  [default: one per core]")
@click.option("--plain-child", type=click.Path(path_type=Path), hidden=True)
def main(count: int, processes: int | None, plain_child: Path | None) -> None:
    """Compare the worker pool with plain processes that run the same decoders."""
    if plain_child is not None:
        _plain_child(plain_child)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files, what = _files(folder)
        bench = _Bench(files, folder, processes or Settings(library="unused").worker_count)
        with bench.pool:
            _warm(bench)
            said = rounds({"plain processes": bench.plain, "worker pool": bench.through_pool}, count)
    wall, cpu = medians(said), medians(bench.cpu_s)
    cost = wall["worker pool"] / wall["plain processes"] - 1, cpu["pool"] / cpu["plain"] - 1
    done = len(files) * bench.processes
    start = _start_s()
    per_file = wall["worker pool"] * bench.processes / done
    recycling = start / (Settings(library="unused").worker_max_tasks * per_file)
    click.echo(describe_machine(("Pillow", "av", "pydantic")))
    click.echo(f"{len(files)} {what}, in each of {bench.processes} processes; medians of {count} alternating rounds.")
    click.echo(f"{'mode':<18}{'wall s':>9}{'CPU s':>9}{'files/s':>9}")
    for name, key in (("plain processes", "plain"), ("worker pool", "pool")):
        click.echo(f"{name:<18}{wall[name]:>9.2f}{cpu[key]:>9.2f}{done / wall[name]:>9.1f}")
    click.echo(f"The pool costs {cost[0]:+.1%} of wall time and {cost[1]:+.1%} of CPU time (goal: below {GOAL:.0%}).")
    often = Settings(library="unused").worker_max_tasks
    click.echo(f"A decoder process starts in {start:.2f} s; once in {often} files that is {recycling:+.2%}.")
    if cost[1] + recycling > GOAL:
        raise click.ClickException("The pool costs more than the goal. Profile the answers and the start of workers.")


def _warm(bench: _Bench) -> None:
    """Start every process of the pool."""
    bench.through_pool()
    bench.cpu_s["pool"].clear()


if __name__ == "__main__":
    main()
