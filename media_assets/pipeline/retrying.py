"""What ``media-assets retry`` starts again: batches that were given up, and files that were refused.

Decisions and calls to the ledger; nothing is processed here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from media_assets.media.errors import CIRCUMSTANTIAL, ReasonCode
from media_assets.pipeline.assets import REJECTED_TABLE
from media_assets.pipeline.claims import is_in_work
from media_assets.pipeline.library import Library
from media_assets.storage import catalog, keys
from media_assets.storage.ledger_schema import Batch, MediaEntry

_STARTED = "Started again by `media-assets retry`."
_AT_ONCE = 5000


@dataclass
class Retries:
    """What would be, or was, started again.

    Attributes:
        batches: Batches that become pending.
        files: Rejected uploads that wait for a batch again.
        left: What is left alone, by name, and why.
    """

    batches: list[Batch] = field(default_factory=list)
    files: list[MediaEntry] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)

    def add_batch(self, library: Library, batch: Batch) -> None:
        """Take a batch on unless somebody works on it or it is done."""
        if batch.state == "done":
            self.left[f"batch {batch.batch_id}"] = "It is done."
        elif is_in_work(library, batch, datetime.now(UTC)):
            self.left[f"batch {batch.batch_id}"] = "It is in work."
        elif batch.batch_id not in {one.batch_id for one in self.batches}:
            self.batches.append(batch)


def plan_batches_again(library: Library, plan: Retries, batch_ids: Iterable[str] | None) -> None:
    """Add batches to ``plan``: those of these ids, or (``None``) all that failed."""
    if batch_ids is None:
        for batch in library.ledger.unfinished(_AT_ONCE):
            if batch.state == "exhausted" or (batch.state == "pending" and batch.attempt > 1):
                plan.add_batch(library, batch)
        return
    for batch_id in batch_ids:
        found = library.ledger.batch(batch_id)
        if found is None:
            plan.left[f"batch {batch_id}"] = "There is no such batch. `media-assets status` lists the unfinished ones."
        else:
            plan.add_batch(library, found)


def plan_rejected_again(library: Library, plan: Retries, reasons: Sequence[ReasonCode]) -> None:
    """Add the rejected files to ``plan`` whose reason is among ``reasons``, or depends on the machine and settings."""
    wanted = frozenset(reasons) or CIRCUMSTANTIAL
    known = _reasons(library)
    for entry in _rejected(library):
        reason = known.get((entry.media_id, entry.etag), entry.problem)
        if reason in wanted:
            _add_file(plan, entry)


def plan_keys_again(library: Library, plan: Retries, source_keys: Iterable[str]) -> None:
    """Add single uploads to ``plan``: the file if it was rejected, its batch if that failed."""
    for source_key in source_keys:
        entry = library.ledger.entries([keys.media_id(source_key)]).get(keys.media_id(source_key))
        if entry is None:
            plan.left[source_key] = "It is not known. Give the key as `media-assets rejected` shows it."
        elif entry.state == "rejected":
            _add_file(plan, entry)
        elif entry.state == "pending":
            batch = library.ledger.batch(entry.batch_id) if entry.batch_id is not None else None
            if batch is None:
                plan.left[source_key] = "It waits for its first batch."
            else:
                plan.add_batch(library, batch)
        elif entry.state == "accepted":
            plan.left[source_key] = "It was accepted. To compute assets again: media-assets reprocess"
        else:
            plan.left[source_key] = "It has left the inbox." if entry.state == "gone" else "It is a sidecar."


def carry_out(library: Library, plan: Retries) -> int:
    """Start everything of ``plan`` again; return how many files wait again, of those that were rejected."""
    for batch in plan.batches:
        library.ledger.start_again(batch, _STARTED)
    return library.ledger.reconsider(plan.files, ReasonCode.RUN_KILLED)


def _add_file(plan: Retries, entry: MediaEntry) -> None:
    if entry.problem is not None and entry.problem != ReasonCode.RUN_KILLED:
        # What the listing said of it holds until it is listed in another way.
        plan.left[entry.source_key] = entry.problem_message or "Replace the file."
    elif entry.media_id not in {one.media_id for one in plan.files}:
        plan.files.append(entry)


def _rejected(library: Library) -> Iterator[MediaEntry]:
    last = ""
    while page := library.ledger.rejected_entries(_AT_ONCE, last):
        yield from page
        last = page[-1].media_id


def _reasons(library: Library) -> Mapping[tuple[str, str], str]:
    """Why each version of an upload was rejected, of those that the catalog has absorbed."""
    if library.pending_parts():
        library.compact()
    rows = catalog.read_current(library.store, REJECTED_TABLE, ["media_id", "etag", "reason_code"]).to_pylist()
    return {(row["media_id"], row["etag"]): row["reason_code"] for row in rows}
