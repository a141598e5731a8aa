"""``media-assets stale``: which results are out of date."""

import click

from media_assets.commands.existing import open_existing
from media_assets.commands.output import console, json_option, library_option, print_json, print_table, reports_errors
from media_assets.pipeline.staleness import REPROCESSED, Freshness, library_freshness
from media_assets.settings import Settings


@click.command()
@library_option
@json_option
@reports_errors
def stale(library: str | None, as_json: bool) -> None:
    """Show, for each asset, how many results are up to date, out of date or missing.

    A result is out of date when its code, its model, its parameters or the file have changed since it was made.
    Archived files are left out.
    """
    opened = open_existing(Settings.load(library=library))
    try:
        found = library_freshness(opened)
        archived = opened.ledger.archived_count()
    finally:
        opened.close()
    if as_json:
        print_json({one.asset: dict(one.counts) for one in found})
        return
    columns: tuple[Freshness, ...] = ("current", "out_of_date", "missing", "failed")
    print_table(
        ("asset", *(name.replace("_", " ") for name in columns)),
        [(one.asset, *(one.counts[name] for name in columns)) for one in found],
    )
    if archived:
        console.print(f"{archived} archived files are left out: media-assets reopen --stale ASSET brings them back.")
    if any(one.counts[name] for one in found for name in REPROCESSED):
        console.print("Redo what is out of date: media-assets reprocess --asset NAME --stale")
