"""A file that kills the process of its run, in the real service and on the command line; and processes that end.

The decoder does not kill a run, so that a ``sitecustomize`` of this test makes a run kill itself when it is about to
have a file of a certain name decoded. Nothing of the product knows it.
"""

import shutil
import time
from pathlib import Path

import psutil
import pytest

from media_assets.service import Service
from media_assets.storage import catalog
from media_assets_tests.bench.bookkeeping import write_pictures
from media_assets_tests.integration.test_incremental import run_cli
from media_assets_tests.integration.test_kill import World, kill_9, wait_for, world

__all__ = ["world"]  # a fixture

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

# Each halving is a run of the service, which takes 10 s to 30 s where other work shares the machine.
FILES = 4
POISON = "IMG_0002.jpg"

_PATCH = f"""
import importlib.abc, importlib.util, os, signal, sys

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "media_assets.pipeline.stages":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            decode = module._decode
            def poisoned(library, pool, item, task):
                if task.file_name == {POISON!r}:
                    os.kill(os.getpid(), signal.SIGKILL)
                return decode(library, pool, item, task)
            module._decode = poisoned
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""


@pytest.fixture
def poisoned(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    folder = world.home / "poison"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_PATCH, encoding="utf-8")
    world.env["PYTHONPATH"] = str(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return world


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_pictures(folder / "alice", FILES, (96, 64))
    return folder


def assert_only_the_poison_is_refused(world: World) -> None:
    library = world.library
    assert library.ledger.counts() == {"accepted": FILES - 1, "rejected": 1}
    assert library.ledger.unfinished(1) == []
    library.compact()
    (row,) = catalog.read_current(library.store, "rejected").to_pylist()
    assert (row["source_key"], row["reason_code"]) == (f"alice/{POISON}", "run_killed")
    assert catalog.row_count(library.store, "files") == FILES - 1
    assert len(list(library.store.list("quarantine/"))) == 1


def test_the_service_finds_the_file_that_kills_its_runs(poisoned: World, photos: Path) -> None:
    world = poisoned
    staged = world.home / "staged"
    shutil.copytree(photos / "alice", staged)
    staged.rename(Path(world.settings.inbox_url) / "alice")
    began = time.monotonic()

    def done() -> bool:
        counts = world.library.ledger.counts()
        return sum(counts.get(state, 0) for state in ("accepted", "rejected")) == FILES and not (
            world.library.ledger.unfinished(1)
        )

    with Service(world.settings) as service:
        wait_for("the search to end", done, service.check, timeout_s=300)
    runs = world.runs()["ingest_job"]
    print(f"{len(runs)} runs, {runs.count('FAILURE')} of them died, {time.monotonic() - began:.0f} s")
    assert_only_the_poison_is_refused(world)
    # The whole twice; halves of 4 and 2 files; the file alone twice or three times, and the run that refuses it.
    assert len(runs) <= 2 + 2 * 2 + 4
    assert runs.count("STARTED") == 0


def test_calls_of_the_command_find_the_file_that_kills_them(poisoned: World, photos: Path) -> None:
    calls = 0
    while run_cli("process", photos, "--json", env=poisoned.env).returncode != 0:
        calls += 1
        assert calls < 12
    print(f"{calls} calls were killed")
    assert_only_the_poison_is_refused(poisoned)
    retried = run_cli("retry", "--rejected", "--library", poisoned.library_dir, env=poisoned.env)
    assert retried.returncode == 0, retried.stderr
    assert POISON in retried.stdout
    del poisoned.env["PYTHONPATH"]
    assert run_cli("process", photos, "--json", env=poisoned.env).returncode == 0
    assert poisoned.library.ledger.counts() == {"accepted": FILES}


@pytest.mark.parametrize("name", ["daemon", "code-server"])
def test_the_service_goes_on_when_one_of_its_processes_was_killed(world: World, photos: Path, name: str) -> None:
    inbox = Path(world.settings.inbox_url)
    said: list[str] = []
    with Service(world.settings) as service:

        def alive() -> None:
            said.extend(service.keep_alive())

        pictures = sorted((photos / "alice").iterdir())
        shutil.copy(pictures[0], inbox / "first.jpg")
        wait_for("the first file", lambda: world.accepted() == 1, alive)
        kill_9(psutil.Process(service._children[name].pid))
        wait_for("its end", lambda: any("ended with status -9" in line for line in said), alive)
        shutil.copy(pictures[1], inbox / "second.jpg")
        began = time.monotonic()
        wait_for("the second file", lambda: world.accepted() == 2, alive)
        print(f"{time.monotonic() - began:.0f} s after the {name} was killed")
    assert f"The {name} was started again." in said
