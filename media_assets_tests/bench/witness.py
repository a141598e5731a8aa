"""Witnesses of what a run must not do: ports that must stay silent, and system calls that must not be there.

For the benchmarks and the tests of hostile files. Nothing here looks at media; the rules of what is allowed are few and
general, so that a new library cannot hide behind a list.
"""

import os
import re
import select
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

HOSTILE_PORTS = (9, 80)
"""Ports of 127.0.0.1 that the playlists, XML and MVG scripts of the corpus name."""

_SAMPLE_S = 0.1
_WORKER = "media_assets.pipeline.worker"
_OTHER_CALLS = "open,openat,connect,bind,sendto,execve,clone,clone3,fork,vfork,umask"
_TRACED = (
    f"{_OTHER_CALLS},creat,truncate,mkdir,mkdirat,unlink,unlinkat,rename,renameat,renameat2,"
    "symlink,symlinkat,link,linkat"
)
_CHANGING_CALLS = frozenset(_TRACED.split(",")) - frozenset(_OTHER_CALLS.split(","))
_CALL = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+)")
_PATHS = re.compile(r'(?:AT_FDCWD(?:<([^>]*)>)?|\d+<([^>]*)>)?(?:, )?"((?:[^"\\]|\\.)*)"')
_CHILD = re.compile(r"^(?:clone|clone3|fork|vfork)\(.*= (\d+)")


class SilentPorts:
    """Listens on TCP and UDP ports of 127.0.0.1 and notes whoever comes.

    Ports that cannot be bound (below 1024 without root, or taken) are in ``not_bound`` and prove nothing.
    """

    def __init__(self, ports: Iterable[int] = HOSTILE_PORTS) -> None:
        self.visitors: list[str] = []
        self.not_bound: list[str] = []
        self.bound: list[str] = []
        self._sockets: list[socket.socket] = []
        self._stop = threading.Event()
        for port in ports:
            for kind, name in ((socket.SOCK_STREAM, "tcp"), (socket.SOCK_DGRAM, "udp")):
                one = socket.socket(socket.AF_INET, kind)
                try:
                    one.bind(("127.0.0.1", port))
                    if kind == socket.SOCK_STREAM:
                        one.listen(16)
                except OSError:
                    one.close()
                    self.not_bound.append(f"{name}/{port}")
                    continue
                self.bound.append(f"{name}/{one.getsockname()[1]}")
                self._sockets.append(one)
        self._thread = threading.Thread(target=self._listen, name="silent-ports", daemon=True)

    @property
    def ports(self) -> list[int]:
        """The bound ports."""
        return sorted({one.getsockname()[1] for one in self._sockets})

    def _listen(self) -> None:
        while not self._stop.is_set():
            for one in select.select(self._sockets, [], [], 0.2)[0]:
                port = one.getsockname()[1]
                if one.type == socket.SOCK_STREAM:
                    connection, address = one.accept()
                    connection.close()
                else:
                    _, address = one.recvfrom(2048)
                self.visitors.append(f"{address} came to port {port}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        for one in self._sockets:
            one.close()


class MemoryWatch:
    """Samples the resident memory of this process and of all processes below it, a few times a second."""

    def __init__(self, process: psutil.Process | None = None) -> None:
        self._own = process or psutil.Process()
        self.start = self._own.memory_info().rss
        self.own_peak = self.start
        self.worker_peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory-watch", daemon=True)

    @property
    def growth(self) -> int:
        """Bytes that the process itself grew by at most."""
        return self.own_peak - self.start

    def _sample(self) -> None:
        while not self._stop.wait(_SAMPLE_S):
            self.own_peak = max(self.own_peak, self._own.memory_info().rss)
            for child in self._own.children(recursive=True):
                try:
                    self.worker_peak = max(self.worker_peak, child.memory_info().rss)
                except psutil.Error:
                    continue  # it has ended meanwhile

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()


# ---------------------------------------------------------------- system calls


def strace_command(folder: Path) -> list[str] | None:
    """Return the words to put before a command so that its system calls are written below ``folder``.

    ``None`` when strace is not on this machine, or may not trace.
    """
    program = shutil.which("strace")
    if program is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    base = [program, "-f", "-ff", "--seccomp-bpf", "-y", "-qq", "-s", "4096", "-e", f"trace={_TRACED}"]
    tried = subprocess.run([*base, "-o", str(folder / "try"), "true"], capture_output=True, check=False)
    for left in folder.glob("try.*"):
        left.unlink()
    return [*base, "-o", str(folder / "call")] if tried.returncode == 0 else None


@dataclass
class Traced:
    """What the traces of a process tree say.

    Attributes:
        workers: Decoder processes that were seen.
        written_outside: Files that were written, made or removed outside the allowed folders.
        read_outside: Files that a decoder process opened outside the folders of programs and of its work.
        connections: Internet addresses that any process used.
        programs: Programs that a decoder process started.
    """

    workers: int = 0
    written_outside: list[str] = field(default_factory=list)
    read_outside: list[str] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)


def _below(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def _program_folders() -> list[str]:
    """Where interpreters, libraries and their data lie: what a program may read to run at all."""
    named = [sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()]
    package = str(Path(__file__).resolve().parents[2] / "media_assets")
    system = ["/usr", "/lib", "/lib64", "/bin", "/proc", "/sys", "/dev", "/etc/ld.so.cache", "/etc/localtime"]
    return [*{str(Path(name)) for name in named}, package, *system]


def read_traces(folder: Path, *, allowed: Sequence[Path]) -> Traced:
    """Judge the traces below ``folder``.

    Args:
        folder: As given to :func:`strace_command`.
        allowed: Folders in which files may be read, written and made.
    """
    work = [str(path) for path in allowed]
    may_read = [*work, *_program_folders()]
    files = {int(path.suffix[1:]): path for path in folder.glob("call.*") if path.suffix[1:].isdigit()}
    lines = {pid: path.read_text("utf-8", "replace").splitlines() for pid, path in files.items()}
    children: dict[int, list[int]] = {}
    for pid, calls in lines.items():
        children[pid] = [int(match[1]) for call in calls if (match := _CHILD.match(call))]
    traced = Traced()
    roots = [pid for pid, calls in lines.items() if any(c.startswith("execve(") and _WORKER in c for c in calls)]
    traced.workers = len(roots)
    of_workers: set[int] = set()
    left = deque(roots)
    while left:
        pid = left.popleft()
        if pid not in of_workers:
            of_workers.add(pid)
            left.extend(children.get(pid, ()))
    for pid, calls in lines.items():
        # Until it sets its umask, a decoder is being loaded: trusted programs from wherever they are installed.
        confined = pid in of_workers and pid not in roots
        for text in calls:
            confined = confined or (pid in roots and text.startswith("umask(077)"))
            _judge(text, traced, confined, work, may_read)
    for name in ("written_outside", "read_outside", "connections", "programs"):
        setattr(traced, name, sorted(set(getattr(traced, name))))
    return traced


def _judge(text: str, traced: Traced, is_worker: bool, work: Sequence[str], may_read: Sequence[str]) -> None:
    match = _CALL.match(text)
    if match is None:
        return
    call, arguments, result = match[1], match[2], int(match[3])
    if call in ("connect", "bind", "sendto"):
        if "AF_INET" in arguments:
            traced.connections.append(text[:200])
        return
    if call == "execve":
        if is_worker:
            traced.programs.append(text[:200])
        return
    # O_PATH only names a file, for a Landlock rule: nothing can be read through it.
    if result < 0 or "O_PATH" in arguments or call in ("clone", "clone3", "fork", "vfork"):
        return
    for base_cwd, base_fd, name in _PATHS.findall(arguments):
        path = os.path.normpath(name if name.startswith("/") else f"{base_cwd or base_fd}/{name}")
        writes = call in _CHANGING_CALLS or any(flag in arguments for flag in ("O_WRONLY", "O_RDWR", "O_CREAT"))
        if writes and not _below(path, [*work, "/dev/null", "/dev/tty", "/proc/self", "/dev/shm"]):
            traced.written_outside.append(f"{call} {path}")
        elif is_worker and not writes and not _below(path, may_read):
            traced.read_outside.append(f"{call} {path}")
