"""``media-assets reopen``: bring the partition keys of archived files back into Dagster."""

import os
from collections.abc import Sequence
from datetime import datetime

import click

from media_assets.commands.existing import open_existing
from media_assets.commands.output import (
    EXIT_USAGE,
    UserError,
    console,
    json_option,
    library_option,
    print_json,
    reports_errors,
)
from media_assets.instance import prepare_home
from media_assets.models.errors import ModelError
from media_assets.pipeline.assets import PER_FILE_ASSETS
from media_assets.pipeline.library import Library
from media_assets.pipeline.staleness import REPROCESSED, freshness_of
from media_assets.settings import Settings


@click.command()
@click.option("--month", "months", multiple=True, type=click.DateTime(["%Y-%m"]), help="Month, yyyy-mm; repeatable.")
@click.option("--media-id", "media_ids", multiple=True, help="One file; repeatable.")
@click.option(
    "--stale",
    "asset",
    type=click.Choice(PER_FILE_ASSETS),
    help="Archived files whose result of this asset is out of date or missing.",
)
@library_option
@json_option
@reports_errors
def reopen(
    months: Sequence[datetime], media_ids: Sequence[str], asset: str | None, library: str | None, as_json: bool
) -> None:
    """Bring archived files back into Dagster, behind all others, in the order in which they came.

    Their partitions are shown as they were when they were archived. If the events were deleted (archive
    --forget-events), they are shown as missing: nothing is made up, and nothing computes them again by itself.
    """
    if not (months or media_ids or asset):
        raise UserError("Say what: --month, --media-id or --stale.", EXIT_USAGE)
    settings = Settings.load(library=library)
    opened = open_existing(settings)
    os.environ["DAGSTER_HOME"] = str(prepare_home(settings))
    from media_assets.defs.archiving import open_instance, reopen_files

    try:
        chosen = _chosen(opened, [f"{month:%Y-%m}" for month in months], media_ids, asset)
        with open_instance() as instance:
            reopened = reopen_files(instance, opened, chosen)
        left = opened.ledger.archived_count()
    except ModelError as error:
        raise UserError(str(error), EXIT_USAGE) from error
    finally:
        opened.close()
    if as_json:
        print_json({"reopened": reopened, "still_archived": left})
        return
    console.print(f"{reopened} files were reopened; {left} are still archived.")
    if asset and reopened:
        console.print(f"Redo what is out of date: media-assets reprocess --asset {asset} --stale")


def _chosen(library: Library, months: Sequence[str], media_ids: Sequence[str], asset: str | None) -> list[str]:
    """Return the archived files that are meant, in the order in which they came."""
    ledger = library.ledger
    if unknown := sorted(set(media_ids) - set(ledger.entries(media_ids))):
        raise UserError(f"The ledger does not know {', '.join(unknown)}.", EXIT_USAGE)
    meant = set(media_ids)
    for month in months:
        meant.update(ledger.archived_files(month))
    if asset is not None:
        meant.update(one for one, state in freshness_of(library, asset, archived=True) if state in REPROCESSED)
    return ledger.archived_among(sorted(meant))
