from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from media_assets.pipeline.requests import Action, RunState, backoff, decide
from media_assets.storage.ledger_schema import Batch, BatchState

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DEAD_AFTER = timedelta(seconds=120)
FRESH, SILENT = NOW - timedelta(seconds=119), NOW - timedelta(seconds=120)


def batch(state: BatchState = "pending", **changes: Any) -> Batch:
    values: dict[str, Any] = {
        "batch_id": "b",
        "inbox": "file:///in",
        "attempt": 1,
        "file_count": 1,
        "size_bytes": 1,
        "first_media_id": "m",
        "last_media_id": "m",
        "created_at": NOW,
        "not_before": NOW,
        "run_id": None,
        "worker": None,
        "heartbeat_at": None,
        "message": None,
    }
    return Batch(state=state, **values | changes)


@pytest.mark.parametrize(
    ("one", "run", "facts", "action"),
    [
        # not requested yet, or requested and not launched: the run key makes a repetition harmless
        (batch(), "none", {}, "request"),
        (batch(not_before=NOW + timedelta(seconds=1)), "none", {}, "wait"),
        (batch(not_before=NOW - timedelta(days=1)), "none", {}, "request"),
        # in work by a run that Dagster does not know under this key: `media-assets process`, or a deleted run
        (batch("running", heartbeat_at=FRESH), "none", {}, "wait"),
        (batch("running", heartbeat_at=SILENT), "none", {}, "reopen"),
        (batch("running"), "none", {}, "reopen"),
        (batch("running", heartbeat_at=FRESH), "none", {"worker_dead": True}, "reopen"),
        # in the queue, however long
        (batch(), "waiting", {"run_updated_at": NOW - timedelta(days=1)}, "wait"),
        (batch("running", heartbeat_at=SILENT), "waiting", {}, "wait"),
        # started
        (batch(), "started", {"run_updated_at": FRESH}, "wait"),
        (batch(), "started", {"run_updated_at": SILENT}, "abandon"),
        (batch(), "started", {}, "wait"),
        (batch("running", heartbeat_at=FRESH), "started", {"run_updated_at": SILENT}, "wait"),
        (batch("running", heartbeat_at=SILENT), "started", {"run_updated_at": FRESH}, "abandon"),
        (batch("running", heartbeat_at=FRESH), "started", {"worker_dead": True}, "abandon"),
        # ended
        (batch("running", heartbeat_at=FRESH), "succeeded", {}, "close"),
        (batch(), "succeeded", {}, "close"),
        (batch("running", heartbeat_at=FRESH), "failed", {}, "reopen"),
        (batch(), "failed", {}, "reopen"),
    ],
)
def test_what_is_done_with_a_batch(one: Batch, run: RunState, facts: dict[str, Any], action: Action) -> None:
    assert decide(one, run, NOW, DEAD_AFTER, **facts).action == action


def test_a_failed_attempt_is_followed_by_the_next_one_after_the_back_off() -> None:
    decision = decide(batch("running", attempt=3, message="Disk full."), "failed", NOW, DEAD_AFTER)
    assert decision.not_before == NOW + timedelta(seconds=60)
    assert decision.message == "Disk full."
    assert decide(batch(), "failed", NOW, DEAD_AFTER).message == "The run failed; its log says why."


def test_a_dead_run_is_followed_by_the_next_attempt_at_once() -> None:
    assert decide(batch("running"), "started", NOW, DEAD_AFTER, worker_dead=True).not_before == NOW
    assert decide(batch("running"), "none", NOW, DEAD_AFTER).not_before == NOW


def test_the_back_off_doubles_up_to_a_quarter_of_an_hour() -> None:
    seconds = [backoff(attempt).total_seconds() for attempt in range(1, 60)]
    assert seconds[:4] == [15, 30, 60, 120]
    assert all(a <= b for a, b in pairwise(seconds))
    assert set(seconds[6:]) == {900}
