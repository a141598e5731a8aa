"""Records of erasures: what is to be erased while it goes on, and what was erased afterwards.

The plan of an erasure holds names and keys, because whoever completes it after a crash needs them; it is deleted when
nothing is left. The certificate that stays holds counts, and hashes of versions of uploads that must not come back.
"""

import secrets
from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from media_assets.storage import keys
from media_assets.storage.errors import CatalogError
from media_assets.storage.objects import ObjectStore

Kind = Literal["owner", "media", "person"]


class ErasedUpload(BaseModel):
    """An upload that is to be erased, a sidecar or a media file, as the ledger knew it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    media_id: str
    source_key: str
    inbox: str
    etag: str
    size_bytes: int
    sha256: str | None


class StoredContent(BaseModel):
    """Bytes of an owner, and who keeps them.

    Attributes:
        owner: Whose they are.
        sha256: Of the bytes.
        heir: File of this owner that has the same bytes and stays; ``None``: the original is deleted.
        is_seen: Whether a file that stays, of any owner, has these bytes now: their renditions stay then.
        is_named: Whether anything that stays names them, older versions of other files included.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: str
    sha256: str
    heir: str | None
    is_seen: bool
    is_named: bool


class ErasurePlan(BaseModel):
    """What one erasure erases.

    Attributes:
        erasure_id: 12 hex digits.
        kind: What was asked for.
        owner: The owner who is erased whole; ``None``: single files are.
        people: Persons who are forgotten; only of ``kind`` ``person``.
        media_ids: All files and sidecars.
        uploads: Those that the ledger knew.
        contents: Their bytes, all versions.
        object_keys: Objects that rows name: originals and copies.
        source_keys: Names of uploads that rows name.
        cells: Rounded positions, in thousandths of a degree.
        began_at: When.
        counts: What was erased so far, by name; kept up to date while the erasure goes on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    erasure_id: str
    kind: Kind
    owner: str | None = None
    people: tuple[str, ...] = ()
    media_ids: tuple[str, ...]
    uploads: tuple[ErasedUpload, ...] = ()
    contents: tuple[StoredContent, ...] = ()
    object_keys: tuple[str, ...] = ()
    source_keys: tuple[str, ...] = ()
    cells: tuple[tuple[int, int], ...] = ()
    began_at: AwareDatetime
    counts: dict[str, int] = {}


class Certificate(BaseModel):
    """What an erasure came to; it names nobody.

    Attributes:
        erasure_id: As in the plan.
        kind: What was asked for.
        began_at: When it was begun.
        completed_at: When the proof was done.
        erased: Numbers of what was deleted, by kind of thing.
        kept: Numbers of what was kept, and why, by kind of thing.
        searched: What the proof read: objects, rows, files, and pieces of originals.
        refused: Hashes of versions of uploads that are not taken in again; see ``ledger_refusals``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    erasure_id: str
    kind: Kind
    began_at: AwareDatetime
    completed_at: AwareDatetime
    erased: dict[str, int]
    kept: dict[str, int]
    searched: dict[str, int]
    refused: tuple[str, ...] = ()


def new_erasure_id() -> str:
    """Return an identifier for an erasure: 12 hex digits, random."""
    return secrets.token_hex(6)


def now() -> datetime:
    """Return the time for a record."""
    return datetime.now(UTC)


def write_plan(store: ObjectStore, plan: ErasurePlan) -> None:
    """Store the plan of an erasure that goes on.

    Raises:
        StorageError: The store refused.
    """
    store.put_bytes(keys.erasure_plan_key(plan.erasure_id), plan.model_dump_json(indent=1).encode())


def open_plans(store: ObjectStore) -> list[ErasurePlan]:
    """Return the plans of erasures that were begun and not completed, the oldest first.

    Raises:
        CatalogError: A plan is damaged or of a later version.
        StorageError: The store could not be read.
    """
    plans = []
    for info in store.list(keys.ERASURES_BEGUN):
        try:
            plans.append(ErasurePlan.model_validate_json(store.get_bytes(info.key)))
        except ValidationError as error:
            raise CatalogError(
                f"{info.key} is no plan of an erasure that this version understands. Upgrade media_assets, or delete "
                "it and erase again."
            ) from error
    return sorted(plans, key=lambda plan: plan.began_at)


def complete(store: ObjectStore, certificate: Certificate) -> None:
    """Store the certificate of an erasure, then delete its plan, which holds names.

    Raises:
        StorageError: The store refused.
    """
    replace_certificate(store, certificate)
    store.delete(keys.erasure_plan_key(certificate.erasure_id))


def replace_certificate(store: ObjectStore, certificate: Certificate) -> None:
    """Store a certificate in the place of the one with its identifier.

    Raises:
        StorageError: The store refused.
    """
    store.put_bytes(keys.erasure_key(certificate.erasure_id), certificate.model_dump_json(indent=1).encode())


def certificates(store: ObjectStore) -> list[Certificate]:
    """Return the certificates of the library, the oldest first.

    Raises:
        CatalogError: A certificate is damaged or of a later version.
        StorageError: The store could not be read.
    """
    found = []
    for info in store.list(keys.ERASURES_FOLDER):
        if not info.key.startswith(f"{keys.ERASURES_BEGUN}/"):
            try:
                found.append(Certificate.model_validate_json(store.get_bytes(info.key)))
            except ValidationError as error:
                raise CatalogError(
                    f"{info.key} is no certificate that this version understands. Restore it from a backup, delete "
                    "it, or upgrade media_assets."
                ) from error
    return sorted(found, key=lambda one: one.completed_at)
