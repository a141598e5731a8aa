"""The steps of an erasure, in their order. Killed at any moment, the same call completes it.

First the plan is stored, then the versions that must not come back are put on record and the ledger forgets the files:
from there on nothing works on them. Objects, documents, rows, derived files and Dagster follow; databases are written
anew; then everything is searched (``erasure.proof``). The certificate is written last, and the plan deleted with it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from media_assets.pipeline.erasure.documents import CONSENTS, erase_documents
from media_assets.pipeline.erasure.inboxes import InboxLeft, leave_inboxes
from media_assets.pipeline.erasure.local_files import erase_from_files, forget_derived
from media_assets.pipeline.erasure.objects import delete_objects
from media_assets.pipeline.erasure.plan import names_of
from media_assets.pipeline.erasure.proof import search, take_pieces
from media_assets.pipeline.erasure.rows import erase_rows
from media_assets.pipeline.library import Library
from media_assets.pipeline.liveness import is_dead_holder, new_holder
from media_assets.storage.consents import publish_records
from media_assets.storage.erasure_records import Certificate, ErasurePlan, complete, now, write_plan
from media_assets.storage.ledger_refusals import refusal_mark

_LEASES = ("erasure", "catalog", "people", "near_duplicates", "departures")
_LEASE_FOR = timedelta(hours=2)


class ErasureLeaseError(Exception):
    """Another process compacts, groups, moves uploads or erases right now."""


class ErasureIncompleteError(Exception):
    """Something is left of what was erased.

    Attributes:
        left: Where.
    """

    def __init__(self, left: list[str]) -> None:
        super().__init__(
            f"Something is left in {len(left)} places. Nothing is certified. Look at them, then erase again: the "
            "erasure is completed."
        )
        self.left = left


class Orchestrator(Protocol):
    """What an erasure needs of Dagster."""

    def check_idle(self) -> None:
        """Raise an error when a run or a backfill goes on."""

    def erase(self, media_ids: Collection[str], names: Collection[str]) -> Mapping[str, int]:
        """Delete everything about partitions and replace names; return counts."""

    def give_space_back(self) -> None:
        """Let no deleted row be left in the files of its databases."""

    def places_naming(self, names: Collection[str]) -> list[str]:
        """Return where one of these names is left."""

    def knows_run(self, run_id: str) -> bool:
        """Return whether there was such a run."""


def erase(
    library: Library,
    plan: ErasurePlan,
    orchestrator: Orchestrator,
    places: Collection[Path],
    *,
    also_inbox: bool = False,
    on_step: Callable[[str], None] = lambda step: None,
) -> Certificate:
    """Erase what a plan says, prove it and certify it.

    Args:
        library: The library.
        plan: See :func:`media_assets.pipeline.erasure.plan.make_plan`, or one that was begun.
        orchestrator: Dagster.
        places: Files and folders with logs and databases, see
            :func:`media_assets.pipeline.erasure.local_files.state_of`.
        also_inbox: Whether the uploads are deleted from their inboxes too, and from where they were moved to.
        on_step: Called with the name of each step before it is done.

    Raises:
        ErasureLeaseError: Another process works on the tables.
        ErasureIncompleteError: Something is left.
        StorageError: The library or the ledger cannot be read or written; call it again.
    """
    store, ledger = library.store, library.ledger
    orchestrator.check_idle()
    with _leases(library):
        names = names_of(plan, [key for one, key in ledger.all_source_keys().items() if one not in plan.media_ids])
        on_step("pieces")
        pieces, read = take_pieces(library, plan)
        counts = Counter(plan.counts)
        counts.setdefault("media_files", len(plan.media_ids))
        counts["originals_compared"] = read
        _note(library, plan, counts)
        on_step("refusals")
        marks = {refusal_mark(one.source_key, one.etag, one.size_bytes) for one in plan.uploads}
        ledger.refuse(marks, plan.erasure_id)
        on_step("ledger")
        ledger.hand_over({(one.owner, one.sha256): one.heir for one in plan.contents if one.heir is not None})
        forgotten = ledger.forget_files(plan.media_ids, owner=plan.owner, cells=plan.cells)
        _add(library, plan, counts, {"ledger_rows": sum(forgotten.values())})
        on_step("inbox")
        inbox = leave_inboxes(library, plan, delete=also_inbox)
        _add(library, plan, counts, {"inbox_uploads": inbox.deleted})
        on_step("objects")
        _add(library, plan, counts, delete_objects(store, plan))
        on_step("documents")
        _add(library, plan, counts, {f"{name}_documents": n for name, n in erase_documents(store, plan).items()})
        on_step("rows")
        _add(library, plan, counts, {f"rows_{table}": n for table, n in erase_rows(store, plan).items()})
        if plan.owner is not None:
            publish_records(store)  # the register is shown without the name
        on_step("derived files")
        derived = forget_derived(library, pieces, names, orchestrator.knows_run)
        _add(library, plan, counts, {"derived_files": derived})
        on_step("Dagster")
        _add(library, plan, counts, orchestrator.erase(plan.media_ids, names))
        on_step("logs")
        _add(library, plan, counts, {"log_files": erase_from_files(places, names)})
        on_step("space")
        ledger.give_back_space()
        orchestrator.give_space_back()
        on_step("proof")
        everywhere = [*places, store.scratch_dir()]
        proof = search(library, plan, names, pieces, places=everywhere, others=orchestrator.places_naming)
        if proof.left:
            raise ErasureIncompleteError(proof.left)
        ledger.lift_marks(inbox.lifted)
        kept = _kept(plan, counts, inbox, proof.shared)
        certificate = Certificate(
            erasure_id=plan.erasure_id,
            kind=plan.kind,
            began_at=plan.began_at,
            completed_at=now(),
            erased={name: n for name, n in sorted(counts.items()) if n and not name.startswith(CONSENTS)},
            kept={name: n for name, n in kept.items() if n},
            searched=dict(proof.searched),
            refused=tuple(sorted(marks - set(inbox.lifted))),
        )
        on_step("certificate")
        complete(store, certificate)
    return certificate


@contextmanager
def _leases(library: Library) -> Iterator[None]:
    holder = new_holder()
    with ExitStack() as held:
        for name in _LEASES:
            obtained = held.enter_context(library.ledger.lease(name, holder, _LEASE_FOR, is_dead=is_dead_holder))
            if not obtained:
                raise ErasureLeaseError(f"Another process holds {name!r}. Wait for it, then erase again.")
        yield


def _add(library: Library, plan: ErasurePlan, counts: Counter[str], done: Mapping[str, int]) -> None:
    counts.update({name: n for name, n in done.items() if n})
    _note(library, plan, counts)


def _note(library: Library, plan: ErasurePlan, counts: Counter[str]) -> None:
    """Keep what was counted: a call that completes the erasure adds to it."""
    write_plan(library.store, plan.model_copy(update={"counts": dict(counts)}))


def _kept(plan: ErasurePlan, counts: Counter[str], inbox: InboxLeft, shared: int) -> dict[str, int]:
    return {
        "originals_of_others": sum(one.heir is not None for one in plan.contents),
        "renditions_of_others": sum(one.is_seen for one in plan.contents),
        "objects_of_others_with_the_same_bytes": shared,
        "consents_without_name": counts[f"{CONSENTS}_documents"],
        "uploads_left_in_inbox": inbox.left,
    }
