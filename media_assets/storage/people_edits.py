"""What people said about the people in their pictures: names, "these two are one", "this face is somebody else".

Durable objects of the library, one for each edit, never changed: faces are found and grouped anew again and again, what
a person said stays. An edit names faces by where they are, because nothing else survives a better detector. What
follows from edits is decided in ``pipeline.people``.
"""

import secrets
from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from media_assets.storage import keys
from media_assets.storage.errors import CatalogError
from media_assets.storage.objects import ObjectStore


class FaceReference(BaseModel):
    """A face, wherever it stands in the tables.

    Attributes:
        media_id: The media file.
        frame_s: Time of the frame in a video; ``None``: a picture.
        box_px: Left, top, right and bottom edge in the upright original.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    media_id: str
    frame_s: float | None
    box_px: tuple[float, float, float, float]


class PeopleEdit(BaseModel):
    """One thing that somebody said.

    Attributes:
        action: ``name``: the person of ``faces`` is called ``name``. ``merge``: ``faces`` and ``others`` are one
            person, ``person_id``, called ``name``. ``split``: ``faces`` are one person, and nobody of ``others``.
        owner: Whose pictures they are.
        recorded_at: When.
        person_id: The person that was meant, or that keeps its identifier.
        faces: Faces of the person then.
        others: Faces of the other person then.
        name: The name; ``None``: it has none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    action: Literal["name", "merge", "split"]
    owner: str
    recorded_at: AwareDatetime
    person_id: str
    faces: tuple[FaceReference, ...] = Field(min_length=1)
    others: tuple[FaceReference, ...] = ()
    name: str | None = None


def record_edit(store: ObjectStore, edit: PeopleEdit) -> str:
    """Store an edit; return its key.

    Raises:
        StorageError: The store refused.
    """
    content = edit.model_dump_json(indent=1).encode()
    while True:
        key = keys.people_edit_key(edit.owner, edit.recorded_at, secrets.token_hex(4))
        if store.put_bytes(key, content, only_if_absent=True):
            return key


def read_edits(store: ObjectStore, owner: str) -> list[PeopleEdit]:
    """Return the edits of an owner, the oldest first.

    Raises:
        CatalogError: An edit is damaged or of a later version; it is named.
        StorageError: The store could not be read.
    """
    listed = sorted(info.key for info in store.list(keys.people_edits_folder(owner)))
    found = [read_edit(store, key) for key in listed]
    return [edit for edit in found if edit.owner == owner]


def read_edit(store: ObjectStore, key: str) -> PeopleEdit:
    """Return one edit.

    Raises:
        CatalogError: It is damaged or of a later version; it is named.
        StorageError: The store could not be read.
    """
    try:
        return PeopleEdit.model_validate_json(store.get_bytes(key))
    except ValidationError as error:
        raise CatalogError(
            f"{key} is no edit that this version understands. Restore it from a backup, delete it, or upgrade "
            "media_assets."
        ) from error


def now() -> datetime:
    """Return the time for a new edit."""
    return datetime.now(UTC)
