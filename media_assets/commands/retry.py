"""``media-assets retry``: start again what was given up or refused, once its cause is gone."""

from collections.abc import Sequence

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
from media_assets.media.errors import CIRCUMSTANTIAL, ReasonCode
from media_assets.pipeline.library import CompactionBusyError
from media_assets.pipeline.retrying import (
    Retries,
    carry_out,
    plan_batches_again,
    plan_keys_again,
    plan_rejected_again,
)
from media_assets.service import is_served
from media_assets.settings import Settings
from media_assets.storage.inbox import printable

_SHOWN = 20


@click.command()
@library_option
@click.option("--batch", "batches", multiple=True, metavar="ID", help="A batch that was given up or waits; repeatable.")
@click.option("--rejected", is_flag=True, help="Rejected files whose reason depends on the machine or the settings.")
@click.option(
    "--reason",
    "reasons",
    multiple=True,
    type=click.Choice([str(one) for one in ReasonCode]),
    metavar="CODE",
    help="With --rejected: files with this reason, whatever it is; repeatable.",
)
@click.option("--key", "source_keys", multiple=True, metavar="SOURCE_KEY", help="One upload, by its key; repeatable.")
@click.option("--all", "everything", is_flag=True, help="Every batch that failed, and what --rejected means.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@json_option
@reports_errors
def retry(
    library: str | None,
    batches: Sequence[str],
    rejected: bool,
    reasons: Sequence[str],
    source_keys: Sequence[str],
    everything: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Start again what was given up or refused. What is in work is left alone.

    Nothing is processed here: a running service, or the next `media-assets process`, does it.
    Exit status: 0 when everything named waits again, 1 when something was left alone, 2 on wrong usage.
    """
    if reasons and not rejected:
        raise UserError("--reason goes with --rejected.", EXIT_USAGE)
    if not (batches or rejected or source_keys or everything):
        raise UserError("Say what: --batch ID, --rejected, --key SOURCE_KEY or --all.", EXIT_USAGE)
    settings = Settings.load(library=library)
    opened = open_existing(settings)
    try:
        plan = Retries()
        plan_batches_again(opened, plan, None if everything else batches)
        if everything and batches:
            plan_batches_again(opened, plan, batches)
        if rejected or everything:
            plan_rejected_again(opened, plan, [ReasonCode(one) for one in reasons])
        plan_keys_again(opened, plan, source_keys)
        inboxes = sorted({one.inbox for one in plan.batches} | {one.inbox for one in plan.files})
        if not as_json:
            _show(plan, dry_run=dry_run)
        if not dry_run:
            carry_out(opened, plan)
        served = is_served(settings)
        watched = opened.inbox().url
    except CompactionBusyError as error:
        raise UserError(str(error)) from None
    finally:
        opened.close()
    follows = _follows(inboxes, watched if served else None)
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "batches": [
                    {"batch_id": one.batch_id, "files": one.file_count, "attempt": one.attempt + 1}
                    for one in plan.batches
                ],
                "files": [{"source_key": one.source_key, "inbox": one.inbox} for one in plan.files],
                "left_alone": [{"name": name, "reason": reason} for name, reason in plan.left.items()],
                "next": follows,
            }
        )
    elif not dry_run:
        for line in follows:
            console.print(line, markup=False, soft_wrap=True)
    raise SystemExit(EXIT_FAILED if plan.left else 0)


def _show(plan: Retries, *, dry_run: bool) -> None:
    would = "would wait again" if dry_run else "wait again"
    if not (plan.batches or plan.files or plan.left):
        console.print(
            f"Nothing to do. Without --reason, --rejected means: {', '.join(sorted(map(str, CIRCUMSTANTIAL)))}."
        )
        return
    if plan.batches:
        rows = [(one.batch_id, one.file_count, one.attempt + 1, one.message or "") for one in plan.batches[:_SHOWN]]
        print_table(("batch", "files", "attempt", "what was wrong"), rows, title=f"{len(plan.batches)} batches {would}")
    if plan.files:
        files = [(printable(one.source_key),) for one in plan.files[:_SHOWN]]
        print_table(("file",), files, title=f"{len(plan.files)} rejected files {would}")
    if plan.left:
        left = [(printable(name), reason) for name, reason in list(plan.left.items())[:_SHOWN]]
        print_table(("left alone", "why"), left)


def _follows(inboxes: Sequence[str], watched: str | None) -> list[str]:
    """What does the work, by inbox."""
    return [
        f"The running service takes on what waits in {inbox}."
        if inbox == watched
        else f"Next: media-assets process {inbox.removeprefix('file://')}"
        for inbox in inboxes
    ]
