"""Which answers of owners the library has followed: an object of the library, without names.

What is missing or lost is followed again, which changes nothing where nothing is to be changed.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from media_assets.pipeline.consent import PURPOSES, Consents
from media_assets.pipeline.library import Library
from media_assets.pipeline.privacy_policy import PrivacyPolicy
from media_assets.storage import keys
from media_assets.storage.errors import ObjectMissing
from media_assets.storage.objects import ObjectStore


@dataclass(frozen=True)
class Following:
    """How far the answers of an owner were followed.

    Attributes:
        version: Which answers; see :meth:`Consents.version_of`.
        is_edited: Whether the tables were made to follow them.
        awaited: Runs that went on when these answers were first seen, and have not been seen to end before the tables
            were edited. They may have read older answers, so that the tables are edited once more after them. A run
            that began later has read these answers.
    """

    version: str
    is_edited: bool = True
    awaited: tuple[str, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to be done for these answers."""
        return self.is_edited and not self.awaited


_DEFAULT = Following(Consents((), PrivacyPolicy()).version_of(""))
"""What has always been followed for an owner of whom nothing is known: results are gated from the start."""


def owner_mark(owner: str) -> str:
    """Return what stands for an owner, 16 hex digits."""
    return hashlib.sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def read_applied(store: ObjectStore) -> dict[str, Following]:
    """Return, by mark of owner, how far which answers were followed.

    Raises:
        StorageError: The store could not be read.
    """
    try:
        found = json.loads(store.get_bytes(keys.CONSENTS_APPLIED))
    except (ObjectMissing, ValueError):
        return {}
    return {str(mark): _read(value) for mark, value in found.items()} if isinstance(found, dict) else {}


def _read(value: object) -> Following:
    if not isinstance(value, dict):
        return Following(str(value))
    awaited = value.get("awaited")
    return Following(
        str(value.get("version")),
        value.get("is_edited") is True,
        tuple(str(run_id) for run_id in awaited) if isinstance(awaited, list) else (),
    )


def write_applied(store: ObjectStore, applied: Mapping[str, Following]) -> None:
    """Replace what was followed.

    Raises:
        StorageError: The store refused.
    """
    found = {
        mark: one.version
        if one.is_done
        else {"version": one.version, "is_edited": one.is_edited, "awaited": list(one.awaited)}
        for mark, one in applied.items()
    }
    store.put_bytes(keys.CONSENTS_APPLIED, json.dumps(found, indent=1, sort_keys=True).encode())


def owners_pending(library: Library, consents: Consents) -> list[str]:
    """Return the owners whose answers were not followed yet, sorted.

    Raises:
        StorageError: Ledger or store could not be read.
    """
    applied = read_applied(library.store)
    owners = library.ledger.share_owners() | consents.owners
    return sorted(one for one in owners if _of(applied, one) != Following(consents.version_of(one)))


def mark_seen(
    store: ObjectStore, consents: Consents, owners: Iterable[str], going_on: Collection[str]
) -> dict[str, Following]:
    """Record that answers were seen, and return how far those of ``owners`` were followed.

    They stay pending until they have been followed, whatever is said next: a policy that is changed, and changed back
    before it could be followed, has let work be done all the same.

    Args:
        store: The library's objects.
        consents: What owners allow.
        owners: Of whom.
        going_on: Runs that went on after ``consents`` had been read.

    Raises:
        StorageError: The store could not be read or written.
    """
    applied = read_applied(store)
    known = {one: _of(applied, one) for one in owners}
    new = {
        one: Following(version, is_edited=False, awaited=tuple(sorted(going_on)))
        for one, version in ((one, consents.version_of(one)) for one in known)
        if known[one].version != version
    }
    if new:
        write_applied(store, {**applied, **{owner_mark(one): following for one, following in new.items()}})
    return {**known, **new}


def _of(applied: Mapping[str, Following], owner: str) -> Following:
    return applied.get(owner_mark(owner), _DEFAULT)


def denied_purposes(consents: Consents, owners: Collection[str]) -> dict[str, list[str]]:
    """Return, by owner, the purposes that are not allowed."""
    return {one: [purpose for purpose in PURPOSES if not consents.allows(one, purpose)] for one in owners}
