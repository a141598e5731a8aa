"""When a batch is started, waited for, or started again: the decision the sensor takes for each open batch.

Pure: the state of the Dagster run comes in as a word, the decision goes out. Back-off and the number of attempts are
those of DESIGN.md section 5.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from media_assets.storage.ledger_schema import Batch

RunState = Literal["none", "waiting", "started", "succeeded", "failed", "died"]
Action = Literal["request", "wait", "close", "reopen", "abandon"]

_BACKOFF_BASE_S = 15.0
_BACKOFF_MAX_S = 900.0


@dataclass(frozen=True)
class Decision:
    """What to do with a batch.

    ``request`` starts its attempt, ``wait`` leaves it, ``close`` marks it done if nothing is pending (else reopens
    it), ``reopen`` starts the next attempt at ``not_before``, ``abandon`` first declares its dead run failed.

    Attributes:
        action: What to do.
        message: Why, for people.
        not_before: Earliest time of the next attempt.
        died: Whether the process died while it worked on the files; what follows is decided in ``bisect`` then.
    """

    action: Action
    message: str = ""
    not_before: datetime | None = None
    died: bool = False


def backoff(attempt: int) -> timedelta:
    """Return how long to wait after failed attempt number ``attempt`` (from 1): 15 s, 30 s, 60 s ... 15 min."""
    return timedelta(seconds=min(_BACKOFF_MAX_S, _BACKOFF_BASE_S * 2 ** (attempt - 1)))


def decide(
    batch: Batch,
    run: RunState,
    now: datetime,
    dead_after: timedelta,
    *,
    worker_dead: bool = False,
    run_updated_at: datetime | None = None,
) -> Decision:
    """Decide about one open batch.

    Args:
        batch: The batch as the ledger has it.
        run: State of the newest Dagster run that carries the batch's current run key; ``died`` is a failed one that did
            not get to say why.
        now: Aware time.
        dead_after: Silence after which a started run counts as dead.
        worker_dead: The process that works on it is known to have ended.
        run_updated_at: When Dagster last heard of the run.
    """
    if run == "none":
        if batch.state == "running":
            # The run that is recorded has another run key or was deleted: only its heartbeat can tell.
            alive = not worker_dead and batch.heartbeat_at is not None and now - batch.heartbeat_at < dead_after
            return (
                Decision("wait") if alive else Decision("reopen", "The process that worked on it died.", now, died=True)
            )
        return Decision("request" if now >= batch.not_before else "wait")
    if run == "waiting":
        return Decision("wait")
    if run == "started":
        last_sign = batch.heartbeat_at if batch.state == "running" else run_updated_at
        if worker_dead or (last_sign is not None and now - last_sign >= dead_after):
            died = batch.state == "running"  # else it never came to touch a file
            return Decision("abandon", "The run gave no sign of life and was declared dead.", now, died=died)
        return Decision("wait")
    if run == "succeeded":
        return Decision("close")
    if run == "died" and batch.state == "running":
        return Decision("reopen", "The process that worked on it died.", now, died=True)
    return Decision("reopen", batch.message or "The run failed; its log says why.", now + backoff(batch.attempt))
