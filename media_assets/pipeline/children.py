"""The child processes of a pool: one for each thread, ended together.

Lives here: who owns which process. Must not: know what they do, or when one is to be replaced.
"""

import threading
from collections.abc import Callable

from media_assets.pipeline.child import Child, WorkerStartError


class Children:
    """Processes by thread. Threads must live as long as the pool, and so does the death signal of their children.

    Args:
        start: Starts a process.
        refused: What to say when one cannot be started; ``{error}`` is the reason.
        closed: What to say when the pool was closed meanwhile.
    """

    def __init__(self, start: Callable[[], Child], refused: str, closed: str) -> None:
        self._start = start
        self._refused = refused
        self._closed_message = closed
        self._local = threading.local()
        self._lock = threading.Lock()
        self._children: set[Child] = set()
        self._closed = False

    def own(self, is_worn: Callable[[Child], bool] = lambda child: False) -> Child:
        """Return the process of this thread, a new one where it has ended or is worn.

        Raises:
            WorkerStartError: None can be started, or the pool was closed.
        """
        child: Child | None = getattr(self._local, "child", None)
        # An idle process that was killed, for want of memory perhaps, says nothing about what comes next.
        if child is not None and (is_worn(child) or not child.is_alive):
            self.discard(child)
            child = None
        if child is None:
            try:
                child = self._start()
            except (OSError, ValueError) as error:
                raise WorkerStartError(self._refused.format(error=error)) from error
            with self._lock:
                closed = self._closed
                if not closed:
                    self._children.add(child)
            if closed:
                child.kill()
                raise WorkerStartError(self._closed_message)
            self._local.child = child
        return child

    def discard(self, child: Child) -> None:
        """End the process of this thread."""
        with self._lock:
            self._children.discard(child)
        self._local.child = None
        child.kill()

    def take_all(self) -> set[Child]:
        """Let no process start any more, and hand over those there are, to be killed."""
        with self._lock:
            self._closed = True
            children, self._children = self._children, set()
        return children
