"""Retries of single storage calls inside a batch: exponential back-off with jitter, for retryable errors only."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from media_assets.storage.errors import StorageError

T = TypeVar("T")

ATTEMPTS = 4
BASE_DELAY_S = 0.5
MAX_DELAY_S = 10.0


def with_retries(call: Callable[[], T], *, sleep: Callable[[float], None] = time.sleep) -> T:
    """Return ``call()``, repeated after retryable storage errors; the last error is raised.

    Waits up to 0.5, 1, 2 s ... between attempts ("full jitter": a random share, so that many workers that failed
    together do not come back together).
    """
    for attempt in range(ATTEMPTS - 1):
        try:
            return call()
        except StorageError as error:
            if not error.retryable:
                raise
            sleep(random.uniform(0.1, 1.0) * min(MAX_DELAY_S, BASE_DELAY_S * 2**attempt))  # noqa: S311 - not a secret
    return call()
