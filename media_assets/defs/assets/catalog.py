"""Asset ``catalog``: the compacted tables that analysts read. The work is in ``storage.catalog``."""

from collections.abc import Iterator

import dagster as dg

from media_assets.defs.checks import CATALOG_CHECK
from media_assets.defs.failures import failure_of
from media_assets.pipeline.assets import PER_FILE_ASSETS
from media_assets.pipeline.library import CompactionBusyError, Library
from media_assets.storage import catalog as catalog_store
from media_assets.storage.errors import StorageError


@dg.asset(
    name="catalog",
    deps=[*PER_FILE_ASSETS],
    group_name="catalog",
    kinds={"parquet", "duckdb"},
    check_specs=[CATALOG_CHECK],
    description="Every table compacted: exactly one current row per key, Parquet by month, below catalog/.",
)
def catalog(library: dg.ResourceParam[Library]) -> Iterator[dg.MaterializeResult[None]]:
    """Bring the catalog up to date with all parts that were written."""
    try:
        report = library.compact()
        twice = {table: catalog_store.check_unique(library.store, table) for table in report.tables}
    except (StorageError, CompactionBusyError) as error:
        raise failure_of(error) from None
    twice = {table: found for table, found in twice.items() if found}
    yield dg.MaterializeResult(
        metadata={
            **{f"{table}_rows": dg.MetadataValue.int(done.rows) for table, done in report.tables.items()},
            "parts_absorbed": dg.MetadataValue.int(sum(done.parts_absorbed for done in report.tables.values())),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=CATALOG_CHECK.name,
                passed=not twice,
                metadata={
                    "duplicates": dg.MetadataValue.json({k: [str(one) for one in v[:20]] for k, v in twice.items()})
                },
            )
        ],
    )
