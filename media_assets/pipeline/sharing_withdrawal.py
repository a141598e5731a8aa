"""Takes copies back: the object first, then the row, then the memory of it. A kill at any step is made good later.

Which copies have to go is decided in ``sharing_selection``.
"""

import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from media_assets.pipeline.assets import SHAREABLE, TABLE_OF
from media_assets.pipeline.library import Library
from media_assets.pipeline.sharing_selection import copies_to_withdraw
from media_assets.storage import keys
from media_assets.storage.ledger_copies import SharedCopy
from media_assets.storage.tables import PartWriter


def withdraw_copies(
    library: Library,
    among: Collection[str] | None = None,
    forget_events: Callable[[Collection[str]], object] | None = None,
) -> int:
    """Delete the copies that must go now, and what the tables say of them; return how many there were.

    A copy that another one has replaced loses its object only: the row is that of the other one.

    Args:
        library: The library.
        among: Only copies of these files.
        forget_events: Deletes what the orchestrator shows of the copies of some files.

    Raises:
        StorageError: Store or ledger refuse. What is not done yet is found by the next call.
        ModelError: The settings name a model that does not exist.
    """
    doomed = copies_to_withdraw(library, among=among)
    # The intention first: what is half withdrawn stays so, whatever owners and reviewers say next.
    library.ledger.record_copies(replace(one, state="withdrawn") for one in doomed if one.state != "replaced")
    for one in doomed:
        library.store.delete(one.path)
    _remove_rows(library, [one for one in doomed if one.state != "replaced"])
    shown = sorted({one.media_id for one in doomed if one.state != "replaced"})
    if forget_events is not None and shown:
        forget_events(shown)
    library.ledger.forget_copies([one.path for one in doomed])
    return len(doomed)


def _remove_rows(library: Library, copies: Sequence[SharedCopy]) -> None:
    if not copies:
        return
    now, writer = datetime.now(UTC), PartWriter(library.store, f"withdraw-{uuid.uuid4().hex}")
    for month in sorted({one.month for one in copies}):
        writer.remove(TABLE_OF[SHAREABLE], month, [one.media_id for one in copies if one.month == month], now)
    # The files are found to lack a result, and what is to be told of them instead is decided anew.
    library.ledger.forget_results(SHAREABLE, {one.media_id for one in copies})


def withdraw_unknown(library: Library) -> int:
    """Delete objects below ``shareable/`` that the ledger knows nothing of; return how many there were.

    For a ledger that was made again: no run may store a copy meanwhile.

    Raises:
        StorageError: Store or ledger refuse.
    """
    known = {one.path for one in library.ledger.copies()}
    unknown = [info.key for info in library.store.list(keys.SHAREABLE_FOLDER) if info.key not in known]
    for key in unknown:
        library.store.delete(key)
    return len(unknown)
