"""The manifest of a table's catalog: which files are current, and which parts they have absorbed.

Reading and writing ``CURRENT.json`` only; what is compacted and how is in ``catalog``.
"""

import hashlib
import json
from datetime import datetime

from pydantic import BaseModel, Field, ValidationError

from media_assets.storage import keys
from media_assets.storage.columns import Table
from media_assets.storage.errors import CatalogError, ObjectMissing
from media_assets.storage.objects import ObjectStore

_FORMAT = 1
REBUILD = "Materialize the asset `catalog` to rebuild it."
"""What to do about a catalog that cannot be read."""


class Month(BaseModel):
    """One current file: its key, what is in it, and the names of the parts that it has absorbed."""

    file: str
    rows: int
    size_bytes: int
    sha256: str
    columns: str
    parts: list[str]


class Manifest(BaseModel):
    """Content of ``catalog/<table>/CURRENT.json``; as it is without arguments it stands for a missing one."""

    format: int = _FORMAT
    version: str = ""
    updated_at: datetime | None = None
    months: dict[str, Month] = Field(default_factory=dict)


def load_manifest(store: ObjectStore, table: Table) -> Manifest | None:
    """The manifest; ``None`` when there is none, or it is damaged: then the catalog is made again from the parts."""
    try:
        manifest = Manifest.model_validate_json(store.get_bytes(keys.catalog_manifest_key(table.name)))
    except (ObjectMissing, ValidationError):
        return None
    if manifest.format != _FORMAT:
        raise CatalogError(f"The catalog of table {table.name} was written by another version. Upgrade media_assets.")
    return manifest


def save_manifest(store: ObjectStore, table: Table, manifest: Manifest) -> None:
    """Swap the manifest: from now on readers see these files."""
    content = json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True)
    store.put_bytes(keys.catalog_manifest_key(table.name), content.encode())


def manifest_for_readers(store: ObjectStore, table: Table) -> Manifest:
    """The manifest; an empty one when there is none.

    Raises:
        CatalogError: It is damaged.
    """
    manifest = load_manifest(store, table)
    if manifest is None and store.exists(keys.catalog_manifest_key(table.name)):
        raise CatalogError(f"The catalog of table {table.name} is damaged. {REBUILD}")
    return manifest or Manifest()


def table_folder(table: Table) -> str:
    """Folder of the current files of a table, and of their manifest."""
    return keys.catalog_manifest_key(table.name).rpartition("/")[0]


def columns_version(table: Table) -> str:
    """Fingerprint of names and types: files of an older schema are written again, so that a glob sees one schema."""
    text = "\n".join(f"{field.name} {field.type}" for field in table.schema)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
