"""A pool of decoder processes that survives what files do to them (DESIGN.md sections 5 and 10).

Long-lived child processes, one file at a time each. A child that crashes, hangs or runs out of memory is replaced and
only its file is affected. What the children do is in ``worker.py``, what it means for a batch in ``batch.py``.
"""

import contextlib
import json
import os
import re
import select
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from pydantic import TypeAdapter, ValidationError

from media_assets.media.errors import ContentError, ReasonCode, ScratchError
from media_assets.media.limits import Limits
from media_assets.media.records import MediaResult
from media_assets.media.resize import RENDITION_SIZES

_RESULT = TypeAdapter(MediaResult)
_START_TIMEOUT_S = 60.0
_PASSED_ON = (
    *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "HOME"),
    *("PYTHONPATH", "PYTHONDONTWRITEBYTECODE"),
)
_MAX_ANSWER_BYTES = 16 * 2**20  # metadata of one file, far above any; a taken-over process must not fill our memory
_MAX_TEXT = 2000
_KINDS = frozenset(size.kind for size in RENDITION_SIZES)
_EXTENSION = re.compile(r"[a-z0-9]{1,8}")
# A process that keeps this much between two files is replaced: its heap is fragmented, or a library leaks.
_KEPT_SHARE, _MIN_KEPT_BYTES = 0.25, 512 * 2**20
# Not `-m`: that puts the working folder, which may hold uploads, before the standard library on the module path.
# The folder of this package comes last, for a checkout that is not installed.
_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])
_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); from media_assets.pipeline.worker import main; main(*sys.argv[2:])"
)


class WorkerStartError(Exception):
    """No decoder process can be started on this machine; the message says what to check."""


@dataclass(frozen=True)
class Task:
    """One file for a decoder process.

    Attributes:
        path: Local copy of the file, under a neutral name.
        scratch: Existing empty folder that receives the renditions.
        file_name: The uploader's name, for messages.
        metadata: Whether to read metadata.
        renditions: Whether to make the renditions.
        sidecars: Local copies of its sidecars, under neutral names, the most trusted first.
    """

    path: Path
    scratch: Path
    file_name: str
    metadata: bool
    renditions: bool
    sidecars: tuple[Path, ...] = ()


class _Child:
    """One decoder process and the pipe to it. Used by one thread."""

    def __init__(self, arguments: Sequence[str]) -> None:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        # One thread per process: the pool already uses every core.
        environment |= {"OMP_NUM_THREADS": "1", "VIPS_CONCURRENCY": "1", "PYTHONUTF8": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, _PACKAGE_ROOT, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            close_fds=True,
            start_new_session=True,  # Ctrl-C goes to the run, which ends its children itself
        )
        self.tasks_done = 0
        self._buffer = b""
        try:
            answer = self._read_line(_START_TIMEOUT_S)
        except (TimeoutError, ValueError):
            self.kill()
            raise
        if answer is None or "ready" not in answer:
            self.kill()
            raise WorkerStartError(
                "The decoder process did not start. Run `media-assets doctor` to see which codec library is missing, "
                "and raise the setting worker_memory_bytes if it is small."
            )
        self.isolation = frozenset(str(name) for name in answer.get("isolation", ()))

    def ask(self, message: Mapping[str, Any], timeout_s: float) -> dict[str, Any] | None:
        """Send one task and return the answer; ``None`` when the process died.

        Raises:
            TimeoutError: No answer in time.
        """
        assert self._process.stdin is not None  # noqa: S101 - opened as a pipe above
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        self.tasks_done += 1
        return self._read_line(timeout_s)

    def _read_line(self, timeout_s: float) -> dict[str, Any] | None:
        assert self._process.stdout is not None  # noqa: S101 - opened as a pipe above
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise TimeoutError
            data = os.read(descriptor, 1 << 16)
            if not data:
                return None
            self._buffer += data
            if len(self._buffer) > _MAX_ANSWER_BYTES:
                raise ValueError("the answer has no end")
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            answer = json.loads(line)
        except RecursionError:
            raise ValueError("the answer is nested too deeply") from None
        if not isinstance(answer, dict):
            raise ValueError("the answer is no object")  # noqa: TRY004 - a fault of the text, as for json
        return answer

    def kill(self) -> int:
        """End the process and return its exit status (negative: the signal)."""
        self._process.kill()
        status = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # a task that the process did not live to read
                    pipe.close()
        return status

    def resident_bytes(self) -> int:
        """Memory that the process holds now; 0 when it has ended."""
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def exit_status(self) -> int:
        """Wait for a process that closed its pipe, and return its exit status."""
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            status = 0
        self.kill()
        return status


class WorkerPool:
    """Runs :func:`media_assets.media.extract.extract` in isolated processes.

    Args:
        count: Number of processes.
        memory_bytes: Address space of each.
        timeout_s: Wall-clock and CPU time for one file.
        max_tasks: Files after which a process is replaced.
        limits: Limits for the files.
        work_folder: Folder that holds the files of all tasks. Where the system can, the processes make files nowhere
            else, and read nothing else but programs. ``None`` leaves that out.
    """

    def __init__(
        self,
        count: int,
        *,
        memory_bytes: int,
        timeout_s: float,
        max_tasks: int,
        limits: Limits,
        work_folder: Path | None = None,
    ) -> None:
        self.count = count
        self._memory_bytes = memory_bytes
        self._timeout_s = timeout_s
        self._max_tasks = max_tasks
        self._limits = asdict(limits)
        self._arguments = (str(memory_bytes), *([str(work_folder.absolute())] if work_folder is not None else []))
        # One child per thread: threads live as long as the pool, and so does the death signal of their children.
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="decoder")
        self._local = threading.local()
        self._children: set[_Child] = set()
        self._lock = threading.Lock()
        self._closed = False
        # What is in force in the process that started last, beside resource limits (``confinement.confine``).
        self.isolation: frozenset[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes; files still in work are abandoned."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._closed = True
            children, self._children = self._children, set()
        for child in children:
            child.kill()
        self._threads.shutdown(wait=True)

    def submit(self, task: Task) -> Future[MediaResult]:
        """Queue a file. Its future raises ContentError, or ScratchError and WorkerStartError for the machine."""
        return self._threads.submit(self._run, task)

    def _child(self) -> _Child:
        child: _Child | None = getattr(self._local, "child", None)
        # An idle process that was killed, for want of memory perhaps, says nothing about the file that comes next.
        if child is not None and (child.tasks_done >= self._max_tasks or not child.is_alive):
            self._discard(child)
            child = None
        if child is None:
            try:
                child = _Child(self._arguments)
            except (OSError, ValueError) as error:
                raise WorkerStartError(
                    f"A decoder process cannot be started ({error}). Free memory or lower the setting `workers`."
                ) from error
            with self._lock:
                closed = self._closed
                if not closed:
                    self._children.add(child)
            if closed:
                child.kill()
                raise WorkerStartError("The pool of decoder processes was closed. Run the batch again.")
            self._local.child = child
            self.isolation = child.isolation
        return child

    def _discard(self, child: _Child) -> int:
        with self._lock:
            self._children.discard(child)
        self._local.child = None
        return child.kill()

    def _run(self, task: Task) -> MediaResult:
        child = self._child()
        message = {
            # The process has no working folder that a relative path could start from.
            "path": str(task.path.absolute()),
            "scratch": str(task.scratch.absolute()),
            "file_name": task.file_name,
            "metadata": task.metadata,
            "renditions": task.renditions,
            "sidecars": [str(path.absolute()) for path in task.sidecars],
            "limits": self._limits,
            "cpu_s": self._timeout_s,
        }
        try:
            answer = child.ask(message, self._timeout_s)
        except TimeoutError:
            self._discard(child)
            raise _too_slow(self._timeout_s) from None
        except (ValueError, OSError) as error:
            self._discard(child)
            raise ContentError(
                ReasonCode.DECODER_CRASHED,
                "The decoder gave an answer that makes no sense on this file. Replace it with a sound copy.",
                "decode",
            ) from error
        if answer is None:
            status = child.exit_status()
            self._discard(child)
            if status == -signal.SIGXCPU:  # several threads use up CPU time faster than the clock runs
                raise _too_slow(self._timeout_s)
            raise ContentError(
                ReasonCode.DECODER_CRASHED,
                f"The decoder crashed on this file ({_describe(status)}). Replace it with a sound copy.",
                "decode",
            )
        try:
            return self._interpret(child, answer, task)
        finally:
            if child.resident_bytes() > max(_KEPT_SHARE * self._memory_bytes, _MIN_KEPT_BYTES):
                self._discard(child)

    def _interpret(self, child: _Child, answer: dict[str, Any], task: Task) -> MediaResult:
        """Turn an answer into a result or an error. The answer is not trusted: the process may have been taken over."""
        if "result" in answer or "error" in answer:
            try:
                if "error" in answer:
                    error = _stated_error(answer["error"])
                else:
                    return _checked(_RESULT.validate_python(answer["result"], strict=False), task)
            except (ValueError, TypeError, KeyError, OSError) as impossible:  # ValidationError is a ValueError
                self._discard(child)
                raise ContentError(
                    ReasonCode.DECODER_CRASHED,
                    f"The decoder gave an impossible result ({_short(impossible)}). Replace the file.",
                    "decode",
                ) from impossible
            raise error
        if "scratch" in answer:
            raise ScratchError(str(answer["scratch"])[:_MAX_TEXT])
        self._discard(child)  # its heap is in an unknown state
        if "memory" in answer:
            raise ContentError(
                ReasonCode.DECODER_MEMORY,
                f"Decoding needs more than {self._memory_bytes / 2**20:.0f} MiB of memory. Raise the setting "
                "worker_memory_bytes if the file is sound, else replace it.",
                "decode",
            )
        raise ContentError(
            ReasonCode.DECODER_CRASHED,
            f"The decoder failed on this file ({str(answer.get('unexpected', 'no reason given'))[:_MAX_TEXT]}). "
            "Replace it with a sound copy.",
            "decode",
        )


def _too_slow(timeout_s: float) -> ContentError:
    return ContentError(
        ReasonCode.DECODER_TIMEOUT,
        f"Decoding took longer than {timeout_s:.0f} s. Raise the setting worker_timeout_s if the file is sound, else "
        "replace it.",
        "decode",
    )


def _stated_error(details: Mapping[str, Any]) -> ContentError:
    """Return the error that a process states.

    Raises:
        ValueError: There is no such reason.
        TypeError: It is no object with texts.
        KeyError: Something is missing.
    """
    return ContentError(
        ReasonCode(details["reason"]), str(details["message"])[:_MAX_TEXT], str(details["stage"])[:_MAX_TEXT]
    )


def _checked(result: MediaResult, task: Task) -> MediaResult:
    """Return the result if what it names can be stored: own files of the task, no links that lead elsewhere.

    Raises:
        ValueError: It cannot.
        OSError: A file is not there.
    """
    if not _EXTENSION.fullmatch(result.facts.extension):
        raise ValueError("extension")
    for rendition in result.renditions:
        if rendition.kind not in _KINDS or rendition.file_name != f"{rendition.kind}.jpg":
            raise ValueError("rendition")
        # A link would be followed when the file is stored, to any file that the run may read.
        found = (task.scratch / rendition.file_name).lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size != rendition.size_bytes:
            raise ValueError("rendition file")
    return result


def _short(error: Exception) -> str:
    return f"{error.error_count()} fields" if isinstance(error, ValidationError) else type(error).__name__


def _describe(status: int) -> str:
    if status < 0:
        return f"signal {-status}"
    return f"exit status {status}"
