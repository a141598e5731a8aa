"""Durable documents of a library that name erased files: they are deleted, or written anew without them."""

import hashlib
from collections import Counter
from collections.abc import Collection

from media_assets.storage import keys
from media_assets.storage.consents import read_record
from media_assets.storage.erasure_records import ErasurePlan
from media_assets.storage.objects import ObjectStore
from media_assets.storage.people_edits import FaceReference, PeopleEdit, read_edit

CONSENTS = "consents"
"""Records of consent that were kept without the name."""

_EDITS = "people_edits"


def erase_documents(store: ObjectStore, plan: ErasurePlan) -> dict[str, int]:
    """Take files, persons and owners out of all documents; doing it again changes nothing.

    Returns:
        Documents that were deleted or changed, by kind.

    Raises:
        CatalogError: A document is damaged or of a later version; it is named.
        StorageError: The store refused.
    """
    return dict(_erase_people_edits(store, plan) + _erase_reviews(store, plan) + _disguise_consents(store, plan))


def owner_pseudonym(owner: str) -> str:
    """Return what stands for an erased owner in the register of consents: who guesses the name can test the guess."""
    return f"erased-{hashlib.sha256(b'erased' + owner.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def _disguise_consents(store: ObjectStore, plan: ErasurePlan) -> Counter[str]:
    """Keep what an owner consented to, and when, as evidence, without the name and without notes."""
    counts: Counter[str] = Counter()
    if plan.owner is None:
        return counts
    pseudonym = owner_pseudonym(plan.owner)
    for info in list(store.list(keys.consents_folder(plan.owner))):
        record = read_record(store, info.key)
        by = pseudonym if plan.owner.casefold() in record.recorded_by.casefold() else record.recorded_by
        token = info.key.removesuffix(".json").rpartition("-")[2]
        kept = record.model_copy(update={"owner": pseudonym, "recorded_by": by, "note": None})
        # First the new one: a crash in between leaves both, and is completed.
        key = keys.consent_key(pseudonym, record.recorded_at, token)
        store.put_bytes(key, kept.model_dump_json(indent=1).encode())
        store.delete(info.key)
        counts[CONSENTS] += 1
    return counts


def _erase_reviews(store: ObjectStore, plan: ErasurePlan) -> Counter[str]:
    """Delete what was decided about the publication of files."""
    counts: Counter[str] = Counter()
    owners = {keys.owner_of(name) for name in plan.source_keys} | {one.owner for one in plan.contents}
    for owner in sorted(owners | ({plan.owner} if plan.owner is not None else set())):
        folder = keys.reviews_folder(owner)
        for info in list(store.list(folder)):
            if owner == plan.owner or info.key.removeprefix(f"{folder}/").partition("/")[0] in plan.media_ids:
                store.delete(info.key)
                counts["reviews"] += 1
    return counts


def _erase_people_edits(store: ObjectStore, plan: ErasurePlan) -> Counter[str]:
    counts: Counter[str] = Counter()
    ids = set(plan.media_ids)
    for info in list(store.list(keys.PEOPLE_EDITS)):
        edit = read_edit(store, info.key)
        left = None if edit.owner == plan.owner or edit.person_id in plan.people else _without(edit, ids)
        if left is None:
            store.delete(info.key)
            counts[_EDITS] += 1
        elif left != edit:
            store.put_bytes(info.key, left.model_dump_json(indent=1).encode())
            counts[_EDITS] += 1
    return counts


def _without(edit: PeopleEdit, media_ids: Collection[str]) -> PeopleEdit | None:
    """Return an edit without the faces of erased files; ``None`` when it says nothing without them."""
    faces, others = _stay(edit.faces, media_ids), _stay(edit.others, media_ids)
    if not faces or (edit.others and not others):
        return None
    return edit.model_copy(update={"faces": faces, "others": others})


def _stay(faces: tuple[FaceReference, ...], media_ids: Collection[str]) -> tuple[FaceReference, ...]:
    return tuple(face for face in faces if face.media_id not in media_ids)
