"""How long a new file takes to its thumbnails while a backfill runs, and on an idle service.

``python -m media_assets_tests.bench.arrival_latency``. A real :class:`Service` (code server, daemon, SQLite) on a local
library. Latency is the time from the moment a file is complete in the inbox until Dagster has the materialization event
of its ``thumbnails`` (which is written after objects and rows). First on the idle service, then while a backfill of
``thumbnails`` over all other files runs; files that arrive after the backfill has ended are not counted.
"""

import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from media_assets.pipeline.assets import THUMBNAILS
from media_assets.pipeline.library import Library
from media_assets.service import Service
from media_assets.settings import Settings
from media_assets.storage import keys
from media_assets_tests.bench.bookkeeping import write_pictures
from media_assets_tests.bench.machine import describe_machine

BOUND_S = 60.0
_SIZE = (320, 240)
_INGEST_TIMEOUT_S = 3600.0
_POLL_S = 0.5
_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


class _Bench:
    """One library with its running service."""

    def __init__(self, service: Service, instance: dg.DagsterInstance, library: Library, fresh: Sequence[Path]) -> None:
        self.instance = instance
        self._service, self._library = service, library
        self._fresh = list(fresh)
        self._inbox = Path(service.settings.inbox_url)
        self._dropped = 0

    def wait(self, what: str, ready: Callable[[], bool], timeout_s: float) -> float:
        """Return the seconds until ``ready``."""
        started = said = time.monotonic()
        while not ready():
            self._service.check()
            now = time.monotonic()
            if now - started > timeout_s:
                raise click.ClickException(f"not within {timeout_s:.0f} s: {what}")
            if now - said > 30:
                said = now
                click.echo(f"  waiting for {what}: {now - started:.0f} s", err=True)
            time.sleep(_POLL_S)
        return time.monotonic() - started

    def accepted(self) -> int:
        """Files that the ledger has as done."""
        return self._library.ledger.counts().get("accepted", 0)

    def is_idle(self) -> bool:
        """No run goes on and none waits."""
        return not self.instance.get_run_records(dg.RunsFilter(statuses=_UNFINISHED), limit=1)

    def drop(self) -> float:
        """Move one new file into the inbox; return the seconds until its thumbnails are materialized."""
        name = f"new/dropped_{self._dropped:03d}.jpg"
        self._dropped += 1
        (self._inbox / "new").mkdir(exist_ok=True)
        self._fresh.pop().rename(self._inbox / name)
        filter_ = dg.AssetRecordsFilter(dg.AssetKey(THUMBNAILS), asset_partitions=[keys.media_id(name)])
        return self.wait(
            f"the thumbnails of {name}",
            lambda: bool(self.instance.fetch_materializations(filter_, limit=1).records),
            600,
        )

    def start_backfill(self, partitions: Sequence[str]) -> str:
        """Ask the daemon for the thumbnails of all files once more; return the id of the backfill."""
        from media_assets.definitions import defs

        backfill = PartitionBackfill.from_asset_partitions(
            backfill_id=uuid.uuid4().hex[:8],
            asset_graph=defs.get_repository_def().asset_graph,
            partition_names=partitions,
            asset_selection=[dg.AssetKey(THUMBNAILS)],
            backfill_timestamp=time.time(),
            tags={},
            dynamic_partitions_store=self.instance,
            all_partitions=False,
            title=None,
            description=None,
            run_config=None,
        )
        self.instance.add_backfill(backfill)
        return backfill.backfill_id

    def backfill_runs(self, backfill_id: str) -> list[str]:
        """Status of its runs."""
        records = self.instance.get_run_records(dg.RunsFilter(tags={"dagster/backfill": backfill_id}))
        return [record.dagster_run.status.value for record in records]

    def backfill_goes_on(self, backfill_id: str) -> bool:
        """Whether it still has something to do."""
        found = self.instance.get_backfill(backfill_id)
        return found is not None and found.status == BulkActionStatus.REQUESTED


def _summary(name: str, latencies: Sequence[float]) -> str:
    shown = ", ".join(f"{one:.1f}" for one in latencies)
    return f"{name}: {shown} s; p50 {statistics.median(latencies):.1f} s, max {max(latencies):.1f} s"


def _measure(bench: _Bench, files: int, drops: int, every_s: float) -> bool:
    took = bench.wait(f"{files} files", lambda: bench.accepted() >= files, _INGEST_TIMEOUT_S)
    click.echo(f"{files} files ingested in {took:.0f} s")
    bench.wait("the service to be idle", bench.is_idle, 600)
    idle = []
    for _ in range(drops):
        time.sleep(every_s / 3)
        idle.append(bench.drop())
    click.echo(_summary("idle service", idle))
    bench.wait("the service to be idle", bench.is_idle, 600)
    partitions = sorted(bench.instance.get_materialized_partitions(dg.AssetKey(THUMBNAILS)))
    backfill_id = bench.start_backfill(partitions)
    bench.wait("the first run of the backfill", lambda: "STARTED" in bench.backfill_runs(backfill_id), 300)
    busy: list[float] = []
    for _ in range(drops):
        time.sleep(every_s)
        if not bench.backfill_goes_on(backfill_id):
            break
        latency = bench.drop()
        if bench.backfill_goes_on(backfill_id):
            busy.append(latency)
    if not busy:
        raise click.ClickException("The backfill ended before a file had arrived: use more --files.")
    click.echo(_summary(f"while a backfill of {len(partitions)} files runs", busy))
    if len(busy) < drops:
        click.echo(f"{drops - len(busy)} of {drops} drops came when the backfill was over; they are not counted.")
    return max(busy) <= BOUND_S


@click.command()
@click.option("--files", default=5000, show_default=True, type=click.IntRange(min=1), help="Files of the backfill.")
@click.option("--drops", default=5, show_default=True, type=click.IntRange(min=1), help="New files in each part.")
@click.option("--every", "every_s", default=15.0, show_default=True, help="Seconds between two new files.")
def main(files: int, drops: int, every_s: float) -> None:
    """Measure it; exit status 1 when the slowest file took more than a minute while the backfill ran."""
    click.echo(describe_machine(("dagster", "Pillow")))
    with tempfile.TemporaryDirectory(prefix="arrival-") as work:
        folder = Path(work).resolve()
        for name in [name for name in os.environ if name.startswith(("MEDIA_ASSETS_", "DAGSTER_"))]:
            del os.environ[name]
        os.environ |= {
            "MEDIA_ASSETS_LIBRARY": str(folder / "library"),
            "MEDIA_ASSETS_ANALYZE": "false",
            "DAGSTER_DISABLE_TELEMETRY": "yes",
        }
        settings = Settings.load()
        library = Library(settings)
        library.ensure_inbox()
        pictures = write_pictures(folder / "pictures", files + 2 * drops, _SIZE)
        owner = Path(settings.inbox_url) / "old"
        owner.mkdir(parents=True)
        for picture in pictures[:files]:
            picture.rename(owner / picture.name)
        try:
            with Service(settings) as service:
                os.environ["DAGSTER_HOME"] = str(service.home)
                with dg.DagsterInstance.get() as instance:
                    is_quick = _measure(_Bench(service, instance, library, pictures[files:]), files, drops, every_s)
        finally:
            library.close()
    raise SystemExit(0 if is_quick else 1)


if __name__ == "__main__":
    main()
