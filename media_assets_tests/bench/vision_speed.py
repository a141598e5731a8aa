"""How fast pictures are analysed, against bare models in a loop: ``python -m media_assets_tests.bench.vision_speed``.

Ranged runs through Dagster, in this process, on a library that is ingested before. What a run costs once (start of the
run, of the processes, loading of models) is told apart from what each picture costs by two runs of different length.
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import psutil

from media_assets.instance import prepare_home
from media_assets.pipeline.analysis_recipe import places_of, vision_recipe_of
from media_assets.pipeline.assets import ANALYZE_ASSETS
from media_assets.pipeline.library import Library
from media_assets.settings import Settings
from media_assets_tests.bench.machine import SHARED, describe_machine
from media_assets_tests.bench.peers.model_loop import loop_by_hand
from media_assets_tests.bench.photo_corpus import photos

GOAL_RATIO = 0.9
GOAL_BYTES = 1.2e9
_FEW = 16


class _Peak:
    """The largest memory that any process that runs models ever held."""

    def __init__(self) -> None:
        self.bytes = 0
        self._stop = threading.Event()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.1):
            for child in me.children(recursive=True):
                try:
                    if "pipeline.analyst" in " ".join(child.cmdline()):
                        self.bytes = max(self.bytes, _high_water(child.pid))
                except (psutil.Error, OSError):
                    continue

    @contextmanager
    def watching(self) -> Iterator["_Peak"]:
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()


def _high_water(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _previews(library: Library, media_ids: Sequence[str]) -> list[Path]:
    found = library.ledger.previews(media_ids)
    paths = [library.store.local_path(found[one].preview_key) for one in media_ids]
    return [path for path in paths if path is not None]


@click.command()
@click.option("--pictures", type=click.Path(path_type=Path), help="Folder with JPEGs.  [default: shared/vision]")
@click.option("--count", default=160, show_default=True, type=click.IntRange(64), help="Pictures of the long run.")
@click.option("--asset", "only", multiple=True, type=click.Choice(ANALYZE_ASSETS), help="Only these assets.")
def main(pictures: Path | None, count: int, only: Sequence[str]) -> None:
    """Print pictures per second for each asset and for all, the ratio to the loop, and the peak memory."""
    source = pictures or SHARED / "vision"
    missed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bench-vision-") as temporary:
        work = Path(temporary)
        inbox = work / "inbox"
        inbox.mkdir()
        found = sorted(path for path in source.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))[:count]
        if len(found) < count:
            click.echo(f"{source} has {len(found)} JPEGs; using made photos of 12 megapixels instead.")
            found, _ = photos(None, count, work / "photos", Path(tempfile.gettempdir()) / "media_assets-bench-photos")
        for number, path in enumerate(found):
            (inbox / f"{number:04d}.jpg").write_bytes(path.read_bytes())
        settings = Settings(
            library=str(work / "library"), inbox=str(inbox), inbox_settle_s=0.0, recognition_owners=("*",)
        )
        os.environ["DAGSTER_HOME"] = str(prepare_home(settings))
        os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
        library = Library(settings)
        missed = _measure(library, settings, only)
        library.close()
    if missed:
        raise click.ClickException(f"{len(missed)} goals are missed: {'; '.join(missed)}")


def _ingest(library: Library, settings: Settings) -> list[str]:
    from media_assets.defs.headless import HeadlessRunner
    from media_assets.pipeline.intake import plan_batches, sweep

    inbox = library.inbox()
    runner = HeadlessRunner(library)
    sweep(library.ledger, inbox, page_size=1000, max_pages=None, take_over=False)
    for batch in plan_batches(library.ledger, inbox.url, runner.positions, max_files=10_000, max_bytes=2**40):
        message = runner.run_batch(batch, library.ledger.pending_members(batch.batch_id), ["original", "thumbnails"])
        if message is not None:
            raise click.ClickException(message)
    return sorted(runner.positions(), key=lambda one: runner.positions()[one])


def _measure(library: Library, settings: Settings, only: Sequence[str]) -> list[str]:
    from media_assets.defs.headless import HeadlessRunner

    media_ids = [one for one in _ingest(library, settings) if one in library.ledger.previews([one])]
    runner, missed = HeadlessRunner(library), list[str]()
    recipe, places = vision_recipe_of(settings), places_of(settings)
    paths, processes = _previews(library, media_ids), settings.analysis_worker_count
    click.echo(f"{len(paths)} previews, {processes} processes; {describe_machine(['onnxruntime', 'dagster'])}")

    def run(assets: Sequence[str], count: int) -> float:
        started = time.monotonic()
        message = runner.run_range(media_ids[0], media_ids[count - 1], assets)
        if message is not None:
            raise click.ClickException(message)
        return time.monotonic() - started

    def by_hand(assets: Sequence[str]) -> float:
        return loop_by_hand(paths, assets, recipe, places, processes)

    peak, everything = _Peak(), list(only or ANALYZE_ASSETS)
    with peak.watching():
        for assets in (*([asset] for asset in everything), everything):
            name = assets[0] if len(assets) == 1 else "all"
            if not _is_fast_enough(name, run(assets, _FEW), run(assets, len(paths)), by_hand(assets), len(paths)):
                missed.append(name)
    met = peak.bytes <= GOAL_BYTES
    click.echo(
        f"{'ok    ' if met else 'MISSED'}  peak memory of a process with these models: {peak.bytes / 1e6:.0f} MB "
        f"(goal {GOAL_BYTES / 1e6:.0f})"
    )
    return missed if met else [*missed, "memory"]


def _is_fast_enough(name: str, few_s: float, many_s: float, by_hand_s: float, count: int) -> bool:
    """Print one line; all times in seconds, of a run over few pictures, of one over all, and of the loop over all."""
    each = (many_s - few_s) / (count - _FEW)
    ratio = by_hand_s / count / each
    met = ratio >= GOAL_RATIO
    click.echo(
        f"{'ok    ' if met else 'MISSED'}  {name:10} {1 / each:6.1f} pictures/s, by hand {count / by_hand_s:6.1f}: "
        f"ratio {ratio:.2f} (goal {GOAL_RATIO}); a run costs {max(0.0, few_s - _FEW * each):.1f} s once"
    )
    return met


if __name__ == "__main__":
    main()
