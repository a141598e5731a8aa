"""Proves that nothing is left of what owners do not consent to, by reading everything again."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from media_assets.pipeline.assets import SHAREABLE
from media_assets.pipeline.consent import PURPOSE_OF, Consents, read_consents
from media_assets.pipeline.library import Library
from media_assets.pipeline.revocation.applied import denied_purposes
from media_assets.pipeline.revocation.row_edits import RULES
from media_assets.storage import keys
from media_assets.storage.catalog_manifest import table_folder
from media_assets.storage.errors import CatalogError, ObjectMissing
from media_assets.storage.objects import ObjectStore
from media_assets.storage.schemas import table_named
from media_assets.storage.tables import list_parts, read_parquet


class EventCounter(Protocol):
    """Counts the events of an asset about some files in Dagster."""

    def __call__(self, asset: str, media_ids: Collection[str]) -> int:
        """Return how many there are."""


@dataclass
class ConsentProof:
    """What was read, and what should not have been there.

    Attributes:
        looked_at: How many things of each kind were read.
        left: What is left, for people; names nobody.
        denied: Owners by purpose that is denied to them, as counts.
    """

    looked_at: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    denied: Mapping[str, int] = field(default_factory=dict)


def verify_consents(library: Library, count_events: EventCounter) -> ConsentProof:
    """Read parts, current files, copies and Dagster's events, and return what consents do not allow.

    Raises:
        CatalogError: A file cannot be read; it is named.
        StorageError: Store or ledger could not be read.
    """
    consents, proof = read_consents(library), ConsentProof()
    owners = library.ledger.share_owners() | consents.owners
    denied = denied_purposes(consents, owners)
    purposes = sorted({purpose for found in denied.values() for purpose in found})
    proof.denied = {purpose: sum(purpose in found for found in denied.values()) for purpose in purposes}
    files = rows = 0
    for rule in RULES:
        for key, data in _everything(library.store, rule.table):
            files, rows = files + 1, rows + data.num_rows
            wrong = rule.count(data, consents)
            if wrong:
                proof.left.append(f"{key}: {wrong} rows")
    proof.looked_at |= {"files of tables": files, "rows": rows}
    _copies(library, consents, proof)
    _events(library, consents, count_events, proof)
    return proof


def _everything(store: ObjectStore, table: str) -> Iterator[tuple[str, pa.Table]]:
    """Every Parquet file of a table, whether the manifest names it or not."""
    listed = [info.key for info in store.list(table_folder(table_named(table))) if info.key.endswith(".parquet")]
    for key in [*list_parts(store, table), *sorted(listed)]:
        try:
            yield key, read_parquet(store, key)
        except ObjectMissing:
            continue  # compacted meanwhile
        except (pa.ArrowException, OSError) as error:
            raise CatalogError(f"{key} cannot be read ({error}). Restore it from a backup, or delete it.") from error


def _copies(library: Library, consents: Consents, proof: ConsentProof) -> None:
    known = {one.path: one for one in library.ledger.copies()}
    stored = [info.key for info in library.store.list(keys.SHAREABLE_FOLDER)]
    proof.looked_at["copies"] = len(stored)
    for key in stored:
        copy = known.get(key)
        if copy is None:
            proof.left.append(f"{key}: a copy that nobody knows of")
        elif not consents.allows(copy.owner, "publication"):
            proof.left.append(f"{key}: a copy without consent")


def _events(library: Library, consents: Consents, count_events: EventCounter, proof: ConsentProof) -> None:
    needed = {**PURPOSE_OF, SHAREABLE: "publication"}
    asked = 0
    for asset, purpose in needed.items():
        media_ids = [
            row.media_id
            for archived in (False, True)
            for row in library.ledger.result_versions(asset, archived=archived)
            if not consents.allows(row.owner, purpose)
        ]
        asked += len(media_ids)
        found = count_events(asset, media_ids) if media_ids else 0
        if found:
            proof.left.append(f"Dagster: {found} events of {asset}")
    proof.looked_at["partitions in Dagster"] = asked
