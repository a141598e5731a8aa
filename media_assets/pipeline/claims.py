"""Which batches a command takes on that works them off by itself, in which order, and which it leaves to others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from media_assets.pipeline.bisect import bury
from media_assets.pipeline.library import Library
from media_assets.pipeline.liveness import is_dead, machine_started_at
from media_assets.storage.ledger_schema import Batch

_OPEN_AT_ONCE = 100_000


@dataclass(frozen=True)
class Claim:
    """What a command may work off.

    Attributes:
        batches: In their order: those that have died come last, so that another death costs nothing else.
        given_up: Batches that died again and again; they wait for ``media-assets retry``.
    """

    batches: tuple[Batch, ...]
    given_up: tuple[Batch, ...]


def is_in_work(library: Library, batch: Batch, now: datetime) -> bool:
    """Return whether a living process works on a batch."""
    if batch.state != "running":
        return False
    dead_after = timedelta(seconds=library.settings.batch_dead_after_s)
    silent = batch.heartbeat_at is None or now - batch.heartbeat_at >= dead_after
    return not silent and not (batch.worker is not None and is_dead(batch.worker))


def claim(library: Library, inbox_url: str, positions: Callable[[], Mapping[str, int]]) -> Claim:
    """Take on the open batches of an inbox; those that failed are started again, those in work are left alone.

    Batches whose process died are repeated, halved or their file refused, as ``bisect`` says.
    """
    ledger, now = library.ledger, datetime.now(UTC)
    for batch in ledger.open_batches(inbox_url, _OPEN_AT_ONCE):
        if batch.state == "running" and not is_in_work(library, batch, now):
            # Nobody watches a command; only a restart of the machine is known to be no fault of a file.
            is_shared = batch.heartbeat_at is None or batch.heartbeat_at < machine_started_at()
            bury(ledger, batch, now, positions, is_shared=is_shared)
    suspects = ledger.suspect_ids(inbox_url)
    ours: list[Batch] = []
    given_up: list[Batch] = []
    for batch in ledger.open_batches(inbox_url, _OPEN_AT_ONCE, with_exhausted=True):
        if is_in_work(library, batch, now):
            continue
        if batch.state == "exhausted" and batch.batch_id in suspects:
            given_up.append(batch)
            continue
        fresh = batch.state == "pending" and batch.run_id is None and batch.attempt == 1
        ours.append(
            batch
            if fresh
            else ledger.reopen_batch(
                batch, message="Started again by `media-assets process`.", not_before=now, max_attempts=None
            )
        )
    ours.sort(key=lambda batch: batch.batch_id in suspects)
    return Claim(tuple(ours), tuple(given_up))
