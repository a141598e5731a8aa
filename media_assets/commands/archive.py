"""``media-assets archive``: let the partition keys of old months leave Dagster; their rows and files stay."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import click

from media_assets.commands.existing import open_existing
from media_assets.commands.output import (
    EXIT_FAILED,
    EXIT_USAGE,
    UserError,
    console,
    json_option,
    library_option,
    print_json,
    print_table,
    reports_errors,
)
from media_assets.instance import prepare_home
from media_assets.models.errors import ModelError
from media_assets.pipeline.archive import MonthState, hindrances_text, month_states
from media_assets.pipeline.library import Library
from media_assets.settings import Settings

_MONTH = click.DateTime(["%Y-%m"])
_SHOWN_KEYS = 20


@click.command()
@click.option("--month", "months", multiple=True, type=_MONTH, help="Month of arrival, yyyy-mm; repeatable.")
@click.option("--before", type=_MONTH, help="All months before this one, yyyy-mm.")
@click.option("--stale-keys", is_flag=True, help="Remove keys of files that are gone or archived; add missing ones.")
@click.option("--forget-events", is_flag=True, help="Also delete the Dagster events of the archived files, for good.")
@click.option("--dry-run", is_flag=True, help="Say what would happen.")
@library_option
@json_option
@reports_errors
def archive(
    months: Sequence[datetime],
    before: datetime | None,
    stale_keys: bool,
    forget_events: bool,
    dry_run: bool,
    library: str | None,
    as_json: bool,
) -> None:
    """Archive months: their files leave the partitions of Dagster; rows, originals and renditions stay.

    A month can be archived once nothing of it waits or failed. A new version or a new sidecar of an archived file
    brings its partition back by itself, `media-assets reopen` whole months. Call it again after it was interrupted.
    Exit status: 0 when all was done, 1 when a month could not be archived, 2 on wrong usage.
    """
    if (bool(months) + (before is not None) + stale_keys) != 1:
        raise UserError("Say what: --month, --before or --stale-keys.", EXIT_USAGE)
    if stale_keys and forget_events:
        raise UserError("--forget-events goes with --month or --before.", EXIT_USAGE)
    settings = Settings.load(library=library)
    opened = open_existing(settings)
    os.environ["DAGSTER_HOME"] = str(prepare_home(settings))
    try:
        if stale_keys:
            _mend(opened, dry_run=dry_run, as_json=as_json)
            return
        try:
            states = month_states(opened, datetime.now(UTC))
        except ModelError as error:
            raise UserError(str(error), EXIT_USAGE) from error
        named = {f"{month:%Y-%m}" for month in months}
        if unknown := sorted(named - {state.month for state in states}):
            raise UserError(f"No file came in {', '.join(unknown)}.", EXIT_USAGE)
        chosen = [state for state in states if state.month in named or (before and state.month < f"{before:%Y-%m}")]
        refused = _archive(opened, chosen, forget_events=forget_events, dry_run=dry_run, as_json=as_json)
    finally:
        opened.close()
    raise SystemExit(EXIT_FAILED if refused else 0)


def _archive(
    library: Library, chosen: Sequence[MonthState], *, forget_events: bool, dry_run: bool, as_json: bool
) -> bool:
    """Archive what can be archived and say so; return whether something could not."""
    from media_assets.defs.archiving import ArchiveBusyError, archive_month, open_instance

    rows = []
    with open_instance() as instance:
        for state in chosen:
            removed, why = 0, hindrances_text(state.hindrances)
            if not why and not dry_run:
                try:
                    removed = archive_month(instance, library, state.month, forget_events=forget_events)
                except ArchiveBusyError as error:
                    why = str(error)
                else:
                    now = library.ledger.month_counts()[state.month]
                    why = "" if now.archived == now.files else "files arrived or changed meanwhile; try again"
            rows.append(
                {
                    "month": state.month,
                    "files": state.files,
                    "archived_before": state.archived,
                    "keys_removed": removed,
                    "refused": why or None,
                }
            )
    if as_json:
        print_json({"dry_run": dry_run, "months": rows})
    elif not rows:
        console.print("No file came in these months.")
    else:
        print_table(
            ("month", "files", "archived before", "keys removed", "why not"), [tuple(row.values()) for row in rows]
        )
        if dry_run:
            console.print("Nothing was changed (--dry-run).")
    return any(row["refused"] for row in rows)


def _mend(library: Library, *, dry_run: bool, as_json: bool) -> None:
    from media_assets.defs.archiving import ArchiveBusyError, compare_with_ledger, mend_keys, open_instance

    if library.ledger.is_empty():
        raise UserError("The ledger knows no file. If it was lost, make it again first: media-assets rebuild")
    with open_instance() as instance:
        found = compare_with_ledger(instance, library)
        if not dry_run:
            try:
                mend_keys(instance, found)
            except ArchiveBusyError as error:
                raise UserError(str(error)) from error
    if as_json:
        print_json({"dry_run": dry_run, **asdict(found)})
        return
    rows = [(name.replace("_", " "), len(keys), ", ".join(keys[:_SHOWN_KEYS])) for name, keys in asdict(found).items()]
    print_table(("keys", "number", "first ones"), rows)
    console.print(
        "Nothing was changed (--dry-run)."
        if dry_run
        else f"{len(found.stale)} keys were removed, {len(found.missing)} added."
    )
