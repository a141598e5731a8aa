"""``kill -9`` in the middle of a batch: what was recorded is kept, the rest is done, nothing is there twice.

Issue 2: "every file processed once, no duplicate rows in the catalog, no partition green without its row and objects".
Real processes and real signals; each test waits for the moment it needs and looks at the ledger, never at a clock.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import psutil
import pyarrow.compute as pc
import pytest

from media_assets.defs.inspection import materialized_partitions
from media_assets.pipeline.assets import INGEST_ASSETS, TABLE_OF, THUMBNAILS
from media_assets.pipeline.library import Library
from media_assets.service import Service, free_port
from media_assets.settings import Settings
from media_assets.storage import catalog, keys
from media_assets.storage.ledger_schema import Batch
from media_assets.storage.schemas import TABLES
from media_assets.storage.tables import read_parts
from media_assets_tests.bench.bookkeeping import write_pictures
from media_assets_tests.integration.test_incremental import cli_environment, process_json, run_cli

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

FILES = 64
FLUSH = 16
# Large enough that a flush takes a second or so: the kill must fall between two of them.
SIZE = (640, 480)
RENDITIONS = 5
_POLL_S = 0.05


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_pictures(folder / "alice", FILES, SIZE)
    return folder


@dataclass(frozen=True)
class World:
    """A library of its own and the environment of everything that works on it; ``home`` marks its processes."""

    library_dir: Path
    home: Path
    env: dict[str, str]
    settings: Settings
    library: Library

    def processes(self) -> list[psutil.Process]:
        """All living processes that were started with this environment."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("HOME") == str(self.home):
                    found.append(process)
        return found

    def accepted(self) -> int:
        return self.library.ledger.counts().get("accepted", 0)

    def recorded(self) -> set[str]:
        """Media ids of the files that the ledger has as accepted."""
        ids = [keys.media_id(f"alice/IMG_{number:04d}.jpg") for number in range(FILES)]
        return {one for one, entry in self.library.ledger.entries(ids).items() if entry.state == "accepted"}

    def in_work(self) -> Batch | None:
        """The batch that a process works on and has recorded a part of."""
        if not FLUSH <= self.accepted() < FILES:
            return None
        running = [batch for batch in self.library.ledger.unfinished(9) if batch.state == "running" and batch.worker]
        return running[0] if running else None

    def runs(self) -> dict[str, list[str]]:
        """Status of all Dagster runs by job."""
        statuses: dict[str, list[str]] = defaultdict(list)
        with dg.DagsterInstance.get() as instance:
            for record in instance.get_run_records(ascending=True):
                statuses[record.dagster_run.job_name].append(record.dagster_run.status.value)
        return dict(statuses)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    home = tmp_path / "home"
    env = cli_environment(
        home,
        MEDIA_ASSETS_LIBRARY=str(tmp_path / "library"),
        MEDIA_ASSETS_FLUSH_FILES=str(FLUSH),
        MEDIA_ASSETS_SENSOR_INTERVAL_S="2",
        MEDIA_ASSETS_INBOX_SETTLE_S="0",
        # Only a run that is killed before it has said who works on it waits for this; heartbeats come every 15 s.
        MEDIA_ASSETS_BATCH_DEAD_AFTER_S="40",
    )
    for name in set(os.environ) - set(env):
        monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    library = Library(settings)
    library.ensure_inbox()
    made = World(tmp_path / "library", home, env, settings, library)
    monkeypatch.setenv("DAGSTER_HOME", str(settings.state_dir))  # for this process only: `env` has none
    yield made
    library.close()
    for process in made.processes():  # after a failure: nothing may run on
        with contextlib.suppress(psutil.Error):
            process.kill()


def wait_for(what: str, ready: Callable[[], object], check: Callable[[], object], timeout_s: float = 200.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not ready():
        check()
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s for {what}"
        time.sleep(_POLL_S)


def put_into_inbox(photos: Path, world: World) -> None:
    """All files appear at once, so that one batch holds them all."""
    staged = world.home / "staged"
    shutil.copytree(photos / "alice", staged)
    staged.rename(Path(world.settings.inbox_url) / "alice")


def kill_9(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGKILL)


def worker_of(world: World) -> psutil.Process:
    """The process that works on the batch, one of this test's own."""
    batch = world.in_work()
    assert batch is not None
    assert batch.worker is not None
    pid = int(batch.worker.rsplit(":", 2)[1])
    (found,) = [process for process in world.processes() if process.pid == pid]
    return found


def settled(world: World) -> bool:
    """Every file is recorded, the catalog has absorbed it, and no run goes on."""
    ledger = world.library.ledger
    if world.accepted() < FILES or ledger.unfinished(1) or world.library.pending_parts():
        return False
    return all(status in ("SUCCESS", "FAILURE") for statuses in world.runs().values() for status in statuses)


def assert_whole(world: World, recorded: set[str], *, first_run: str | None) -> None:
    """Everything is there exactly once, and what was recorded before the kill was not done again."""
    library = world.library
    ids = {keys.media_id(f"alice/IMG_{number:04d}.jpg") for number in range(FILES)}
    assert library.ledger.counts() == {"accepted": FILES}
    assert library.ledger.batch_counts() == {"done": 1}
    assert [name for name in TABLES if catalog.check_unique(library.store, name)] == []
    rows = {name: catalog.row_count(library.store, name) for name in ("files", "metadata", "appearance", "rejected")}
    assert rows == {"files": FILES, "metadata": FILES, "appearance": FILES, "rejected": 0}
    made = catalog.read_current(library.store, "renditions", ["asset"])["asset"].to_pylist()
    assert made.count(THUMBNAILS) == FILES * RENDITIONS
    for asset in INGEST_ASSETS:
        computed = defaultdict(list)  # media id to the runs that wrote rows for it
        for _, part in read_parts(library.store, TABLE_OF[asset]):
            if "asset" in part.column_names:
                part = part.filter(pc.equal(part["asset"], asset))
            for media_id, run_id in set(zip(*part.select(["media_id", "run_id"]).to_pydict().values(), strict=True)):
                computed[media_id].append(run_id)
        assert set(computed) == ids
        assert {one: runs for one, runs in computed.items() if one in recorded and len(runs) != 1} == {}
        # Rows that were written and not yet recorded may have been written once more: those of one flush at most.
        assert sum(len(runs) - 1 for runs in computed.values()) <= FLUSH
        if first_run is not None:
            assert {run for one in recorded for run in computed[one]} == {first_run}
    materialized = {asset: len(found) for asset, found in materialized_partitions().items() if found}
    assert materialized == dict.fromkeys(INGEST_ASSETS, FILES)
    doctor = run_cli("doctor", "--deep", "--library", world.library_dir, env=world.env)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert "failed" not in doctor.stdout.split()


def assert_nothing_runs(world: World) -> None:
    wait_for("the last process to end", lambda: not world.processes(), lambda: None, timeout_s=15)


# ---------------------------------------------------------------- the service


def test_run_worker_is_killed_while_the_service_runs(world: World, photos: Path) -> None:
    put_into_inbox(photos, world)
    with Service(world.settings) as service:
        wait_for("the first files", world.in_work, service.check)
        batch = world.in_work()
        worker = worker_of(world)
        kill_9(worker)
        worker.wait(10)
        recorded = world.recorded()
        assert FLUSH <= len(recorded) < FILES  # it was in the middle
        wait_for("everything", lambda: settled(world), service.check)
    assert batch is not None
    assert_whole(world, recorded, first_run=batch.run_id)
    assert world.runs()["ingest_job"] == ["FAILURE", "SUCCESS"]
    assert_nothing_runs(world)


@contextlib.contextmanager
def serving(world: World) -> Iterator["subprocess.Popen[bytes]"]:
    """``media-assets serve`` as a process of its own; ended by Ctrl-C unless it has ended before."""
    with (world.home / "serve.log").open("ab") as log:
        serve = subprocess.Popen(
            [sys.executable, "-m", "media_assets.cli", "serve", "--port", str(free_port())],
            env=world.env,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield serve
    finally:
        if serve.poll() is None:
            serve.send_signal(signal.SIGINT)
        serve.wait(60)
    text = (world.home / "serve.log").read_text(encoding="utf-8")
    assert "Traceback" not in text, text


def check_running(world: World, serve: "subprocess.Popen[bytes]") -> None:
    assert serve.poll() is None, (world.home / "serve.log").read_text(encoding="utf-8")


@pytest.mark.parametrize("killed", ["everything", "only-serve"])
def test_service_is_killed_and_started_again(world: World, photos: Path, killed: str) -> None:
    """``only-serve`` leaves daemon, code server and run worker behind: the next service ends them before it starts."""
    put_into_inbox(photos, world)
    with serving(world) as serve:
        wait_for("the first files", world.in_work, lambda: check_running(world, serve))
        for process in world.processes() if killed == "everything" else [psutil.Process(serve.pid)]:
            kill_9(process)
        serve.wait(10)
    recorded = world.recorded()
    if killed == "everything":
        assert_nothing_runs(world)
        assert FLUSH <= len(recorded) < FILES
    with serving(world) as serve:
        wait_for("everything", lambda: settled(world), lambda: check_running(world, serve))
    assert_whole(world, recorded, first_run=None)
    assert world.runs()["ingest_job"][-1] == "SUCCESS"
    assert_nothing_runs(world)


def test_service_is_killed_while_the_catalog_is_compacted(world: World, photos: Path) -> None:
    put_into_inbox(photos, world)

    def compacting() -> bool:
        return "STARTED" in world.runs().get("catalog_job", [])

    with serving(world) as serve:
        wait_for("a compaction", compacting, lambda: check_running(world, serve))
        for process in world.processes():
            kill_9(process)
        serve.wait(10)
    recorded = world.recorded()
    with serving(world) as serve:
        wait_for("everything", lambda: settled(world), lambda: check_running(world, serve))
    assert_whole(world, recorded, first_run=None)
    assert_nothing_runs(world)


# ---------------------------------------------------------------- the command line


def test_process_is_killed_and_called_again(world: World, photos: Path) -> None:
    command = [sys.executable, "-m", "media_assets.cli", "process", str(photos), "--json"]
    first = subprocess.Popen(command, env=world.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for("the first files", world.in_work, lambda: first.poll())
    batch = world.in_work()
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    recorded = world.recorded()
    assert FLUSH <= len(recorded) < FILES
    assert_nothing_runs(world)  # its decoders went with it

    report = process_json(run_cli("process", photos, "--json", env=world.env))
    assert report["states"] == {"materialized": FILES - len(recorded)}
    assert batch is not None
    assert_whole(world, recorded, first_run=batch.run_id)
    # The run that died is not shown as running for ever: two of those would fill the queue of the daemon.
    assert world.runs() == {"ingest_job": ["FAILURE", "SUCCESS"], "catalog_job": ["SUCCESS"]}
    assert_nothing_runs(world)
