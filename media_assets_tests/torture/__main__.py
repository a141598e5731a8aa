"""``python -m media_assets_tests.torture``: a storm against the real service, then an account of it from outside.

Exit status 1 when a promise of DESIGN.md section 6 is broken; the folder with everything that happened is kept then.
"""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from media_assets_tests.s3_server import NoServerError, s3_server
from media_assets_tests.torture.account import (
    Account,
    Verdict,
    as_dagster_says,
    no_duplicates,
    nothing_lost,
    nothing_twice,
)
from media_assets_tests.torture.fault_proxy import FaultProxy
from media_assets_tests.torture.product import Product, read_ledger, settings_of, state_disk
from media_assets_tests.torture.storm import Observer, Storm
from media_assets_tests.torture.uploaders import BUCKET, INBOX_PREFIX, Journal, Uploader

UPLOADERS = 4
_ASSETS = ("original", "metadata", "thumbnails", "optimized", "appearance")
_ENDED = ("SUCCESS", "FAILURE", "CANCELED")
# So long must nothing be left to do: each sensor has looked again meanwhile, and started what it still had to start.
_REST_S = 12.0


class DagsterView:
    """What the instance says, asked through its public interface."""

    def __init__(self, state: Path, env: Mapping[str, str]) -> None:
        self._state, self._env = state, env

    @contextlib.contextmanager
    def _instance(self) -> Any:
        import dagster as dg

        before = dict(os.environ)
        os.environ.update({**self._env, "DAGSTER_HOME": str(self._state)})
        try:
            with dg.DagsterInstance.get() as instance:
                yield instance
        finally:
            os.environ.clear()
            os.environ.update(before)

    def runs(self) -> dict[str, str]:
        """Run ids to their status."""
        with self._instance() as instance:
            return {run.dagster_run.run_id: run.dagster_run.status.value for run in instance.get_run_records()}

    def green(self) -> dict[str, set[str]]:
        """Materialized partitions of each asset."""
        import dagster as dg

        with self._instance() as instance:
            return {asset: set(instance.get_materialized_partitions(dg.AssetKey(asset))) for asset in _ASSETS}

    def partitions(self) -> set[str]:
        """Keys of all media partitions."""
        from media_assets.defs.partitions import PARTITIONS_NAME

        with self._instance() as instance:
            return set(instance.get_dynamic_partitions(PARTITIONS_NAME))


def _unrest(state: Path, dagster: DagsterView, since: float, sweeps: set[object]) -> str:
    """What the product still has to do; empty when it is at rest."""
    done = read_ledger(state, "SELECT completed_at FROM ma_sweep WHERE completed_at IS NOT NULL")
    sweeps.update(row[0] for row in done)
    if len(sweeps) < 4:  # the first one may have ended before the storm did, the second may have begun before
        return f"{len(sweeps)} sweeps seen to end in {time.monotonic() - since:.0f} s"
    waiting = read_ledger(state, "SELECT count(*) FROM ma_media WHERE state = 'pending'")
    if not waiting or waiting[0][0]:
        return f"{waiting[0][0] if waiting else '?'} uploads wait"
    unfinished = read_ledger(state, "SELECT count(*) FROM ma_batch WHERE state NOT IN ('done')")
    if not unfinished or unfinished[0][0]:
        return f"{unfinished[0][0] if unfinished else '?'} batches are open"
    going = [run for run, status in dagster.runs().items() if status not in _ENDED]
    return f"{len(going)} runs have not ended" if going else ""


def _pending_parts(env: Mapping[str, str]) -> int:
    from media_assets.pipeline.library import Library
    from media_assets.settings import Settings

    names = {name: value for name, value in env.items() if name.startswith("MEDIA_ASSETS_")}
    flags = {name.removeprefix("MEDIA_ASSETS_").lower(): value for name, value in names.items()}
    flags.pop("torture")
    library = Library(Settings.load(**{name: flags[name] for name in flags if name in Settings.model_fields}))
    try:
        return library.pending_parts()
    finally:
        library.close()


def _come_to_rest(product: Product, dagster: DagsterView, limit_s: float) -> str:
    """Wait until there is nothing left to do; return what there still is."""
    since, sweeps, last, said = time.monotonic(), set[object](), "?", 0.0
    rested_since: float | None = None
    while time.monotonic() - since < limit_s:
        product.ensure_running()
        try:
            last = _unrest(product.state, dagster, since, sweeps)
            if not last:
                parts = _pending_parts(product.env)
                last = f"{parts} parts are not in the catalog yet" if parts else ""
        except Exception as error:  # a locked database now is no verdict; asked again
            last = f"{type(error).__name__}: {error}"[:200]
        rested_since = (rested_since or time.monotonic()) if not last else None
        if rested_since is not None and time.monotonic() - rested_since >= _REST_S:
            return ""
        if last and time.monotonic() - said > 15:
            said = time.monotonic()
            click.echo(f"  coming to rest, {said - since:.0f} s: {last}", err=True)
        time.sleep(1.0)
    return last


def _verdicts(
    account: Account, journal: Journal, dagster: DagsterView, observer: Observer, left: str, state: Path
) -> list[Verdict]:
    account.read()
    runs = dagster.runs()
    succeeded = {run for run, status in runs.items() if status == "SUCCESS"}
    twice, repeated = nothing_twice(account, observer.recorded, succeeded)
    rest = Verdict("in progress: not at rest in time, open runs, open batches, uploads that wait")
    rest.need(not left, left)
    for run, status in runs.items():
        rest.need(status in _ENDED, f"run {run} is {status}")
    for batch, batch_state, message in read_ledger(state, "SELECT batch_id, state, message FROM ma_batch"):
        rest.need(batch_state == "done", f"batch {batch} is {batch_state}: {message}")
    click.echo(f"\nRepeated after a kill, before the result counted: {repeated} (no violation)")
    return [
        *nothing_lost(account, journal.present),
        no_duplicates(account),
        twice,
        *as_dagster_says(account, dagster.green(), dagster.partitions()),
        rest,
    ]


def _print_injected(journal: Journal, product: Product, proxy: FaultProxy, storm: Storm, is_small_disk: bool) -> None:
    click.echo("\nInjected")
    for name, count in sorted(journal.counts.items()):
        click.echo(f"  {count:>6}  {name}")
    for name, count in sorted(product.killed.items()):
        click.echo(f"  {count:>6}  kill -9: {name}")
    click.echo(f"  {product.starts:>6}  starts of the service")
    for name, count in sorted(storm.counts.items()):
        hit = proxy.injected.get(name.removeprefix("server: "))
        click.echo(f"  {count:>6}  {name}{f' ({hit} connections or requests hit)' if hit is not None else ''}")
    if not is_small_disk:
        click.echo("       0  disk full: no small file system could be mounted here (needs root)")
    for error in journal.errors[:5]:
        click.echo(f"          refused by the server: {error}")


def _torture(folder: Path, minutes: float, seed: int, backend: str, rest_s: float) -> bool:
    with contextlib.ExitStack() as stack:
        state = folder / "state"
        is_small_disk = stack.enter_context(state_disk(state))
        server = stack.enter_context(s3_server(backend, folder / "server"))
        proxy = stack.enter_context(FaultProxy(server.port, seed))
        client = server.client()
        client.create_bucket(Bucket=BUCKET)
        endpoint = f"http://127.0.0.1:{proxy.port}"
        env = settings_of(server, endpoint, state, folder / "home", BUCKET, INBOX_PREFIX)
        product = Product(env, state, folder / "service.log")
        stack.callback(product.stop)
        journal, stop = Journal(folder / "operations.jsonl"), threading.Event()
        stack.callback(journal.close)
        stack.callback(stop.set)
        observer = Observer(state)
        uploaders = [Uploader(number, seed, server, journal, stop) for number in range(UPLOADERS)]
        storm = Storm(product, proxy, seed, fills_disk=is_small_disk)
        product.ensure_running()
        observer.start()
        for uploader in uploaders:
            uploader.start()
        click.echo(f"Storm of {minutes:g} min, seed {seed}, {backend}, in {folder}", err=True)
        storm.rage(60 * minutes)
        stop.set()
        for uploader in uploaders:
            uploader.join(60)
        dagster = DagsterView(state, env)
        left = _come_to_rest(product, dagster, rest_s)
        observer.stop()
        account = Account(client, BUCKET, folder)
        verdicts = _verdicts(account, journal, dagster, observer, left, state)
        _print_injected(journal, product, proxy, storm, is_small_disk)
        click.echo(
            f"\nIn the end: {len(account.inbox)} objects in the inbox, {len(account.rows['files'])} files, "
            f"{len(account.rows['rejected'])} rejected, {len(account.objects)} objects in the library; "
            f"the ledger was looked at {observer.looks} times meanwhile"
        )
        click.echo("\nViolations")
        for verdict in verdicts:
            click.echo(verdict.line())
        return not any(verdict.broken for verdict in verdicts)


@click.command()
@click.option("--minutes", default=3.0, show_default=True, type=click.FloatRange(min=0.2), help="Length of the storm.")
@click.option("--seed", default=None, type=int, help="Sequence of operations and faults.  [default: by the clock]")
@click.option("--backend", default="seaweedfs", show_default=True, type=click.Choice(["seaweedfs", "rgw", "moto"]))
@click.option("--rest", "rest_s", default=900.0, show_default=True, help="Seconds in which it must come to rest.")
@click.option("--keep", is_flag=True, help="Keep the folder also when nothing is wrong.")
def main(minutes: float, seed: int | None, backend: str, rest_s: float, keep: bool) -> None:
    """Torture the service and say what it lost."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that `timeout` leaves no process behind
    seed = int(time.time()) % 10**6 if seed is None else seed
    folder = Path(tempfile.mkdtemp(prefix="torture-")).resolve()
    try:
        is_well = _torture(folder, minutes, seed, backend, rest_s)
    except NoServerError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise click.ClickException(str(error)) from error
    except BaseException:
        click.echo(f"Seed {seed}; everything is in {folder}", err=True)
        raise
    if is_well and not keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        click.echo(f"Everything is in {folder}. Again: make torture MINUTES={minutes:g} SEED={seed}")
    click.echo("Nothing was lost." if is_well else "VIOLATIONS: see above.")
    sys.exit(0 if is_well else 1)


if __name__ == "__main__":
    main()
