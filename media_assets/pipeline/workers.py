"""A pool of decoder processes that survives what files do to them (DESIGN.md sections 5 and 10).

Long-lived child processes, one file at a time each. A child that crashes, hangs or runs out of memory is replaced and
only its file is affected. What the children do is in ``worker.py``, what it means for a batch in ``batch.py``.
"""

import logging
import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from media_assets.media.errors import ContentError, ReasonCode, ScratchError
from media_assets.media.limits import Limits
from media_assets.media.records import MediaResult, WebVideo
from media_assets.media.rendering import DEFAULT_OPTIONS, RenderOptions
from media_assets.pipeline.answers import MAX_TEXT, exit_reason, media_result, short, stated_error, web_video
from media_assets.pipeline.child import Child, WorkerStartError
from media_assets.pipeline.children import Children
from media_assets.pipeline.cores import CoreBudget, CoresClosedError

__all__ = ["Task", "VideoTask", "WorkerPool", "WorkerStartError"]

_LOG = logging.getLogger(__name__)
# A process that keeps this much between two files is replaced: its heap is fragmented, or a library leaks.
_KEPT_SHARE, _MIN_KEPT_BYTES = 0.25, 512 * 2**20
_CLIP_GRACE_S = 60.0  # between the time at which a process stops writing a clip and the end of our patience
_NO_START = "A decoder process cannot be started ({error}). Free memory or lower the setting `workers`."
_CLOSED = "The pool of decoder processes was closed. Run the batch again."

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Task:
    """One file for a decoder process.

    Attributes:
        path: Local copy of the file, under a neutral name.
        scratch: Existing empty folder that receives the renditions.
        file_name: The uploader's name, for messages.
        metadata: Whether to read metadata.
        renditions: Whether to make thumbnails and preview.
        optimized: Whether to make web versions of a picture; those of a video are a task of their own.
        appearance: Whether to measure how it looks.
        sidecars: Local copies of its sidecars, under neutral names, the most trusted first.
    """

    path: Path
    scratch: Path
    file_name: str
    metadata: bool
    renditions: bool
    optimized: bool = False
    appearance: bool = False
    sidecars: tuple[Path, ...] = ()


@dataclass(frozen=True)
class VideoTask:
    """The web renditions of one video that was found to be sound.

    Attributes:
        path: Local copy of the file, under a neutral name.
        scratch: Existing folder that receives the renditions.
    """

    path: Path
    scratch: Path


@dataclass(frozen=True)
class _Errand(Generic[Answer]):
    """What one process is asked to do.

    Attributes:
        message: The task, as the process gets it.
        cores: Cores that it keeps busy.
        timeout_s: Wall-clock time until the answer.
        timeout_setting: What to raise when that is too short.
        accept: Makes what was asked for of the answer; raises ValueError, TypeError or OSError when it is impossible.
        stall_s: Wall-clock time between two reports of progress, if the task makes some.
        on_progress: Receives them.
    """

    message: dict[str, Any]
    cores: int
    timeout_s: float
    timeout_setting: str
    accept: Callable[[Any], Answer]
    stall_s: float | None = None
    on_progress: Callable[[float], None] | None = None


class WorkerPool:
    """Runs :func:`media_assets.media.extract.extract` in isolated processes, and what videos take beside.

    A file keeps one core busy, a video that is encoded all of them. The tasks start in the order of their submission
    and never keep more cores busy than there are processes.

    Args:
        count: Number of processes, and of cores that they may use.
        memory_bytes: Address space of each.
        timeout_s: Wall-clock and CPU time for one file; longest silence of the process that encodes a video.
        max_tasks: Files after which a process is replaced.
        limits: Limits for the files.
        options: How renditions are made.
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
        options: RenderOptions = DEFAULT_OPTIONS,
        work_folder: Path | None = None,
    ) -> None:
        self.count = count
        self._memory_bytes = memory_bytes
        self._timeout_s = timeout_s
        self._max_tasks = max_tasks
        self._limits = asdict(limits)
        self._options = asdict(options)
        self._clip_timeout_s = options.clip_timeout_s
        self._arguments = (str(memory_bytes), *([str(work_folder.absolute())] if work_folder is not None else []))
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="decoder")
        self._cores = CoreBudget(count)
        self._children = Children(lambda: Child(self._arguments), _NO_START, _CLOSED)
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
        children = self._children.take_all()
        self._cores.close()
        for child in children:
            child.kill()
        self._threads.shutdown(wait=True)

    def submit(self, task: Task) -> Future[MediaResult]:
        """Queue a file. Its future raises ContentError, or ScratchError and WorkerStartError for the machine."""
        return self._threads.submit(self._run, self._file_errand(task))

    def submit_video(self, task: VideoTask, on_progress: Callable[[float], None] | None = None) -> Future[WebVideo]:
        """Queue the web renditions of a video; they start when all cores are free for them.

        Args:
            task: The video.
            on_progress: Receives the share that is done, 0-1, about once a second, in a thread of the pool. What it
                raises is logged.

        Returns:
            A future that gives what was made, and raises as that of :meth:`submit` does.
        """
        return self._threads.submit(self._run, self._video_errand(task, on_progress))

    def _file_errand(self, task: Task) -> _Errand[MediaResult]:
        message = {
            # The process has no working folder that a relative path could start from.
            "path": str(task.path.absolute()),
            "scratch": str(task.scratch.absolute()),
            "file_name": task.file_name,
            "metadata": task.metadata,
            "renditions": task.renditions,
            "optimized": task.optimized,
            "appearance": task.appearance,
            "options": self._options,
            "sidecars": [str(path.absolute()) for path in task.sidecars],
            "limits": self._limits,
            "cpu_s": self._timeout_s,
        }
        accept = partial(media_result, scratch=task.scratch)
        return _Errand(message, 1, self._timeout_s, "worker_timeout_s", accept)

    def _video_errand(self, task: VideoTask, on_progress: Callable[[float], None] | None) -> _Errand[WebVideo]:
        timeout_s = self._clip_timeout_s + _CLIP_GRACE_S
        message = {
            "is_video": True,
            "path": str(task.path.absolute()),
            "scratch": str(task.scratch.absolute()),
            "options": self._options,
            "limits": self._limits,
            "threads": self.count,
            "deadline_s": self._clip_timeout_s,
            "cpu_s": timeout_s * self.count,
        }
        accept = partial(web_video, scratch=task.scratch)
        return _Errand(
            message,
            self.count,
            timeout_s,
            "clip_timeout_s",
            accept,
            self._timeout_s,
            on_progress and _harmless(on_progress),
        )

    def _child(self) -> Child:
        child = self._children.own(is_worn=lambda one: one.tasks_done >= self._max_tasks)
        self.isolation = child.isolation
        return child

    def _run(self, errand: _Errand[Answer]) -> Answer:
        try:
            with self._cores.hold(errand.cores):
                return self._run_on_cores(errand)
        except CoresClosedError:
            raise WorkerStartError(_CLOSED) from None

    def _run_on_cores(self, errand: _Errand[Answer]) -> Answer:
        child = self._child()
        try:
            answer = child.ask(errand.message, errand.timeout_s, stall_s=errand.stall_s, on_progress=errand.on_progress)
        except TimeoutError:
            self._children.discard(child)
            raise _too_slow(errand) from None
        except (ValueError, TypeError, OSError) as error:
            self._children.discard(child)
            raise ContentError(
                ReasonCode.DECODER_CRASHED,
                "The decoder gave an answer that makes no sense on this file. Replace it with a sound copy.",
                "decode",
            ) from error
        if answer is None:
            status = child.exit_status()
            self._children.discard(child)
            if status == -signal.SIGXCPU:  # several threads use up CPU time faster than the clock runs
                raise _too_slow(errand)
            raise ContentError(
                ReasonCode.DECODER_CRASHED,
                f"The decoder crashed on this file ({exit_reason(status)}). Replace it with a sound copy.",
                "decode",
            )
        try:
            return self._interpret(child, answer, errand)
        finally:
            if child.resident_bytes() > max(_KEPT_SHARE * self._memory_bytes, _MIN_KEPT_BYTES):
                self._children.discard(child)

    def _interpret(self, child: Child, answer: dict[str, Any], errand: _Errand[Answer]) -> Answer:
        """Turn an answer into a result or an error. The answer is not trusted: the process may have been taken over."""
        if "result" in answer or "error" in answer:
            try:
                if "error" in answer:
                    error = stated_error(answer["error"])
                else:
                    return errand.accept(answer["result"])
            except (ValueError, TypeError, KeyError, OSError) as impossible:  # ValidationError is a ValueError
                self._children.discard(child)
                raise ContentError(
                    ReasonCode.DECODER_CRASHED,
                    f"The decoder gave an impossible result ({short(impossible)}). Replace the file.",
                    "decode",
                ) from impossible
            raise error
        if "scratch" in answer:
            raise ScratchError(str(answer["scratch"])[:MAX_TEXT])
        self._children.discard(child)  # its heap is in an unknown state
        if "memory" in answer:
            raise ContentError(
                ReasonCode.DECODER_MEMORY,
                f"Decoding needs more than {self._memory_bytes / 2**20:.0f} MiB of memory. Raise the setting "
                "worker_memory_bytes if the file is sound, else replace it.",
                "decode",
            )
        raise ContentError(
            ReasonCode.DECODER_CRASHED,
            f"The decoder failed on this file ({str(answer.get('unexpected', 'no reason given'))[:MAX_TEXT]}). "
            "Replace it with a sound copy.",
            "decode",
        )


def _harmless(on_progress: Callable[[float], None]) -> Callable[[float], None]:
    """Return a listener whose faults are not taken for those of the decoder."""

    def tell(share: float) -> None:
        try:
            on_progress(share)
        except Exception:
            _LOG.exception("The progress of a video could not be told.")

    return tell


def _too_slow(errand: _Errand[Answer]) -> ContentError:
    return ContentError(
        ReasonCode.DECODER_TIMEOUT,
        f"Decoding took longer than {errand.timeout_s:.0f} s. Raise the setting {errand.timeout_setting} if the file "
        "is sound, else replace it.",
        "decode",
    )
