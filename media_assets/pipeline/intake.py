"""From a listing to batches: what the inbox sensor and ``media-assets process`` do before any run starts.

Listing minus ledger (DESIGN.md section 6): no time stamp and no order of keys decides whether an upload is new.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from media_assets.storage.inbox import Inbox
from media_assets.storage.ledger import Ledger
from media_assets.storage.ledger_schema import Batch, MediaEntry

SWEEP_SECONDS = 5.0
"""After this no other page is asked for in one tick: a slow server must not hold up the runs that are due."""

OPEN_BATCHES = 8
"""Batches that one tick looks at: bounds its look-ups, and the runs that wait in the queue."""

# Uploads that one call turns into batches; the rest waits for the next tick. As many as the runs take that a tick
# requests at most (eight, of ``batch_max_files``): more would only make the tick longer.
_PLAN_AT_ONCE = 2048


@dataclass(frozen=True)
class SweepResult:
    """What a bounded piece of a sweep found.

    Attributes:
        listed: Objects that were listed.
        new: Uploads that were not known.
        conflicts: Keys that another inbox brought with other bytes; not recorded.
        completed: Whether the end of the inbox was reached.
        sidecars: Sidecars among the listed objects; they are not counted in ``new``.
    """

    listed: int
    new: int
    conflicts: tuple[str, ...]
    completed: bool
    sidecars: int = 0


def sweep(
    ledger: Ledger,
    inbox: Inbox,
    *,
    page_size: int,
    max_pages: int | None,
    take_over: bool,
    on_page: Callable[[int], None] | None = None,
    max_seconds: float = SWEEP_SECONDS,
) -> SweepResult:
    """Continue the sweep over ``inbox`` for at most ``max_pages`` pages (``None``: from the start to the end).

    A bounded piece also ends after ``max_seconds``, with one page at least, so that every call gets on.

    The position is kept in the ledger, so that the next call continues; a sweep that reached the end starts over,
    and so every sweep is a full comparison.
    """
    status = ledger.sweep_status(inbox.url)
    position = status.position if status is not None and max_pages is not None else None
    listed = new = pages = sidecars = 0
    conflicts: list[str] = []
    started = time.monotonic()
    while True:
        page = inbox.list(position, page_size)
        result = ledger.record_page(inbox.url, page.objects, page.position, take_over=take_over)
        listed += len(page.objects)
        new += result.new
        sidecars += result.sidecars
        conflicts += result.conflicts
        pages += 1
        position = page.position
        if on_page is not None:
            on_page(listed)
        spent = max_pages is not None and (pages >= max_pages or time.monotonic() - started >= max_seconds)
        if position is None or spent:
            return SweepResult(listed, new, tuple(conflicts), completed=position is None, sidecars=sidecars)


def plan_batches(
    ledger: Ledger,
    inbox_url: str,
    positions: Callable[[], Mapping[str, int]],
    *,
    max_files: int,
    max_bytes: int,
    max_open: int | None = None,
) -> list[Batch]:
    """Put waiting uploads into batches that each cover a contiguous range of partitions.

    New files become neighbours when their partitions are added. Files that have a partition already (new versions)
    are grouped with their neighbours only, because a ranged run covers everything between its first and last key. So
    are files whose metadata is computed again because of a sidecar.

    Args:
        ledger: Where the uploads wait.
        inbox_url: Which inbox.
        positions: Returns the order of the existing partitions; asked only when there is something to plan.
        max_files: Files of a batch at most.
        max_bytes: Bytes of a batch at most; a larger file gets a batch of its own.
        max_open: While so many batches are due, what arrives is left to gather: few runs of many files instead of one
            for what each call found. Else at most so many are made, those of new files first, so that these do not
            wait for a thousand scattered newer versions. ``None``: no limit.
    """
    if max_open is not None and len(ledger.open_batches(inbox_url, max_open, due_at=datetime.now(UTC))) >= max_open:
        return []
    waiting = ledger.waiting(inbox_url, _PLAN_AT_ONCE)
    refreshes = ledger.waiting_refreshes(inbox_url, _PLAN_AT_ONCE)
    if not (waiting or refreshes):
        return []
    order = positions()
    made = ledger.create_batches(inbox_url, _grouped(waiting, order, max_files, max_bytes)[:max_open])
    # After the uploads: people wait for these.
    left = None if max_open is None else max_open - len(made)
    again = _grouped(refreshes, order, max_files, max_bytes)[:left]
    return [*made, *(ledger.create_batches(inbox_url, again, refresh=True) if again else [])]


def _grouped(
    entries: Sequence[MediaEntry], order: Mapping[str, int], max_files: int, max_bytes: int
) -> list[list[MediaEntry]]:
    new = [entry for entry in entries if entry.media_id not in order]
    known = sorted((entry for entry in entries if entry.media_id in order), key=lambda entry: order[entry.media_id])
    groups = _split(new, max_files, max_bytes)
    for neighbours in _contiguous(known, order):
        groups += _split(neighbours, max_files, max_bytes)
    return groups


def narrowed(batch: Batch, members: Sequence[MediaEntry], positions: Callable[[], Mapping[str, int]]) -> Batch:
    """Return the batch with the range that its present members span.

    A file whose newer version was listed before the run was requested has left for another batch. Were it the first or
    the last one, the range would end at a partition that does not exist yet, and no run over it could start.

    Args:
        batch: The batch.
        members: Its files; at least one.
        positions: Returns the order of the existing partitions; asked only when an end of the range has left.
    """
    ids = [entry.media_id for entry in members]
    if batch.first_media_id in ids and batch.last_media_id in ids:
        return batch
    order = positions()
    # Partitions that are new are added behind the others, in the order of the members.
    ids.sort(key=lambda media_id: order.get(media_id, len(order)))
    return replace(batch, first_media_id=ids[0], last_media_id=ids[-1])


def _split(entries: Sequence[MediaEntry], max_files: int, max_bytes: int) -> list[list[MediaEntry]]:
    groups: list[list[MediaEntry]] = []
    size = 0
    for entry in entries:
        if not groups or len(groups[-1]) >= max_files or size + entry.size_bytes > max_bytes:
            groups.append([])
            size = 0
        groups[-1].append(entry)
        size += entry.size_bytes
    return groups


def _contiguous(entries: Sequence[MediaEntry], order: Mapping[str, int]) -> list[list[MediaEntry]]:
    runs: list[list[MediaEntry]] = []
    for entry in entries:
        if runs and order[entry.media_id] == order[runs[-1][-1].media_id] + 1:
            runs[-1].append(entry)
        else:
            runs.append([entry])
    return runs


def contiguous_ranges(
    lacking: Mapping[str, Set[str]], positions: Mapping[str, int], max_files: int
) -> Iterator[tuple[list[str], Set[str]]]:
    """Yield neighbouring partitions that lack the same assets, as ranges; a ranged run covers all between its ends.

    Args:
        lacking: What is to be computed, by media id.
        positions: The order of the existing partitions; files without one are left out.
        max_files: Files of a range at most.
    """
    group: list[str] = []
    for media_id in sorted((one for one in lacking if one in positions), key=lambda one: positions[one]):
        if group and (
            positions[media_id] != positions[group[-1]] + 1
            or lacking[media_id] != lacking[group[-1]]
            or len(group) >= max_files
        ):
            yield group, lacking[group[-1]]
            group = []
        group.append(media_id)
    if group:
        yield group, lacking[group[-1]]
