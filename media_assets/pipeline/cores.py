"""Who may use how many cores: first come, first served.

Lives here: counting and waiting. Must not: know what is done with the cores.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class CoresClosedError(Exception):
    """The budget was closed before the cores were handed out."""


class _Request:
    """Somebody who waits."""

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.is_granted = False
        self.is_decided = threading.Event()


class CoreBudget:
    """A number of cores that threads share, strictly in the order of asking.

    Who asks for all of them waits for those who came before, and those who come later wait for him: one that needs many
    is not passed over for ever by ones that need few.

    Args:
        count: Cores in all.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = count
        self._waiting: deque[_Request] = deque()
        self._lock = threading.Lock()
        self._is_closed = False

    @contextmanager
    def hold(self, cores: int) -> Iterator[None]:
        """Hold ``cores`` cores, after waiting for them; more than there are means all of them.

        Raises:
            CoresClosedError: The budget is closed.
        """
        cores = min(cores, self.count)
        self._take(cores)
        try:
            yield
        finally:
            with self._lock:
                self._free += cores
                self._hand_out()

    def close(self) -> None:
        """End the wait of all who wait, and of all who will; cores that are held stay so."""
        with self._lock:
            self._is_closed = True
            while self._waiting:
                self._waiting.popleft().is_decided.set()

    def _take(self, cores: int) -> None:
        request = _Request(cores)
        with self._lock:
            if self._is_closed:
                raise CoresClosedError
            self._waiting.append(request)
            self._hand_out()
        request.is_decided.wait()
        if not request.is_granted:
            raise CoresClosedError

    def _hand_out(self) -> None:
        while self._waiting and self._waiting[0].cores <= self._free:
            request = self._waiting.popleft()
            self._free -= request.cores
            request.is_granted = True
            request.is_decided.set()
