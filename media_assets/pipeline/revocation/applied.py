"""Which answers of owners the library has followed: an object of the library, without names.

What is missing or lost is followed again, which changes nothing where nothing is to be changed.
"""

import hashlib
import json
from collections.abc import Collection, Mapping

from media_assets.pipeline.consent import PURPOSES, Consents
from media_assets.pipeline.library import Library
from media_assets.pipeline.privacy_policy import PrivacyPolicy
from media_assets.storage import keys
from media_assets.storage.errors import ObjectMissing
from media_assets.storage.objects import ObjectStore

_DEFAULT = Consents((), PrivacyPolicy()).version_of("")
"""What has always been followed for an owner of whom nothing is known: results are gated from the start."""

_BEGUN = "begun"
"""Stands for the version while answers are being followed; it is that of no answers."""


def owner_mark(owner: str) -> str:
    """Return what stands for an owner, 16 hex digits."""
    return hashlib.sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def read_applied(store: ObjectStore) -> dict[str, str]:
    """Return, by mark of owner, the version of the answers that was followed.

    Raises:
        StorageError: The store could not be read.
    """
    try:
        found = json.loads(store.get_bytes(keys.CONSENTS_APPLIED))
    except (ObjectMissing, ValueError):
        return {}
    return {str(mark): str(version) for mark, version in found.items()} if isinstance(found, dict) else {}


def write_applied(store: ObjectStore, applied: Mapping[str, str]) -> None:
    """Replace what was followed.

    Raises:
        StorageError: The store refused.
    """
    store.put_bytes(keys.CONSENTS_APPLIED, json.dumps(dict(applied), indent=1, sort_keys=True).encode())


def mark_begun(store: ObjectStore, owners: Collection[str]) -> None:
    """Record that other answers of some owners were seen: they are pending until they have been followed.

    A policy that is changed, and changed back before it could be followed, has let work be done all the same.

    Raises:
        StorageError: The store could not be read or written.
    """
    applied = read_applied(store)
    begun = {owner_mark(one): _BEGUN for one in owners}
    if begun.items() - applied.items():
        write_applied(store, {**applied, **begun})


def owners_pending(library: Library, consents: Consents) -> list[str]:
    """Return the owners whose answers were not followed yet, sorted.

    Raises:
        StorageError: Ledger or store could not be read.
    """
    applied = read_applied(library.store)
    owners = library.ledger.share_owners() | consents.owners
    return sorted(one for one in owners if applied.get(owner_mark(one), _DEFAULT) != consents.version_of(one))


def denied_purposes(consents: Consents, owners: Collection[str]) -> dict[str, list[str]]:
    """Return, by owner, the purposes that are not allowed."""
    return {one: [purpose for purpose in PURPOSES if not consents.allows(one, purpose)] for one in owners}
