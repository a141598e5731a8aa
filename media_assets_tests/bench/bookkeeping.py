"""What Dagster's bookkeeping costs for each file: ranged runs of the product against one run per file.

``python -m media_assets_tests.bench.bookkeeping``. Bookkeeping is all CPU time that is not the pipeline itself: daemon,
code server, run workers and their start, events, partitions. Wall time is not compared: the machine may be shared.

How it is measured, per round and interleaved:

* media work: ``run_work`` on all files in a fresh process that never imports Dagster; CPU of that process and of its
  decoders, from the first file to the last, without the start of Python.
* through Dagster: a real :class:`Service` (daemon, code server, inbox sensor, SQLite) on an empty library. When it is
  idle, all files appear in the inbox at once. Counted is the CPU time of the whole tree of processes, those that have
  ended included, until the last run has ended. The start of the service is not counted, its idle ticks meanwhile are.
  The catalog sensor is stopped, because compactions come by the clock and not by the file.

Ranged runs are batches as the product makes them by default; one run per file is the same product with batches of 1.
"""

import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil
from PIL import Image

from media_assets.pipeline.assets import INGEST_ASSETS
from media_assets.pipeline.batch import run_work
from media_assets.pipeline.intake import plan_batches, sweep
from media_assets.pipeline.library import Library
from media_assets.pipeline.selection import RunIdentity, select_work
from media_assets.service import LOCATION_NAME, Service
from media_assets.settings import Settings
from media_assets_tests.bench.machine import cpu_model

PICTURE_SIZE = (640, 480)
TARGET_RATIO = 20.0
_PACKAGES = ("dagster", "Pillow", "SQLAlchemy", "pyarrow")
_RUN_TIMEOUT_S = 900.0
_POLL_S = 0.25


def write_pictures(folder: Path, count: int, size: tuple[int, int] = PICTURE_SIZE) -> list[Path]:
    """Write ``count`` different JPEGs that decode and compress like photos, the same bytes at each call.

    Args:
        folder: Created when it is missing.
        count: Number of files, named ``IMG_0000.jpg`` and so on.
        size: Width and height in pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    width, height = size
    grain = np.random.default_rng(0).integers(-6, 7, size=(height, width, 1), dtype=np.int16)
    paths = []
    for number in range(count):
        shapes = np.random.default_rng(number + 1).integers(0, 256, size=(9, 12, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(shapes).resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
        picture = Image.fromarray(np.clip(smooth + np.roll(grain, number * 31, axis=1), 0, 255).astype(np.uint8))
        paths.append(folder / f"IMG_{number:04d}.jpg")
        picture.save(paths[-1], "JPEG", quality=88)
    return paths


@dataclass(frozen=True)
class Measurement:
    """CPU time of one mode in one round."""

    files: int
    runs: int
    cpu_s: float

    @property
    def cpu_ms_per_file(self) -> float:
        """CPU milliseconds for each file."""
        return 1000 * self.cpu_s / self.files


# ---------------------------------------------------------------- media work, without Dagster


def _cpu_of_self_and_children() -> float:
    used = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _bare(inbox: Path, work: Path) -> Measurement:
    """The pipeline alone, in this process."""
    library = Library(Settings.load(library=str(work / "library"), inbox=str(inbox), state=str(work / "state")))
    opened = library.inbox(settle_s=0.0)
    sweep(library.ledger, opened, page_size=1000, max_pages=None, take_over=False)
    batches = plan_batches(
        library.ledger,
        opened.url,
        dict,
        max_files=library.settings.batch_max_files,
        max_bytes=library.settings.batch_max_bytes,
    )
    done = 0
    before = _cpu_of_self_and_children()
    for batch in batches:
        run = RunIdentity(batch.batch_id, batch.batch_id, batch.batch_id)
        members = [entry.media_id for entry in library.ledger.batch_members(batch.batch_id)]
        for chunk in run_work(library, select_work(library.ledger, members, INGEST_ASSETS, run).items, run):
            done += sum(outcome.state == "materialized" for outcome in chunk.outcomes)
    used = _cpu_of_self_and_children() - before
    library.close()
    if "dagster" in sys.modules:
        raise click.ClickException("The bare pipeline imported Dagster. Run again after removing that import.")
    return Measurement(done, len(batches), used)


def _bare_in_child(inbox: Path, work: Path) -> Measurement:
    command = [sys.executable, "-m", "media_assets_tests.bench.bookkeeping", "--bare", str(inbox), str(work)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    if child.returncode != 0:
        raise click.ClickException(f"The bare pipeline failed:\n{child.stderr[-2000:]}")
    return Measurement(**json.loads(child.stdout))


# ---------------------------------------------------------------- the product


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the processes that are started meanwhile; a Dagster home of the caller is hidden."""
    before = dict(os.environ)
    os.environ.pop("DAGSTER_HOME", None)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _tree_cpu_s() -> float:
    """CPU seconds of all children of this process, of theirs, and of those that these have waited for."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # its time has just moved to its parent, or it is none of the service
        total += sum(times[:4])  # user, system, and both of the children that were waited for
    return total


def _run_worker_count() -> int:
    """Living grandchildren: run workers and their decoders. The code server and the daemon are children."""
    direct = {process.pid for process in psutil.Process().children()}
    below = psutil.Process().children(recursive=True)
    return sum(p.pid not in direct and "multiprocessing.resource_tracker" not in " ".join(_cmdline(p)) for p in below)


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _stop_catalog_sensor(settings: Settings, home: Path) -> None:
    workspace = settings.state_dir / "workspace.yaml"
    command = [sys.executable, "-m", "dagster", "sensor", "stop", "catalog_sensor"]
    stopped = subprocess.run(
        [*command, "-w", str(workspace), "-l", LOCATION_NAME],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DAGSTER_HOME": str(home)},
    )
    if stopped.returncode != 0:
        raise click.ClickException(f"The catalog sensor could not be stopped:\n{stopped.stdout}{stopped.stderr}")


def _wait_idle(library: Library, service: Service) -> None:
    """Wait until the inbox sensor has looked at the empty inbox once."""

    def looked() -> bool:
        status = library.ledger.sweep_status(library.inbox().url)
        return status is not None and status.completed_at is not None

    _wait(service, looked, "the first tick of the sensor")


def _wait(service: Service, ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _RUN_TIMEOUT_S
    while not ready():
        service.check()
        if time.monotonic() > deadline:
            raise click.ClickException(f"Waited {_RUN_TIMEOUT_S:.0f} s for {what}. See {service.log_dir}.")
        time.sleep(_POLL_S)


def _through_dagster(inbox: Path, work: Path, batch_max_files: int | None) -> Measurement:
    """Files through the real service; ``None`` leaves the size of a batch at the product's default."""
    chosen = {} if batch_max_files is None else {"MEDIA_ASSETS_BATCH_MAX_FILES": str(batch_max_files)}
    count = sum(1 for _ in inbox.rglob("*.jpg"))
    staged = work / "staged"
    shutil.copytree(inbox, staged)
    # Copies that have settled appear all at once by the renaming below: one listing sees all of them.
    with _environment(chosen | {"MEDIA_ASSETS_INBOX_SETTLE_S": "0"}):
        settings = Settings.load(library=str(work / "library"))
        library = Library(settings)
        library.ensure_inbox()
        with Service(settings) as service:
            _wait_idle(library, service)
            _stop_catalog_sensor(settings, service.home)
            before = _tree_cpu_s()
            staged.rename(Path(settings.inbox_url) / "camera")
            _wait(
                service,
                lambda: library.ledger.counts() == {"accepted": count} and not library.ledger.unfinished(1),
                f"{count} files",
            )
            # The run has still to report its success after its files are recorded.
            _wait(service, lambda: _run_worker_count() == 0, "the last run worker")
            used = _tree_cpu_s() - before
        runs = sum(library.ledger.batch_counts().values())
        library.close()
    return Measurement(count, runs, used)


# ---------------------------------------------------------------- command


def _round(files: int, singles: int) -> dict[str, Measurement]:
    with tempfile.TemporaryDirectory(prefix="bookkeeping-") as folder:
        work = Path(folder)
        write_pictures(work / "many", files)
        write_pictures(work / "few", singles)
        for name in ("bare", "ranged", "single"):
            (work / name).mkdir()
        return {
            "media work": _bare_in_child(work / "many", work / "bare"),
            "ranged runs": _through_dagster(work / "many", work / "ranged", None),
            "one run per file": _through_dagster(work / "few", work / "single", 1),
        }


def _summary(rounds: list[dict[str, Measurement]]) -> dict[str, Any]:
    def median(mode: str, of: Callable[[Measurement], float]) -> float:
        return statistics.median(of(one[mode]) for one in rounds)

    media_ms = median("media work", lambda m: m.cpu_ms_per_file)
    modes: dict[str, dict[str, Any]] = {}
    for mode in rounds[0]:
        per_file = median(mode, lambda m: m.cpu_ms_per_file)
        modes[mode] = {
            "files": rounds[0][mode].files,
            "runs": rounds[0][mode].runs,
            "cpu_s": round(median(mode, lambda m: m.cpu_s), 2),
            "cpu_ms_per_file": round(per_file, 1),
            "bookkeeping_ms_per_file": None if mode == "media work" else round(per_file - media_ms, 1),
        }
    single, ranged = (modes[name]["bookkeeping_ms_per_file"] for name in ("one run per file", "ranged runs"))
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} CPUs, {cpu_model()}, {platform.system()} {platform.release()}",
        "load_1_min": round(os.getloadavg()[0], 1),
        "versions": {"Python": platform.python_version()} | {name: metadata.version(name) for name in _PACKAGES},
        "rounds": len(rounds),
        "picture_px": list(PICTURE_SIZE),
        "modes": modes,
        "ratio": round(single / ranged, 1) if ranged > 0 else None,
        "target_ratio": TARGET_RATIO,
        "each_round_cpu_ms_per_file": {m: [round(one[m].cpu_ms_per_file, 1) for one in rounds] for m in rounds[0]},
    }


def _print(summary: dict[str, Any]) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    click.echo(f"{summary['machine']}; load {summary['load_1_min']}; {versions}")
    click.echo(
        f"JPEGs of {' x '.join(map(str, summary['picture_px']))} px; medians of {summary['rounds']} interleaved "
        "rounds; CPU time of all processes."
    )
    click.echo(f"{'mode':<18}{'files':>6}{'runs':>6}{'CPU s':>9}{'CPU ms/file':>13}{'bookkeeping ms/file':>21}")
    for mode, one in summary["modes"].items():
        bookkeeping = "-" if one["bookkeeping_ms_per_file"] is None else f"{one['bookkeeping_ms_per_file']:.1f}"
        click.echo(
            f"{mode:<18}{one['files']:>6}{one['runs']:>6}{one['cpu_s']:>9.2f}{one['cpu_ms_per_file']:>13.1f}"
            f"{bookkeeping:>21}"
        )
    click.echo(f"One run per file costs {summary['ratio']} times as much bookkeeping (target: {TARGET_RATIO:.0f}).")


@click.command()
@click.option("--files", default=300, show_default=True, type=click.IntRange(1), help="Files through ranged runs.")
@click.option("--singles", default=10, show_default=True, type=click.IntRange(1), help="Files with a run of their own.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Interleaved rounds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--bare", nargs=2, type=click.Path(path_type=Path), hidden=True)
def main(files: int, singles: int, rounds: int, as_json: bool, bare: tuple[Path, Path] | None) -> None:
    """Measure CPU time per file outside the media work, of ranged runs and of one run per file."""
    if bare is not None:
        click.echo(json.dumps(_bare(*bare).__dict__))
        return
    measured = []
    for number in range(1, rounds + 1):
        measured.append(_round(files, singles))
        spent = ", ".join(f"{mode} {one.cpu_ms_per_file:.0f}" for mode, one in measured[-1].items())
        click.echo(f"round {number} of {rounds}: CPU ms/file: {spent}", err=True)
    summary = _summary(measured)
    if as_json:
        click.echo(json.dumps(summary, indent=2))
    else:
        _print(summary)


if __name__ == "__main__":
    main()
