"""Work that can be stopped: by Ctrl-C on the command line, between two pieces."""

from concurrent.futures import Future
from threading import Event
from typing import TypeVar

_POLL_S = 0.5

Result = TypeVar("Result")


class WorkStoppedError(Exception):
    """The work was stopped on request. What was recorded stays; the rest is done by the next run."""

    def __init__(self) -> None:
        super().__init__("The work was stopped. Start it again to continue.")


def wait_unless_stopped(future: "Future[Result]", stop: Event) -> Result:
    """Wait for a result, and look now and then whether the work is to be stopped.

    Raises:
        WorkStoppedError: ``stop`` was set.
    """
    while not stop.is_set():
        try:
            return future.result(timeout=_POLL_S)
        except TimeoutError:
            if future.done():
                raise
    raise WorkStoppedError
