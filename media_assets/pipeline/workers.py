"""A pool of decoder processes that survives what files do to them (DESIGN.md sections 5 and 10).

Long-lived child processes, one file at a time each. A child that crashes, hangs or runs out of memory is replaced and
only its file is affected. What the children do is in ``worker.py``, what it means for a batch in ``batch.py``.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from media_assets.media.errors import ContentError, ReasonCode, ScratchError
from media_assets.media.limits import Limits
from media_assets.media.records import MediaResult

_RESULT = TypeAdapter(MediaResult)
_START_TIMEOUT_S = 60.0
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "HOME")


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
    """

    path: Path
    scratch: Path
    file_name: str
    metadata: bool
    renditions: bool


class _Child:
    """One decoder process and the pipe to it. Used by one thread."""

    def __init__(self, memory_bytes: int) -> None:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        # One thread per process: the pool already uses every core.
        environment |= {"OMP_NUM_THREADS": "1", "VIPS_CONCURRENCY": "1", "PYTHONUTF8": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "media_assets.pipeline.worker", str(memory_bytes)],
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
                "The decoder process did not start. Run `media-assets doctor` to see which codec library is missing."
            )

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
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer = json.loads(line)
        return answer if isinstance(answer, dict) else None

    def kill(self) -> int:
        """End the process and return its exit status (negative: the signal)."""
        self._process.kill()
        status = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # a task that the process did not live to read
                    pipe.close()
        return status

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
    """

    def __init__(self, count: int, *, memory_bytes: int, timeout_s: float, max_tasks: int, limits: Limits) -> None:
        self.count = count
        self._memory_bytes = memory_bytes
        self._timeout_s = timeout_s
        self._max_tasks = max_tasks
        self._limits = asdict(limits)
        # One child per thread: threads live as long as the pool, and so does the death signal of their children.
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="decoder")
        self._local = threading.local()
        self._children: set[_Child] = set()
        self._lock = threading.Lock()
        self._closed = False

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
                child = _Child(self._memory_bytes)
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
        return child

    def _discard(self, child: _Child) -> int:
        with self._lock:
            self._children.discard(child)
        self._local.child = None
        return child.kill()

    def _run(self, task: Task) -> MediaResult:
        child = self._child()
        message = {
            "path": str(task.path),
            "scratch": str(task.scratch),
            "file_name": task.file_name,
            "metadata": task.metadata,
            "renditions": task.renditions,
            "limits": self._limits,
            "cpu_s": self._timeout_s,
        }
        try:
            answer = child.ask(message, self._timeout_s)
        except TimeoutError:
            self._discard(child)
            raise ContentError(
                ReasonCode.DECODER_TIMEOUT,
                f"Decoding took longer than {self._timeout_s:.0f} s. Raise the setting worker_timeout_s if the file "
                "is sound, else replace it.",
                "decode",
            ) from None
        except (ValueError, OSError):
            answer = None  # no JSON, or the pipe broke: the process is not to be trusted any more
        if answer is None:
            status = child.exit_status()
            self._discard(child)
            raise ContentError(
                ReasonCode.DECODER_CRASHED,
                f"The decoder crashed on this file ({_describe(status)}). Replace it with a sound copy.",
                "decode",
            )
        return self._interpret(child, answer)

    def _interpret(self, child: _Child, answer: dict[str, Any]) -> MediaResult:
        if "result" in answer:
            try:
                return _RESULT.validate_python(answer["result"], strict=False)
            except ValidationError as error:
                self._discard(child)
                raise ContentError(
                    ReasonCode.DECODER_CRASHED,
                    f"The decoder gave an impossible result ({error.error_count()} fields). Replace the file.",
                    "decode",
                ) from error
        if "error" in answer:
            details = answer["error"]
            raise ContentError(ReasonCode(details["reason"]), str(details["message"]), str(details["stage"]))
        if "scratch" in answer:
            raise ScratchError(str(answer["scratch"]))
        self._discard(child)  # its heap is in an unknown state
        if "memory" in answer:
            raise ContentError(
                ReasonCode.DECODER_MEMORY,
                f"Decoding needs more than {self._memory_bytes / 2**30:.1f} GiB of memory. Raise the setting "
                "worker_memory_bytes if the file is sound, else replace it.",
                "decode",
            )
        raise ContentError(
            ReasonCode.DECODER_CRASHED,
            f"The decoder failed on this file ({answer.get('unexpected', 'no reason given')}). Replace it with a "
            "sound copy.",
            "decode",
        )


def _describe(status: int) -> str:
    if status < 0:
        return f"signal {-status}"
    return f"exit status {status}"
