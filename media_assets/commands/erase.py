"""``media-assets erase``: remove an owner, files or a person from a library, and prove that nothing is left."""

import os
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

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
    print_pairs,
    print_table,
    progress_console,
    reports_errors,
)
from media_assets.instance import prepare_home
from media_assets.pipeline.derived_tables import TableBusyError
from media_assets.pipeline.erasure.erase import (
    ErasureIncompleteError,
    ErasureLeaseError,
    Orchestrator,
)
from media_assets.pipeline.erasure.erase import erase as erase_from_library
from media_assets.pipeline.erasure.local_files import state_of
from media_assets.pipeline.erasure.plan import Target, UnknownTargetError, make_plan
from media_assets.pipeline.erasure.refusals import lift_refusals
from media_assets.pipeline.library import CompactionBusyError, Library
from media_assets.pipeline.people.editing import PeopleEditError
from media_assets.settings import Settings
from media_assets.storage.erasure_records import Certificate, ErasurePlan, certificates, open_plans

_SHOWN = 30


@click.command()
@click.option("--owner", help="Everything of an owner.")
@click.option("--media", "media", multiple=True, metavar="ID", help="One file: media id or source key; repeatable.")
@click.option("--person", metavar="ID|NAME", help="Every file in which this person was recognised.")
@click.option("--resume", is_flag=True, help="Complete erasures that were interrupted, and nothing else.")
@click.option("--also-inbox", is_flag=True, help="Delete the uploads from the inbox as well.")
@click.option("--lift", metavar="ERASURE", help="Let uploads come in again that an erasure has refused.")
@click.option("--certificates", "show", is_flag=True, help="List the certificates of this library.")
@click.option("--dry-run", is_flag=True, help="Say what would be erased.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@library_option
@json_option
@reports_errors
def erase(
    owner: str | None,
    media: Sequence[str],
    person: str | None,
    resume: bool,
    also_inbox: bool,
    lift: str | None,
    show: bool,
    dry_run: bool,
    yes: bool,
    library: str | None,
    as_json: bool,
) -> None:
    """Erase an owner, files, or a person with every file in which the person was recognised. It cannot be undone.

    Originals, renditions, copies, rows, encodings, rejected bytes, records of the ledger, and everything in Dagster
    are removed; then the library is searched for traces of them, and a certificate with counts is printed and stored.
    Uploads stay in the inbox and are not taken in again, unless --also-inbox deletes them. Interrupted, the same call
    completes it. Exit status: 0 when nothing is left, 1 when something is, or runs are going on; 2 on wrong usage.
    """
    if sum((owner is not None, bool(media), person is not None, resume, lift is not None, show)) != 1:
        raise UserError("Say what: --owner, --media, --person, --resume, --lift or --certificates.", EXIT_USAGE)
    settings = Settings.load(library=library)
    with closing(open_existing(settings)) as opened:
        if show:
            _show(certificates(opened.store), as_json=as_json)
            return
        if lift is not None:
            count = lift_refusals(opened, lift)
            console.print(f"{count} uploads may come in again.")
            return
        target = None if resume else Target(owner, tuple(media), person)
        _erase(opened, target, also_inbox=also_inbox, dry_run=dry_run, yes=yes, as_json=as_json)


def _erase(
    library: Library, target: Target | None, *, also_inbox: bool, dry_run: bool, yes: bool, as_json: bool
) -> None:
    os.environ["DAGSTER_HOME"] = str(prepare_home(library.settings))
    from media_assets.defs.erasing import DagsterEraser, ErasureBusyError, open_instance
    from media_assets.defs.orphans import fail_orphaned_runs

    begun = open_plans(library.store)
    plans = list(begun)
    try:
        if target is not None and not any(_covers(plan, target) for plan in begun):
            plans.append(make_plan(library, target))
    except (UnknownTargetError, PeopleEditError) as error:
        if not begun:
            raise UserError(str(error), EXIT_USAGE) from error
    except (CompactionBusyError, TableBusyError) as error:
        raise UserError(str(error)) from error
    if dry_run:
        _show_plans(plans, as_json=as_json)
        return
    if not plans:
        console.print("There is nothing to complete.")
        return
    if not yes:
        _show_plans(plans, as_json=False)
        click.confirm("Erase this for good?", abort=True, err=True)
    with open_instance() as instance:
        fail_orphaned_runs(instance, timedelta(seconds=library.settings.batch_dead_after_s))
        eraser = DagsterEraser(instance)
        try:
            done = [_one(library, plan, eraser, also_inbox=also_inbox, quiet=as_json) for plan in plans]
        except (ErasureBusyError, ErasureLeaseError, TypeError) as error:
            raise UserError(str(error)) from error
        except ErasureIncompleteError as error:
            listed = "\n".join(f"  {place}" for place in error.left[:_SHOWN])
            raise UserError(f"{error}\n{listed}", EXIT_FAILED) from error
    _show(done, as_json=as_json)


def _covers(plan: ErasurePlan, target: Target) -> bool:
    """Whether an erasure that was begun is the one that is asked for now."""
    if target.owner is not None:
        return plan.owner == target.owner
    return bool(target.media_ids) and set(target.media_ids) <= {*plan.media_ids, *plan.source_keys}


def _one(library: Library, plan: ErasurePlan, eraser: Orchestrator, *, also_inbox: bool, quiet: bool) -> Certificate:
    def said(step: str) -> None:
        if not quiet:
            progress_console.print(f"Erasing: {step}")

    places = state_of([library.settings.state_dir, Path(os.environ["DAGSTER_HOME"])])
    return erase_from_library(library, plan, eraser, places, also_inbox=also_inbox, on_step=said)


def _show_plans(plans: Sequence[ErasurePlan], *, as_json: bool) -> None:
    rows = [
        {
            "erasure": plan.erasure_id,
            "kind": plan.kind,
            "files": len(plan.media_ids),
            "originals": sum(one.heir is None for one in plan.contents),
            "originals_that_others_keep": sum(one.heir is not None for one in plan.contents),
            "uploads": len(plan.uploads),
        }
        for plan in plans
    ]
    if as_json:
        print_json({"dry_run": True, "erasures": rows})
        return
    print_table([name.replace("_", " ") for name in rows[0]] if rows else (), [tuple(row.values()) for row in rows])


def _show(found: Sequence[Certificate], *, as_json: bool) -> None:
    if as_json:
        print_json({"certificates": [one.model_dump(mode="json") for one in found]})
        return
    for one in found:
        console.print(f"Certificate of erasure {one.erasure_id} ({one.kind})")
        print_pairs({"Begun": one.began_at, "Completed": one.completed_at})
        for title, counts in (("Erased", one.erased), ("Kept", one.kept), ("Searched", one.searched)):
            console.print(f"{title}:" if counts else f"{title}: nothing")
            print_pairs({f"  {name.replace('_', ' ')}": count for name, count in counts.items()})
        console.print("Nothing was found that is left of it.")
