"""Durable documents of a library that name erased files: they are deleted, or written anew without them."""

from collections import Counter
from collections.abc import Collection

from media_assets.storage import keys
from media_assets.storage.erasure_records import ErasurePlan
from media_assets.storage.objects import ObjectStore
from media_assets.storage.people_edits import FaceReference, PeopleEdit, read_edit

_EDITS = "people_edits"


def erase_documents(store: ObjectStore, plan: ErasurePlan) -> dict[str, int]:
    """Take files, persons and owners out of all documents; doing it again changes nothing.

    Returns:
        Documents that were deleted or changed, by kind.

    Raises:
        CatalogError: A document is damaged or of a later version; it is named.
        StorageError: The store refused.
    """
    return dict(_erase_people_edits(store, plan))


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
