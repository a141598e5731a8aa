"""``media-assets rebuild``: make a lost ledger again from the tables and a listing of the inbox."""

import os
from functools import partial

import click

from media_assets.commands.output import (
    EXIT_USAGE,
    UserError,
    console,
    json_option,
    library_option,
    print_json,
    print_pairs,
    reports_errors,
)
from media_assets.commands.progress import progress_bar
from media_assets.instance import prepare_home
from media_assets.pipeline.erasure.refusals import restore_refusals
from media_assets.pipeline.library import CompactionBusyError, Library
from media_assets.pipeline.rebuild import rebuild_ledger
from media_assets.settings import Settings
from media_assets.storage import keys


@click.command()
@library_option
@click.option("--inbox", metavar="PATH", help="The inbox whose uploads are to be known.  [default: the configured one]")
@click.option("--force", is_flag=True, help="Forget what the ledger knows of uploads and runs.")
@json_option
@reports_errors
def rebuild(library: str | None, inbox: str | None, force: bool, as_json: bool) -> None:
    """Make the ledger again after the state folder was lost, from the tables and a full listing of the inbox.

    Stop the service first. Afterwards nothing is processed twice: only what is new waits. Results of which the tables
    have no rows (no face, no text was found) are made again unless Dagster's own records are left; so is the metadata
    of files with sidecars. Dagster gets its partitions back; its events cannot be.
    """
    settings = Settings.load(library=library, inbox=inbox)
    opened = Library(settings)
    try:
        if not any(True for _ in opened.store.list(keys.TABLES_FOLDER)):
            raise UserError(f"There are no tables in {settings.library_url}. Check --library.", EXIT_USAGE)
        if not opened.ledger.is_empty():
            if not force:
                raise UserError(
                    "The ledger is not empty. Nothing was changed. With --force it is made again from the tables; "
                    "uploads that wait are found again, and what failed is forgotten.",
                    EXIT_USAGE,
                )
            opened.ledger.forget_everything()
        restore_refusals(opened)
        os.environ["DAGSTER_HOME"] = str(prepare_home(settings))
        from media_assets.defs.restoring import open_instance, recorded_versions, restore_partitions

        with open_instance() as instance, progress_bar(as_json) as progress:
            task = progress.add_task("Months", total=None)
            report = rebuild_ledger(
                opened,
                opened.inbox(),
                partial(recorded_versions, instance),
                lambda month: progress.update(task, description=f"Month {month}", advance=1),
            )
            archived = set(opened.ledger.archived_among(report.media_ids))  # left of a ledger that was forced
            partitions = restore_partitions(instance, [one for one in report.media_ids if one not in archived])
    except CompactionBusyError as error:
        raise UserError(str(error)) from None
    finally:
        opened.close()
    value = {
        "accepted": report.accepted,
        "rejected": report.rejected,
        "results": report.results,
        "compared": report.compared,
        "listed": report.listed,
        "new": report.new,
        "partitions_added": partitions,
    }
    if as_json:
        print_json(value)
        return
    print_pairs({name.replace("_", " ").capitalize(): count for name, count in value.items()})
    console.print("Go on as usual: media-assets process, or media-assets serve.")
