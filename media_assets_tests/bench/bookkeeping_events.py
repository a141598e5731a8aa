"""What Dagster's records cost for each file: all assets of both ops, in batches of 256, at many existing partitions.

``python -m media_assets_tests.bench.bookkeeping_events``, or ``make bench-bookkeeping``. The work on media is replaced
by prepared results, so what is measured is Dagster and what the project tells it: the plan of a run, its events, tags,
checks and states. CPU time of the process that runs, and of the Postgres server, separately. Each figure comes from a
process of its own, in the same run of this command; the start of a run worker is measured by itself.

Modes, all with the same eleven assets:

* ``product``: ranged runs of the product, on its storage.
* ``stock``: the same runs on Dagster's own storage.
* ``outputs``: an op that yields one output for each asset and range, on Dagster's own storage. Dagster writes an event
  for each partition of the range by itself, also for files that failed.
* ``single``: the product on Dagster's own storage with one run for each file.

At the end of each measurement the states of the partitions are compared with what was done; a wrong one ends the
benchmark.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from media_assets.pipeline.assets import ANALYZE_ASSETS, INGEST_ASSETS
from media_assets_tests.bench.machine import cpu_model
from media_assets_tests.bench.postgres import Postgres, private_postgres

FILES = 256
SINGLES = 4
TARGET_MS = {"sqlite": 40.0, "postgres": 10.0}
_CUSTOM = {
    ("sqlite", True): {"module": "media_assets.defs.bookkeeping.sqlite", "class": "SqliteStorage"},
    ("sqlite", False): {"module": "dagster._core.storage.sqlite_storage", "class": "DagsterSqliteStorage"},
    ("postgres", True): {"module": "media_assets.defs.bookkeeping.postgres", "class": "PostgresStorage"},
    ("postgres", False): {"module": "dagster_postgres.storage", "class": "DagsterPostgresStorage"},
}


@dataclass(frozen=True)
class Cost:
    """Of one measurement, for all assets of a file together.

    Attributes:
        cpu_ms: CPU time of the run, milliseconds for each file.
        server_ms: CPU time of the database server, milliseconds for each file; 0 with SQLite.
        wall_ms: Wall-clock time for each file.
    """

    cpu_ms: float
    server_ms: float
    wall_ms: float


def _home(folder: Path, storage: str, ours: bool, url: str | None) -> Path:
    home = folder / "home"
    home.mkdir(parents=True)
    config: dict[str, Any] = {"base_dir": str(home)} if url is None else {"postgres_url": url}
    custom = {**_CUSTOM[storage, ours], "config": config}
    (home / "dagster.yaml").write_text(
        json.dumps({"telemetry": {"enabled": False}, "storage": {"custom": custom}}), encoding="utf-8"
    )
    return home


@contextmanager
def _measured(server_cpu_s: Callable[[], float], files: int, costs: list[Cost]) -> Iterator[None]:
    server, cpu, wall = server_cpu_s(), time.process_time(), time.perf_counter()
    yield
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    time.sleep(0.3)  # the server's clock of CPU time runs in steps
    costs.append(Cost(1000 * cpu / files, 1000 * (server_cpu_s() - server) / files, 1000 * wall / files))


def _child(mode: str, storage: str, partitions: int, folder: Path, url: str | None, server_pid: int | None) -> Cost:
    """Measure one mode in this process."""
    import dagster as dg
    import psutil

    from media_assets.defs.build import build_definitions
    from media_assets.defs.partitions import PARTITIONS_NAME, media_partitions
    from media_assets.defs.tags import range_tags
    from media_assets_tests.bench import bookkeeping_prepared
    from media_assets_tests.bench.bookkeeping import write_pictures

    def server_cpu_s() -> float:
        return 0.0 if server_pid is None else Postgres("", psutil.Process(server_pid), "", "").cpu_s()

    picture = write_pictures(folder / "picture", 1)[0]
    library, outcome = bookkeeping_prepared.ingest_one(folder / "one", picture)
    home = _home(folder, storage, mode == "product", url)
    os.environ["DAGSTER_HOME"] = str(home)
    names = [bookkeeping_prepared.media_id(number) for number in range(partitions)]
    costs: list[Cost] = []
    done: set[str] = set()
    with dg.DagsterInstance.get() as instance:
        for at in range(0, partitions, 10_000):
            instance.add_dynamic_partitions(PARTITIONS_NAME, names[at : at + 10_000])
        definitions = _yielding() if mode == "outputs" else build_definitions(library=library)

        def run(job: str, first: int, last: int) -> None:
            result = definitions.resolve_job_def(job).execute_in_process(
                instance=instance,
                tags=range_tags(names[first], names[last]),
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
            if not result.success:
                raise click.ClickException(f"{job} failed in mode {mode}.")
            done.update(names[first : last + 1])

        with bookkeeping_prepared.Prepared(outcome, picture).installed():
            for job in ("ingest_job", "analyze_job"):  # imports, and tables that are made
                run(job, 0, 0)
            ranges = [(at, at) for at in range(10, 10 + SINGLES)] if mode == "single" else [(100, 99 + FILES)]
            with _measured(server_cpu_s, sum(last - first + 1 for first, last in ranges), costs):
                for first, last in ranges:
                    for job in ("ingest_job", "analyze_job"):
                        run(job, first, last)
        for asset in (*INGEST_ASSETS, *ANALYZE_ASSETS):
            _check_states(instance, dg.AssetKey(asset), media_partitions, done)
    library.close()
    return costs[0]


def _yielding() -> Any:
    """The same assets from ops that yield outputs."""
    import dagster as dg

    from media_assets.defs.partitions import media_partitions

    def op(name: str, assets: tuple[str, ...]) -> dg.AssetsDefinition:
        @dg.multi_asset(
            name=name,
            specs=[dg.AssetSpec(asset, partitions_def=media_partitions) for asset in assets],
            can_subset=True,
            backfill_policy=dg.BackfillPolicy.multi_run(FILES),
        )
        def compute(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
            for asset in assets:
                yield dg.MaterializeResult(asset_key=asset, metadata={"files": len(context.partition_keys)})

        return compute

    ops = [op("ingest", INGEST_ASSETS), op("analyze", ANALYZE_ASSETS)]
    jobs = [
        dg.define_asset_job("ingest_job", selection=dg.AssetSelection.assets(*INGEST_ASSETS)),
        dg.define_asset_job("analyze_job", selection=dg.AssetSelection.assets(*ANALYZE_ASSETS)),
    ]
    return dg.Definitions(assets=ops, jobs=jobs, executor=dg.in_process_executor)


def _check_states(instance: Any, key: Any, partitions: Any, done: set[str]) -> None:
    from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

    cached = get_and_update_asset_status_cache_value(instance, key, partitions)
    shown = set(cached.deserialize_materialized_partition_subsets(partitions).get_partition_keys()) if cached else set()
    wrong = cached is not None and (
        cached.deserialize_failed_partition_subsets(partitions).get_partition_keys()
        or cached.deserialize_in_progress_partition_subsets(partitions).get_partition_keys()
    )
    if shown != done or wrong:
        raise click.ClickException(
            f"{key.to_user_string()}: {len(shown)} partitions are shown as made, {len(done)} were."
        )


def _in_child(mode: str, storage: str, partitions: int, postgres: Postgres | None) -> Cost:
    with tempfile.TemporaryDirectory(prefix="bookkeeping-") as folder:
        task = {
            "mode": mode,
            "storage": storage,
            "partitions": partitions,
            "folder": folder,
            "url": postgres.new_database() if postgres is not None else None,
            "server_pid": postgres.process.pid if postgres is not None else None,
        }
        command = [sys.executable, "-m", "media_assets_tests.bench.bookkeeping_events", "--task", json.dumps(task)]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
    if child.returncode != 0:
        raise click.ClickException(f"{mode} on {storage} failed:\n{child.stderr[-2000:]}")
    return Cost(**json.loads(child.stdout.splitlines()[-1]))


def _start_of_a_worker_s() -> float:
    """CPU seconds of a fresh process until it has loaded the definitions: what each run pays before its first event."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "import media_assets.definitions"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@click.command()
@click.option(
    "--partitions", default="20000", show_default=True, help="How many exist: one number, or several: 1000,20000."
)
@click.option("--storages", default="sqlite,postgres", show_default=True)
@click.option("--modes", default="product,stock,outputs,single", show_default=True)
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--task", hidden=True)
def main(partitions: str, storages: str, modes: str, rounds: int, as_json: bool, task: str | None) -> None:
    """Measure what Dagster's records cost for each file."""
    if task is not None:
        asked = json.loads(task)
        click.echo(json.dumps(asdict(_child(**{**asked, "folder": Path(asked["folder"])}))))
        return
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        server: Postgres | None = None
        if "postgres" in storages.split(","):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bookkeeping-pg-")))
            folder.chmod(0o755)
            server = stack.enter_context(private_postgres(folder / "server"))
        for storage in storages.split(","):
            for count in map(int, partitions.split(",")):
                found: dict[str, list[Cost]] = {mode: [] for mode in modes.split(",")}
                for number in range(rounds):
                    for mode, costs in found.items():
                        costs.append(_in_child(mode, storage, count, server if storage == "postgres" else None))
                        click.echo(f"{storage} {count} round {number + 1} {mode}: {costs[-1]}", err=True)
                rows += [_row(storage, count, mode, costs) for mode, costs in found.items()]
    start_s = statistics.median(_start_of_a_worker_s() for _ in range(3))
    summary = {
        "machine": f"{os.cpu_count()} CPUs, {cpu_model()}",
        "load_1_min": round(os.getloadavg()[0], 1),
        "versions": {name: metadata.version(name) for name in ("dagster", "SQLAlchemy")}
        | {"Python": platform.python_version(), "Postgres": server.version if server else None},
        "files": FILES,
        "assets": len(INGEST_ASSETS) + len(ANALYZE_ASSETS),
        "rounds": rounds,
        "rows": rows,
        "worker_start_cpu_s": round(start_s, 2),
        "worker_start_ms_per_file": round(2 * 1000 * start_s / FILES, 1),
    }
    if as_json:
        click.echo(json.dumps(summary, indent=2))
    else:
        _print(summary)


def _row(storage: str, partitions: int, mode: str, costs: list[Cost]) -> dict[str, Any]:
    total = statistics.median(one.cpu_ms + one.server_ms for one in costs)
    return {
        "storage": storage,
        "partitions": partitions,
        "mode": mode,
        "run_ms": round(statistics.median(one.cpu_ms for one in costs), 2),
        "server_ms": round(statistics.median(one.server_ms for one in costs), 2),
        "total_ms": round(total, 2),
        "wall_ms": round(statistics.median(one.wall_ms for one in costs), 2),
        "target_ms": TARGET_MS[storage] if mode == "product" else None,
    }


def _print(summary: dict[str, Any]) -> None:
    click.echo(f"{summary['machine']}; load {summary['load_1_min']}; {summary['versions']}")
    click.echo(
        f"{summary['assets']} assets of {summary['files']} files in two runs ({SINGLES} files in mode single); medians "
        f"of {summary['rounds']} rounds; milliseconds for each file; states of partitions right in all of them."
    )
    columns = ("storage", "partitions", "mode", "run_ms", "server_ms", "total_ms", "target_ms", "wall_ms")
    click.echo("".join(f"{name:>11}" for name in columns))
    for row in summary["rows"]:
        click.echo("".join(f"{'-' if row[name] is None else row[name]:>11}" for name in columns))
    click.echo(
        f"The start of a run worker takes {summary['worker_start_cpu_s']} CPU s: two runs of {FILES} files pay "
        f"{summary['worker_start_ms_per_file']} ms for each file, one run for each file pays it whole."
    )


if __name__ == "__main__":
    main()
