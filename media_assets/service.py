"""Starts, watches and stops the processes that serve a library: code server, daemon, web server.

One service per library, held by a lock in its state folder. Every process that is started here is ended here, with all
its children; what a killed service left behind is ended by the next one, and nothing else is touched.
"""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil

from media_assets.instance import environment, prepare_home
from media_assets.settings import Settings

LOCATION_NAME = "media_assets"
_RECORD = "service.json"
_STOP_GRACE_S = 12.0
_READY_TIMEOUT_S = 120.0

# A process that ends is started again after 1, 2, 4 ... 60 s; one that ended this often within the time is given up.
_RESTART_BASE_S = 1.0
_RESTART_MAX_S = 60.0
_RESTARTS = 5
_RESTARTS_WITHIN_S = 900.0


class ServiceError(Exception):
    """The service cannot start or has stopped; the message says what to do."""


def free_port() -> int:
    """Return a TCP port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_served(settings: Settings) -> bool:
    """Return whether processes of a service of the library are alive on this machine."""
    return bool(_recorded(settings.state_dir / _RECORD))


def _recorded(record: Path) -> list[psutil.Process]:
    """Return the processes that a service has recorded and that are alive."""
    try:
        recorded = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    alive = []
    for pid, started in recorded:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if abs(process.create_time() - started) < 1.0:
                alive.append(process)
    return alive


def _answers(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def _end(processes: Iterable[psutil.Process], grace_s: float) -> None:
    """Ask processes and all their descendants to end, then kill those that do not."""
    doomed: dict[int, psutil.Process] = {}
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            for one in (*process.children(recursive=True), process):
                doomed[one.pid] = one
    for one in doomed.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(list(doomed.values()), timeout=grace_s)
    for one in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(alive, timeout=5)


class Service:
    """The running processes of one library. Use as a context manager.

    Args:
        settings: Which library.
        host: Address that the web server binds.
        port: Its port; ``None`` starts no web server.
    """

    def __init__(self, settings: Settings, *, host: str = "127.0.0.1", port: int | None = None) -> None:
        self.settings = settings
        self.host = host
        self.port = port
        self.home = prepare_home(settings)
        self.log_dir = settings.state_dir / "service-logs"
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._arguments: dict[str, Sequence[str]] = {}
        self._ends: dict[str, list[float]] = {}  # when each process was found to have ended, by the monotonic clock
        self._waits: dict[str, float] = {}  # when each process that has ended is started again
        self._lock: IO[str] | None = None
        self._sockets: tempfile.TemporaryDirectory[str] | None = None

    @property
    def _record(self) -> Path:
        return self.settings.state_dir / _RECORD

    @property
    def url(self) -> str:
        """Address of the web server."""
        return f"http://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and return when it is ready.

        Raises:
            ServiceError: Another service holds the library, a port is taken, or a process ended at once.
        """
        self._take_lock()
        self._end_leftovers()
        if self.port is not None and _answers(self.host, self.port):
            raise ServiceError(f"Port {self.port} of {self.host} is taken. Choose another one with --port.")
        self.log_dir.mkdir(parents=True, exist_ok=True)
        self._sockets = tempfile.TemporaryDirectory(prefix="media_assets-")  # socket paths must be short
        grpc_socket = self._grpc_socket()
        self._spawn(
            "code-server",
            [
                *("-m", "dagster", "api", "grpc", "--socket", str(grpc_socket)),
                *("-m", "media_assets.definitions", "--location-name", LOCATION_NAME, "--log-level", "warning"),
            ],
        )
        self._wait_ready("code-server", grpc_socket.exists)
        workspace = self.settings.state_dir / "workspace.yaml"
        workspace.write_text(
            f"load_from:\n  - grpc_server:\n      socket: {json.dumps(str(grpc_socket))}\n"
            f"      location_name: {LOCATION_NAME}\n",
            encoding="utf-8",
        )
        self._spawn("daemon", ["-m", "dagster._daemon", "run", "-w", str(workspace)])
        if self.port is not None:
            port = self.port
            self._spawn(
                "webserver",
                ["-m", "dagster_webserver", "-h", self.host, "-p", str(port), "-w", str(workspace)],
            )
            self._wait_ready("webserver", lambda: _answers(self.host, port))

    def _grpc_socket(self) -> Path:
        assert self._sockets is not None  # noqa: S101 - it is made before any process
        return Path(self._sockets.name) / "code.sock"

    def _take_lock(self) -> None:
        self.settings.state_dir.mkdir(parents=True, exist_ok=True)
        lock = (self.settings.state_dir / "service.lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip()
            lock.close()
            raise ServiceError(
                f"The library is being served already ({holder or 'by another process'}). "
                "Use that one, or stop it first."
            ) from None
        lock.seek(0)
        lock.truncate()
        lock.write(f"process {os.getpid()}{f', {self.url}' if self.port is not None else ''}")
        lock.flush()
        self._lock = lock

    def _end_leftovers(self) -> None:
        """End what a service that was killed left running: exactly the processes that it recorded."""
        _end(_recorded(self._record), _STOP_GRACE_S)
        self._record.unlink(missing_ok=True)

    def _spawn(self, name: str, arguments: Sequence[str]) -> None:
        self._arguments[name] = arguments
        with (self.log_dir / f"{name}.log").open("ab") as log:
            self._children[name] = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # `-m` would import from the working folder first, in which uploads may lie: a `PIL.py`, for example.
                env=environment(self.settings, self.home) | {"PYTHONSAFEPATH": "1"},
                start_new_session=True,  # Ctrl-C reaches this process only, which ends them in order
            )
        recorded = []
        for child in self._children.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                recorded.append((child.pid, psutil.Process(child.pid).create_time()))
        self._record.write_text(json.dumps(recorded), encoding="utf-8")

    def _wait_ready(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise ServiceError(f"The {name} was not ready in {_READY_TIMEOUT_S:.0f} s. See {self._log(name)}.")
            time.sleep(0.1)

    def _log(self, name: str) -> Path:
        return self.log_dir / f"{name}.log"

    def check(self) -> None:
        """Raise ServiceError if a process has ended."""
        for name, child in self._children.items():
            if child.poll() is not None:
                raise ServiceError(self._ended(name, child))

    def _ended(self, name: str, child: "subprocess.Popen[bytes]") -> str:
        """Say that a process has ended, with its last words."""
        last: list[str] = []
        with contextlib.suppress(OSError):
            last = self._log(name).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        return f"The {name} ended with status {child.returncode}. See {self._log(name)}. {' '.join(last).strip()}"

    def keep_alive(self) -> list[str]:
        """Start processes again that have ended, with back-off; return what happened since the last call, for people.

        The others go on: daemon and web server find the code server again by its socket. What died with a process is
        found by the sensors.

        Raises:
            ServiceError: A process ends again and again.
        """
        now, said = time.monotonic(), []
        for name, child in list(self._children.items()):
            if child.poll() is None:
                continue
            ends = self._ends.setdefault(name, [])
            if name not in self._waits:
                ends.append(now)
                ends[:] = [at for at in ends if now - at < _RESTARTS_WITHIN_S]
                if len(ends) > _RESTARTS:
                    raise ServiceError(f"{self._ended(name, child)} It ended {len(ends)} times and is given up.")
                wait = min(_RESTART_MAX_S, _RESTART_BASE_S * 2 ** (len(ends) - 1))
                self._waits[name] = now + wait
                said.append(f"{self._ended(name, child)} It is started again in {wait:.0f} s.")
            if now >= self._waits[name]:
                del self._waits[name]
                if name == "code-server":
                    self._grpc_socket().unlink(missing_ok=True)
                self._spawn(name, self._arguments[name])
                said.append(f"The {name} was started again.")
        return said

    def stop(self) -> None:
        """End everything that was started, children included; safe to call twice."""
        # The daemon first, so that it launches nothing while the code server goes.
        for name in ("webserver", "daemon", "code-server"):
            child = self._children.pop(name, None)
            if child is not None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    _end([psutil.Process(child.pid)], _STOP_GRACE_S)
                child.wait()
        if self._lock is not None:  # without it the record is that of the service that holds the library
            self._record.unlink(missing_ok=True)
        if self._sockets is not None:
            self._sockets.cleanup()
            self._sockets = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None
