"""Time and progress of work that takes long.

Lives here: the clock. Must not: know what the work is.
"""

import time
from collections.abc import Callable

_EVERY_S = 1.0


class OutOfTimeError(Exception):
    """The work must stop."""


class Pace:
    """Tells how far the work is, and ends it when its time is over.

    Args:
        deadline_s: Seconds from now on.
        on_progress: Receives the share that is done, 0-1, never falling, at most once a second.
    """

    def __init__(self, deadline_s: float, on_progress: Callable[[float], None]) -> None:
        self._deadline = time.monotonic() + deadline_s
        self._on_progress = on_progress
        self._told_at = time.monotonic()
        self._share = 0.0
        self._from, self._to = 0.0, 1.0

    def part(self, start: float, end: float) -> None:
        """Let what follows count as this part of the whole."""
        self._from, self._to = start, end

    def tick(self, share: float) -> None:
        """Note that so much of the part is done; to be called often.

        Raises:
            OutOfTimeError: The deadline has passed.
        """
        now = time.monotonic()
        if now > self._deadline:
            raise OutOfTimeError
        done = self._from + (self._to - self._from) * min(max(share, 0.0), 1.0)
        self._share = max(self._share, done)
        if now - self._told_at >= _EVERY_S:
            self._told_at = now
            self._on_progress(self._share)
