"""Objects of a library that go with an erasure. Every folder of the library has its rule in :data:`RULES`."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Literal

from media_assets.storage import keys
from media_assets.storage.erasure_records import ErasurePlan
from media_assets.storage.objects import ObjectStore

Rule = Literal["contents", "copies", "rows", "documents", "records"]

RULES: Mapping[str, Rule] = {
    keys.ORIGINALS_FOLDER: "contents",
    keys.RENDITIONS_FOLDER: "contents",
    keys.QUARANTINE_FOLDER: "contents",
    keys.SHAREABLE_FOLDER: "copies",
    keys.TABLES_FOLDER: "rows",
    "catalog": "rows",
    keys.PEOPLE_EDITS.partition("/")[0]: "documents",
    keys.CONSENTS_FOLDER: "documents",
    keys.REVIEWS_FOLDER: "documents",
    keys.ERASURES_FOLDER: "records",
}
"""What happens to the objects of each folder: bytes and copies are deleted with their files, rows and documents are
written anew without them (``erasure.rows``, ``erasure.documents``), records of erasures hold no names."""


def delete_objects(store: ObjectStore, plan: ErasurePlan) -> dict[str, int]:
    """Delete the bytes of files and everything that was made from them; doing it again changes nothing.

    Originals that another file of the owner has too stay, and renditions that another file of anybody has.

    Returns:
        Objects that were deleted, by folder.

    Raises:
        StorageError: The store refused.
    """
    deleted: Counter[str] = Counter()
    for key in set(_doomed(store, plan)):
        store.delete(key)
        deleted[key.partition("/")[0]] += 1
    return dict(deleted)


def _doomed(store: ObjectStore, plan: ErasurePlan) -> Iterator[str]:
    kept = {(keys.originals_folder(one.owner), one.sha256) for one in plan.contents if one.heir is not None}
    for key in plan.object_keys:
        if key.partition("/")[0] in RULES and not _is_kept(key, kept) and store.exists(key):
            yield key
    gone = {(keys.originals_folder(one.owner), one.sha256) for one in plan.contents} - kept
    for folder in sorted({folder for folder, _ in gone}):
        # By what it is named after: also what a run stored that died before the ledger knew.
        for info in store.list(folder):
            if (folder, keys.content_of(info.key)) in gone:
                yield info.key
    for sha256 in sorted({one.sha256 for one in plan.contents if not one.is_seen}):
        yield from (info.key for info in store.list(keys.rendition_folder(sha256)))
    owners = {keys.owner_of(one.source_key) for one in plan.uploads} | {one.owner for one in plan.contents}
    ids = set(plan.media_ids)
    for owner in sorted(owners | {keys.owner_of(name) for name in plan.source_keys}):
        folder = keys.quarantine_folder(owner)
        for info in store.list(folder):
            if owner == plan.owner or info.key.removeprefix(f"{folder}/").partition("/")[0] in ids:
                yield info.key
    if plan.owner is not None:
        for folder in (keys.originals_folder(plan.owner), keys.shareable_folder(plan.owner)):
            yield from (info.key for info in store.list(folder))


def _is_kept(key: str, kept: set[tuple[str, str]]) -> bool:
    sha256 = keys.content_of(key)
    return sha256 is not None and any(key.startswith(f"{folder}/") and sha256 == of for folder, of in kept)


def unruled_folders(store: ObjectStore) -> set[str]:
    """Folders of the library that have no rule: what somebody else has put there."""
    return {info.key.partition("/")[0] for info in store.list() if "/" in info.key} - set(RULES)
