"""Finding the file that kills: a batch whose process died is repeated, then halved, until one file is left to blame.

What a decoder does costs its file only; this is about the process of the run itself (out of memory, a crash in a
library, the OOM killer), which takes everything with it. The rules:

* Files that were recorded before the death are done and out of suspicion.
* The first death of a batch repeats it whole: machines restart, and people kill processes.
* The second death halves it. A half that dies is halved at once: for a batch of n files with one that kills, that is
  about 2 log2(n) runs.
* A file alone is refused (reason ``run_killed``) after three deaths, or after two when the run of another batch was at
  work after the first of them and came to its end: the machine is well then. Between them is the back-off of requests.
* A death is shared, and no evidence against a file alone, when whoever watched the process, or a batch that was not
  suspected, went down with it. A file alone that died five times without enough evidence is given up and not refused:
  the machine may be to blame. `media-assets retry` tries it again.
* Batches that have died are done one at a time, so that none dies of what another one does to the machine.
* Only the metadata of accepted files is computed again by batches of sidecars: they are given up, never refused.

Lives here: the rules, and the calls to the ledger that follow. Whether a process has died is decided in ``requests``.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from media_assets.media.errors import ReasonCode
from media_assets.pipeline.requests import backoff
from media_assets.storage.ledger import Ledger
from media_assets.storage.ledger_deaths import Death, Suspicion
from media_assets.storage.ledger_schema import Batch, MediaEntry

Verdict = Literal["repeat", "halve", "condemn", "give_up"]

_HALVED_AFTER = 2
_REFUSED_AFTER = 3
_REFUSED_AFTER_WITH_CONTROL = 2
_GIVEN_UP_AFTER = 5

_REPEATED = "The process that worked on it died; it is done again."
_HALVED = "The process that worked on it died {count} times; its files are in smaller batches now."
_GIVEN_UP = (
    "The process that worked on this file died {count} times, and the machine may be to blame. See that there is "
    "enough memory, then run: media-assets retry --batch {batch_id}"
)
_REFUSED = (
    "The process that worked on this file died {count} times when it was alone with it. Upload a sound copy; or give "
    "the machine more memory, then run: media-assets retry --rejected --reason run_killed"
)


def judge(
    deaths: Sequence[Death],
    *,
    pending: int,
    suspicion: Suspicion | None,
    batch_id: str,
    is_refresh: bool,
    worked_elsewhere: Callable[[datetime], bool],
) -> Verdict:
    """Decide what follows from the last of ``deaths``.

    Args:
        deaths: All deaths of the batch, the oldest first; at least one.
        pending: How many of its files wait.
        suspicion: What the ledger knows of the batch.
        batch_id: Its id.
        is_refresh: Whether its files are accepted ones.
        worked_elsewhere: Returns whether the run of another batch was at work after a time and came to its end.
    """
    if pending > 1:
        is_part = suspicion is not None and suspicion.parent_id != batch_id
        return "halve" if is_part or len(deaths) >= _HALVED_AFTER else "repeat"
    if suspicion is not None and suspicion.is_condemned:
        return "condemn"
    alone = [one for one in deaths if one.pending == 1]
    evidence = [one for one in alone if not one.is_shared]
    if not is_refresh and (
        len(evidence) >= _REFUSED_AFTER
        or (len(evidence) >= _REFUSED_AFTER_WITH_CONTROL and worked_elsewhere(evidence[0].at))
    ):
        return "condemn"
    return "give_up" if len(alone) >= _GIVEN_UP_AFTER else "repeat"


def bury(
    ledger: Ledger,
    batch: Batch,
    now: datetime,
    positions: Callable[[], Mapping[str, int]],
    *,
    is_shared: bool,
) -> None:
    """Record that the process of a batch has died, and prepare what comes next.

    A batch of which nothing waits any more is left as it is: it has to be closed.

    Args:
        ledger: Where the batch is.
        batch: The batch as it was read.
        now: Aware time.
        positions: Returns the order of the existing partitions; asked when the batch is halved.
        is_shared: See :class:`~media_assets.storage.ledger_deaths.Death`.
    """
    members = ledger.pending_members(batch.batch_id)
    if not members:
        return
    deaths = ledger.record_death(batch, len(members), now, is_shared=is_shared)
    suspicion = ledger.suspicion(batch.batch_id)
    verdict = judge(
        deaths,
        pending=len(members),
        suspicion=suspicion,
        batch_id=batch.batch_id,
        is_refresh=batch.is_refresh,
        worked_elsewhere=lambda since: ledger.worked_elsewhere(batch, since),
    )
    if verdict == "halve":
        ledger.split_batch(batch, _halves(members, positions()), now, _HALVED.format(count=len(deaths)))
        return
    ledger.suspect(batch)
    alone = sum(one.pending == 1 for one in deaths)
    if verdict == "condemn":
        ledger.condemn(
            batch,
            members[0],
            str(ReasonCode.RUN_KILLED),
            _REFUSED.format(count=alone),
            is_untouchable=suspicion is not None and suspicion.is_condemned,
        )
    given_up = verdict == "give_up"
    # At once after the first death; a file alone gets time for whatever else was wrong to pass.
    waits = backoff(alone - 1) if verdict == "repeat" and alone > 1 else timedelta(0)
    ledger.reopen_batch(
        batch,
        message=_GIVEN_UP.format(count=alone, batch_id=batch.batch_id) if given_up else _REPEATED,
        not_before=now + waits,
        max_attempts=1 if given_up else None,
    )


def _halves(members: Sequence[MediaEntry], order: Mapping[str, int]) -> list[list[MediaEntry]]:
    """Two parts whose partitions are neighbours, as far as those of the whole are."""
    ordered = sorted(members, key=lambda entry: order.get(entry.media_id, len(order)))
    middle = (len(ordered) + 1) // 2
    return [ordered[:middle], ordered[middle:]]
