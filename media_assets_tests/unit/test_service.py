"""The life of a service's processes, with small ones in place of Dagster's; the real ones are tested end to end."""

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from media_assets import service as service_module
from media_assets.instance import environment, instance_config, prepare_home
from media_assets.service import Service, ServiceError, free_port
from media_assets.settings import Settings, SettingsError

# Plays any of the three processes: makes the socket it is told to make, has a child, listens on the port if asked to.
_PLAYER = """
import socket, subprocess, sys, time
arguments = sys.argv[1:]
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
if "--socket" in arguments:
    open(arguments[arguments.index("--socket") + 1], "w").close()
if "-p" in arguments:
    server = socket.create_server(("127.0.0.1", int(arguments[arguments.index("-p") + 1])))
time.sleep(600)
"""


class PlayedService(Service):
    """A service whose processes are players."""

    player = _PLAYER

    def _spawn(self, name: str, arguments: Sequence[str]) -> None:
        super()._spawn(name, ["-c", self.player, *arguments])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(library=str(tmp_path / "library"))


_OTHERS: set[psutil.Process] = set()


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    _OTHERS.clear()
    _OTHERS.update(psutil.Process().children(recursive=True))
    yield
    assert descendants() == []


def is_running(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def descendants() -> list[psutil.Process]:
    """The processes that this test started and that have not ended."""
    found = set(psutil.Process().children(recursive=True)) - _OTHERS
    return [one for one in found if is_running(one)]


def wait_for_children(count: int) -> list[psutil.Process]:
    deadline = time.monotonic() + 30
    while len(descendants()) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return descendants()


def test_everything_starts_and_everything_ends_with_its_children(settings: Settings) -> None:
    port = free_port()
    with PlayedService(settings, port=port) as service:
        assert service.url == f"http://127.0.0.1:{port}"
        service.check()
        assert len(wait_for_children(6)) == 6
        names = sorted(path.name for path in service.log_dir.iterdir())
        assert names == ["code-server.log", "daemon.log", "webserver.log"]
        workspace = yaml.safe_load((settings.state_dir / "workspace.yaml").read_text())
        server = workspace["load_from"][0]["grpc_server"]
        assert server["location_name"] == "media_assets"
        assert len(os.fsencode(server["socket"])) < 100  # the limit of the operating system is 108
    assert descendants() == []
    assert not Path(server["socket"]).exists()
    assert not (settings.state_dir / "service.json").exists()
    service.stop()


def test_without_a_port_there_is_no_web_server(settings: Settings) -> None:
    with PlayedService(settings):
        assert len(wait_for_children(4)) == 4


def test_a_library_has_one_service(settings: Settings) -> None:
    with PlayedService(settings) as first:
        with pytest.raises(ServiceError, match=rf"served already \(process {os.getpid()}\)\. Use that one, or stop"):
            Service(settings).start()
        first.check()
    with PlayedService(settings):
        assert len(wait_for_children(4)) == 4


def test_a_refused_service_does_not_end_the_one_that_runs(settings: Settings) -> None:
    with PlayedService(settings) as first:
        with pytest.raises(ServiceError), PlayedService(settings):
            raise AssertionError("two services of one library")
        first.check()
        assert (settings.state_dir / "service.json").exists()
        with (settings.state_dir / "service.lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_taken_port_is_named_before_anything_starts(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServiceError, match=rf"Port {port} of 127\.0\.0\.1 is taken\. .* --port"):
            PlayedService(settings, port=port).__enter__()
    assert descendants() == []
    with PlayedService(settings):  # the lock was released
        wait_for_children(4)


def test_a_process_that_ends_at_its_start_is_reported_with_its_last_words(settings: Settings) -> None:
    class Broken(PlayedService):
        player = "import sys; sys.exit('no such module')"

    with pytest.raises(ServiceError, match=r"The code-server ended with status 1\. See .*code-server\.log\. no such"):
        Broken(settings).__enter__()
    assert descendants() == []


def kill(service: Service, name: str) -> int:
    """Kill one of the processes of a service; return its number."""
    child = service._children[name]
    child.kill()
    child.wait(10)
    return child.pid


def test_a_process_that_ends_is_started_again_and_the_others_go_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "_RESTART_BASE_S", 0.05)
    with PlayedService(settings, port=free_port()) as service:
        wait_for_children(6)
        assert service.keep_alive() == []
        for name in ("daemon", "code-server", "webserver"):
            pids = {other: child.pid for other, child in service._children.items()}
            killed = kill(service, name)
            (said,) = service.keep_alive()
            assert f"The {name} ended with status -9. See " in said
            assert service.keep_alive() == []  # the back-off
            time.sleep(0.06)
            assert service.keep_alive() == [f"The {name} was started again."]
            after = {other: child.pid for other, child in service._children.items()}
            assert after[name] != killed
            assert {k: v for k, v in after.items() if k != name} == {k: v for k, v in pids.items() if k != name}
        recorded = json.loads((settings.state_dir / "service.json").read_text())
        assert {pid for pid, _ in recorded} == set(after.values())
        _end_orphans(service)


def test_a_process_that_ends_again_and_again_ends_the_service(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "_RESTART_BASE_S", 0.0)
    with PlayedService(settings) as service:
        for _ in range(5):
            kill(service, "daemon")
            assert len(service.keep_alive()) == 2
        kill(service, "daemon")
        with pytest.raises(
            ServiceError, match=r"The daemon ended with status -9\. .* It ended 6 times and is given up"
        ):
            service.keep_alive()
        _end_orphans(service)


def _end_orphans(service: Service) -> None:
    """The children of players that were killed; those of real processes end with them."""
    living = [psutil.Process(child.pid) for child in service._children.values() if child.poll() is None]
    kept = {one.pid for process in living for one in (process, *process.children(recursive=True))}
    for process in psutil.process_iter(["cmdline", "environ"]):
        mine = (process.info["environ"] or {}).get("DAGSTER_HOME") == str(service.home)
        if mine and process.pid not in kept:
            process.kill()


def test_a_process_that_ends_later_is_noticed(settings: Settings) -> None:
    with PlayedService(settings) as service:
        wait_for_children(4)
        daemon = next(one for one in descendants() if "dagster._daemon" in one.cmdline())
        daemon.kill()
        while is_running(daemon):
            time.sleep(0.01)
        with pytest.raises(ServiceError, match="The daemon ended with status -9"):
            service.check()


def test_what_a_killed_service_left_is_ended_and_nothing_else(settings: Settings) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    left, reused = (subprocess.Popen(sleep, start_new_session=True) for _ in range(2))
    left_process = psutil.Process(left.pid)
    started = left_process.create_time()
    settings.state_dir.mkdir(parents=True)
    # The second number belongs to another process now: it started at another time than what was recorded.
    record: list[Any] = [[left.pid, started], [reused.pid, started - 1000], [2**22 + 1, started]]
    (settings.state_dir / "service.json").write_text(json.dumps(record))
    try:
        with PlayedService(settings):
            assert not is_running(left_process)
            assert reused.poll() is None
    finally:
        for one in (left, reused):
            one.kill()
            one.wait()


@pytest.mark.parametrize("content", ["", "no json", "[]"])
def test_a_damaged_record_stops_nobody(settings: Settings, content: str) -> None:
    settings.state_dir.mkdir(parents=True)
    (settings.state_dir / "service.json").write_text(content)
    with PlayedService(settings):
        wait_for_children(4)


# ---------------------------------------------------------------- the home of the instance


def test_a_new_home_is_configured_and_an_old_one_is_left_as_it_is(settings: Settings) -> None:
    home = prepare_home(settings)
    assert home == settings.state_dir
    assert (home / "dagster.yaml").read_text() == instance_config()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    assert prepare_home(settings) == home
    assert (home / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def test_the_home_of_a_deployment_is_used(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "deployment"))
    assert prepare_home(settings) == tmp_path / "deployment"


def test_a_home_that_cannot_be_made_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingsError, match="Choose another with MEDIA_ASSETS_STATE"):
        prepare_home(Settings(library=str(tmp_path / "library"), state=tmp_path / "file"))


def test_processes_of_a_service_open_the_same_library(settings: Settings, tmp_path: Path) -> None:
    passed = environment(settings, tmp_path)
    assert passed["DAGSTER_HOME"] == str(tmp_path)
    assert passed["MEDIA_ASSETS_LIBRARY"] == settings.library_url
    assert passed["MEDIA_ASSETS_INBOX"] == settings.inbox_url
    assert passed["MEDIA_ASSETS_STATE"] == str(settings.state_dir)
    assert passed["PATH"] == os.environ["PATH"]
