"""Does what is marked as done exist? Compares marked partitions, catalog rows and stored objects.

Read-only. Which partitions are marked comes from the caller, so that no orchestrator is needed here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from media_assets.models.vision_recipe import EMBEDDINGS, SAFETY, SCENES
from media_assets.pipeline.assets import ANALYZE_ASSETS, OPTIMIZED, ORIGINAL, SHAREABLE, TABLE_OF, THUMBNAILS
from media_assets.pipeline.library import Library
from media_assets.storage import catalog
from media_assets.storage.schemas import table_named

# A file that is smaller than any encoding of it has no web version, not in every picture is a face or a text, and a
# copy is withdrawn without an event.
_MAY_BE_EMPTY = {OPTIMIZED, SHAREABLE, *ANALYZE_ASSETS} - {EMBEDDINGS, SAFETY, SCENES}


@dataclass(frozen=True)
class Inconsistency:
    """One thing that is marked as done and is not there.

    Attributes:
        media_id: Partition key.
        asset: Asset whose partition is marked as materialized.
        missing: What is missing: ``row`` or the key of an object.
    """

    media_id: str
    asset: str
    missing: str


def find_inconsistencies(library: Library, materialized: Mapping[str, Collection[str]]) -> list[Inconsistency]:
    """Return what materialized partitions lack.

    Args:
        library: The library; its catalog must be up to date.
        materialized: Partition keys by asset name, as the orchestrator shows them.
    """
    found: list[Inconsistency] = []
    for asset, marked in materialized.items():
        path_column = {ORIGINAL: "original_path", THUMBNAILS: "path", OPTIMIZED: "path", SHAREABLE: "path"}.get(asset)
        table = TABLE_OF[asset]
        split = table_named(table).split
        columns = ["media_id", *([path_column] if path_column else []), *([split[0]] if split else [])]
        rows = catalog.read_current(library.store, table, columns).to_pylist()
        if split is not None:
            rows = [row for row in rows if (row[split[0]] or split[1]) == asset]
        present = {row["media_id"] for row in rows}
        if asset not in _MAY_BE_EMPTY:
            found += [Inconsistency(media_id, asset, "row") for media_id in sorted(set(marked) - present)]
        if path_column is not None:
            found += [
                Inconsistency(row["media_id"], asset, row[path_column])
                for row in rows
                if row["media_id"] in marked
                and row[path_column] is not None
                and not library.store.exists(row[path_column])
            ]
    return found
