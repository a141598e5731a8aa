"""Asset ``near_duplicates``: groups of files that show the same. The work is in ``pipeline.near_duplicates``."""

from collections import defaultdict
from collections.abc import Iterator

import dagster as dg

from media_assets.defs.failures import failure_of
from media_assets.models.vision_recipe import EMBEDDINGS
from media_assets.pipeline.assets import ORIGINAL
from media_assets.pipeline.derived_tables import TableBusyError
from media_assets.pipeline.library import CompactionBusyError, Library
from media_assets.pipeline.near_duplicates import NEAR_DUPLICATES, update_near_duplicates
from media_assets.storage import catalog as catalog_store
from media_assets.storage.errors import StorageError

_LISTED = 20

NEAR_DUPLICATES_CHECK = dg.AssetCheckSpec(
    "whole_groups",
    asset=NEAR_DUPLICATES,
    description="Every file is in one group; every group has two files at least, one owner, and one representative, "
    "which is among them.",
)


@dg.asset(
    name=NEAR_DUPLICATES,
    deps=[ORIGINAL, "appearance", EMBEDDINGS],
    group_name="catalog",
    kinds={"parquet"},
    check_specs=[NEAR_DUPLICATES_CHECK],
    description="Files of one owner that show the same, in groups: table near_duplicates.",
)
def near_duplicates(
    context: dg.AssetExecutionContext, library: dg.ResourceParam[Library]
) -> Iterator[dg.MaterializeResult[None]]:
    """Compare all files of each owner by bytes, perceptual hashes and vectors, and group those that show the same."""
    try:
        report = update_near_duplicates(library, context.run.run_id)
        wrong = broken_groups(library)
    except (StorageError, CompactionBusyError, TableBusyError) as error:
        raise failure_of(error) from None
    yield dg.MaterializeResult(
        metadata={
            "groups": dg.MetadataValue.int(report.groups),
            "files": dg.MetadataValue.int(report.files),
            **{f"by_{name}": dg.MetadataValue.int(count) for name, count in sorted(report.methods.items())},
            "files_written": dg.MetadataValue.int(report.files_written),
            "files_removed": dg.MetadataValue.int(report.files_removed),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=NEAR_DUPLICATES_CHECK.name,
                passed=not wrong,
                metadata={"groups": dg.MetadataValue.json(wrong[:_LISTED])},
            )
        ],
    )


def broken_groups(library: Library) -> list[str]:
    """Return the groups that are not whole, sorted.

    Raises:
        StorageError: The catalog cannot be read.
    """
    columns = ["group_id", "media_id", "representative_media_id", "owner", "method"]
    groups: dict[str, list[dict[str, str | None]]] = defaultdict(list)
    media_ids: dict[str, str] = {}
    wrong: set[str] = set()
    for row in catalog_store.read_current(library.store, NEAR_DUPLICATES, columns).to_pylist():
        groups[row["group_id"]].append(row)
        if media_ids.setdefault(row["media_id"], row["group_id"]) != row["group_id"]:
            wrong.add(row["group_id"])
    for group_id, rows in groups.items():
        one_owner = len({row["owner"] for row in rows}) == 1
        named = {row["representative_media_id"] for row in rows}
        itself = {row["media_id"] for row in rows if row["method"] is None}
        if len(rows) < 2 or not one_owner or len(named) != 1 or named != itself:
            wrong.add(group_id)
    return sorted(wrong)
