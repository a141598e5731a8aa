"""What people decided about the publication of files: "this may be shared", "this may not".

Durable objects of the library, one for each decision, never changed and never deleted but by an erasure: files are
rated anew again and again, what a person said stays. A decision is about the bytes that the person saw; what follows
from it is decided in ``pipeline.review``.
"""

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal
from weakref import WeakKeyDictionary

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from media_assets.storage import keys
from media_assets.storage.errors import CatalogError, ObjectMissing
from media_assets.storage.objects import ObjectStore


class ReviewDecision(BaseModel):
    """One decision.

    Attributes:
        media_id: The file.
        owner: Whose it is.
        input_version: SHA-256 of the bytes that were judged; another upload under the same key is another picture.
        decision: ``allow`` or ``block``.
        recorded_by: Who decided.
        recorded_at: When.
        note: Why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    media_id: str
    owner: str = Field(min_length=1)
    input_version: str = Field(min_length=1)
    decision: Literal["allow", "block"]
    recorded_by: str = Field(min_length=1)
    recorded_at: AwareDatetime
    note: str | None = None


# Decisions never change, so that each one is read once by a process.
_read: "WeakKeyDictionary[ObjectStore, dict[str, ReviewDecision]]" = WeakKeyDictionary()


def record_decision(store: ObjectStore, decision: ReviewDecision) -> str:
    """Store a decision; return its key.

    Raises:
        StorageError: The store refused.
    """
    content = decision.model_dump_json(indent=1).encode()
    while True:
        key = keys.review_key(decision.owner, decision.media_id, decision.recorded_at, secrets.token_hex(4))
        if store.put_bytes(key, content, only_if_absent=True):
            return key


def read_decisions(store: ObjectStore) -> dict[tuple[str, str], ReviewDecision]:
    """Return the latest decision about each media id and version of its bytes.

    Raises:
        CatalogError: A decision is damaged or of a later version; it is named.
        StorageError: The store could not be read.
    """
    known = _read.setdefault(store, {})
    listed = {info.key for info in store.list(keys.REVIEWS_FOLDER)}
    for key in known.keys() - listed:
        del known[key]
    for key in sorted(listed - known.keys()):
        try:
            known[key] = ReviewDecision.model_validate_json(store.get_bytes(key))
        except ObjectMissing:
            continue  # erased since it was listed
        except ValidationError as error:
            raise CatalogError(
                f"{key} is no decision that this version understands. Restore it from a backup, delete it, or upgrade "
                "media_assets."
            ) from error
    return _latest(known[key] for key in sorted(known))


def delete_decisions(store: ObjectStore, owner: str, media_ids: Iterable[str] | None = None) -> int:
    """Delete what was decided about files of an owner; return the number of decisions that were there.

    Args:
        store: The library.
        owner: As in the tables.
        media_ids: Only these files; ``None``: all of the owner.

    Raises:
        StorageError: The store refused; what is left is deleted by another call.
    """
    folders = (
        [keys.reviews_folder(owner)]
        if media_ids is None
        else [keys.reviews_folder(owner, media_id) for media_id in media_ids]
    )
    gone = [info.key for folder in folders for info in store.list(folder)]
    for key in gone:
        store.delete(key)
    return len(gone)


def time_of_decision(store: ObjectStore, media_ids: Iterable[str]) -> datetime:
    """Return the time for new decisions about some files: now, or right after the latest one where clocks disagree.

    Raises:
        CatalogError: A decision is damaged or of a later version; it is named.
        StorageError: The store could not be read.
    """
    about = set(media_ids)
    said = [one.recorded_at for (media_id, _), one in read_decisions(store).items() if media_id in about]
    return max([datetime.now(UTC), *(at + timedelta(microseconds=1) for at in said)])


def _latest(decisions: Iterable[ReviewDecision]) -> dict[tuple[str, str], ReviewDecision]:
    found: dict[tuple[str, str], ReviewDecision] = {}
    for one in sorted(decisions, key=lambda decision: decision.recorded_at):
        found[one.media_id, one.input_version] = one
    return found
