"""The register of consents: what was said in the name of owners to which use of their pictures.

Durable objects of the library, one for each record, never changed and never deleted but by an erasure: what counts now
is decided in ``pipeline.consent``.
"""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args
from weakref import WeakKeyDictionary

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from media_assets.storage import keys
from media_assets.storage.catalog import publish_register
from media_assets.storage.errors import CatalogError
from media_assets.storage.objects import ObjectStore
from media_assets.storage.schemas import rows_to_table, table_named

Purpose = Literal["faces", "recognition", "text", "location", "analysis", "publication"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


class ConsentRecord(BaseModel):
    """One thing that was said.

    Attributes:
        owner: Whose pictures are meant.
        purpose: ``faces``: faces are looked for. ``recognition``: they are encoded and grouped into people. ``text``:
            text is read. ``location``: positions and places are kept in tables. ``analysis``: embeddings, objects,
            scenes, sensitive content. ``publication``: copies are made that may leave the library.
        granted: Whether it is allowed from now on.
        recorded_by: Who recorded it.
        recorded_at: When.
        expires_at: When a permission ends; ``None``: it does not.
        note: Where the evidence is, for example the number of a signed form.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    owner: str = Field(min_length=1)
    purpose: Purpose
    granted: bool
    recorded_by: str = Field(min_length=1)
    recorded_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    note: str | None = None


_TABLE = "consents"

# Records never change, so that each one is read once by a process.
_read: "WeakKeyDictionary[ObjectStore, dict[str, ConsentRecord]]" = WeakKeyDictionary()


def record_consent(store: ObjectStore, record: ConsentRecord) -> str:
    """Store a record; return its key.

    Raises:
        StorageError: The store refused.
    """
    content = record.model_dump_json(indent=1).encode()
    while True:
        key = keys.consent_key(record.owner, record.recorded_at, secrets.token_hex(4))
        if store.put_bytes(key, content, only_if_absent=True):
            return key


def read_records(store: ObjectStore) -> list[ConsentRecord]:
    """Return all records of all owners, the oldest first.

    Raises:
        CatalogError: A record is damaged or of a later version; it is named.
        StorageError: The store could not be read.
    """
    known = _read.setdefault(store, {})
    listed = {info.key for info in store.list(f"{keys.CONSENTS_FOLDER}/records")}
    for key in known.keys() - listed:
        del known[key]
    for key in listed - known.keys():
        known[key] = read_record(store, key)
    return sorted(known.values(), key=lambda one: one.recorded_at)


def read_record(store: ObjectStore, key: str) -> ConsentRecord:
    """Return one record.

    Raises:
        CatalogError: It is damaged or of a later version; it is named.
        StorageError: The store could not be read.
    """
    try:
        return ConsentRecord.model_validate_json(store.get_bytes(key))
    except ValidationError as error:
        raise CatalogError(
            f"{key} is no record of consent that this version understands. Restore it from a backup, or upgrade "
            "media_assets. Until then nothing is computed that takes a consent."
        ) from error


def publish_records(store: ObjectStore) -> bool:
    """Bring table ``consents`` of the catalog up to date with the register; return whether it changed.

    Raises:
        StorageError: The store could not be read or written.
    """
    names = table_named(_TABLE).schema.names
    rows = [{name: getattr(one, name) for name in names} for one in read_records(store)]
    return publish_register(store, _TABLE, rows_to_table(table_named(_TABLE), rows))


def time_of_record(store: ObjectStore, owner: str) -> datetime:
    """Return the time for new records of an owner: now, or right after the newest one where clocks disagree.

    What is said last has to count, also when the clock was set back or another machine's runs ahead.

    Raises:
        CatalogError: A record is damaged or of a later version; it is named.
        StorageError: The store could not be read.
    """
    said = [one.recorded_at for one in read_records(store) if one.owner == owner]
    return max([datetime.now(UTC), *(at + timedelta(microseconds=1) for at in said)])
