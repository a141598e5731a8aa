"""One process that works for a run, and the pipe to it: start, ask, kill.

Lives here: the protocol of JSON lines, seen from the run. Must not: know what a task means.
"""

import contextlib
import json
import math
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

_START_TIMEOUT_S = 60.0
_PASSED_ON = (
    *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "HOME"),
    *("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "XDG_CACHE_HOME"),
    *("HF_HOME", "HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES"),
)
_MAX_ANSWER_BYTES = 16 * 2**20  # metadata of one file, far above any; a taken-over process must not fill our memory
_PROGRESS_EVERY_S = 0.5
# Not `-m`: that puts the working folder, which may hold uploads, before the standard library on the module path.
# The folder of this package comes last, for a checkout that is not installed.
_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])
_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from {module} import main; main(*sys.argv[2:])"
DECODER = "media_assets.pipeline.worker"


class WorkerStartError(Exception):
    """No process can be started on this machine; the message says what to check."""


class Child:
    """One process and the pipe to it. Used by one thread.

    Args:
        arguments: What its program is called with.
        module: Which program: the module whose ``main`` it runs.
    """

    def __init__(self, arguments: Sequence[str], module: str = DECODER) -> None:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        # One thread per process: the pool already uses every core.
        environment |= {"OMP_NUM_THREADS": "1", "VIPS_CONCURRENCY": "1", "PYTHONUTF8": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM.replace("{module}", module), _PACKAGE_ROOT, *arguments],
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
                if module == DECODER
                else "The process that runs models did not start. Run `media-assets doctor`, and raise the setting "
                "analysis_memory_bytes if it is small."
            )
        self.isolation = frozenset(str(name) for name in answer.get("isolation", ()))

    def ask(
        self,
        message: Mapping[str, Any],
        timeout_s: float,
        *,
        stall_s: float | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> dict[str, Any] | None:
        """Send one task and return the answer; ``None`` when the process died.

        Args:
            message: The task.
            timeout_s: Time until the answer.
            stall_s: Time between two reports of progress, for tasks that make some.
            on_progress: Receives shares, 0-1, at most one a second: a taken-over process may send any number.

        Raises:
            TimeoutError: No answer, or no report, in time.
            ValueError: What came is no answer.
        """
        assert self._process.stdin is not None  # noqa: S101 - opened as a pipe above
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        self.tasks_done += 1
        if stall_s is None:
            return self._read_line(timeout_s)
        deadline, told = time.monotonic() + timeout_s, -math.inf
        while True:
            answer = self._read_line(min(stall_s, deadline - time.monotonic()))
            if answer is None or "progress" not in answer:
                return answer
            share = float(answer["progress"])
            if on_progress is not None and 0 <= share <= 1 and time.monotonic() - told >= _PROGRESS_EVERY_S:
                told = time.monotonic()
                on_progress(share)

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
