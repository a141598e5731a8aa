"""``media-assets consent``: what owners said to which use of their pictures, and what has followed from it."""

import getpass
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import click

from media_assets.commands.existing import open_existing
from media_assets.commands.output import (
    EXIT_USAGE,
    UserError,
    console,
    json_option,
    library_option,
    print_json,
    print_pairs,
    print_table,
    reports_errors,
)
from media_assets.instance import prepare_home
from media_assets.models.errors import ModelError
from media_assets.pipeline.consent import Consents, read_consents
from media_assets.pipeline.library import CompactionBusyError, Library
from media_assets.pipeline.revocation.applied import owners_pending
from media_assets.pipeline.revocation.apply import summary
from media_assets.pipeline.revocation.verify import verify_consents
from media_assets.settings import Settings
from media_assets.storage.consents import (
    PURPOSES,
    ConsentRecord,
    Purpose,
    publish_records,
    read_records,
    record_consent,
    time_of_record,
)

_SHOWN = 20


class _Purposes(click.ParamType[tuple[Purpose, ...]]):
    """Purposes with commas between, or ``all``."""

    name = "PURPOSES"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Purpose, ...]:
        if isinstance(value, tuple):
            return value
        words = [word.strip() for word in str(value).split(",") if word.strip()]
        if words == ["all"]:
            return PURPOSES
        unknown = [word for word in words if word not in PURPOSES]
        if unknown or not words:
            self.fail(
                f"{unknown[0] if unknown else value!r} is no purpose. Use {', '.join(PURPOSES)}, or all.", param, ctx
            )
        return tuple(purpose for purpose in PURPOSES if purpose in words)


@click.group()
def consent() -> None:
    """Record what owners allow, and let the library follow.

    Purposes: faces (faces are looked for), recognition (they are encoded and grouped into people), text (text is
    read), location (positions are kept), analysis (embeddings, objects, scenes, sensitive content), publication
    (covered copies are made that may leave the library). Where nothing is on record the policy counts.
    """


@contextmanager
def _opened(library: str | None) -> Iterator[Library]:
    settings = Settings.load(library=library)
    opened = open_existing(settings)
    os.environ["DAGSTER_HOME"] = str(prepare_home(settings))
    try:
        yield opened
    finally:
        opened.close()


def _by_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--by", "recorded_by", metavar="NAME", help="Who records it.  [default: the user of this machine]"
    )(command)


def _recorder(recorded_by: str | None) -> str:
    if recorded_by is not None and recorded_by.strip():
        return recorded_by.strip()
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise UserError("Say who records it: --by NAME.", EXIT_USAGE) from error


@consent.command()
@click.argument("owner")
@click.argument("purposes", type=_Purposes())
@_by_option
@click.option("--note", metavar="TEXT", help="Where the evidence is, for example the number of a signed form.")
@click.option("--expires", metavar="TIME", help="End of the permission: 2027-06-30, an ISO 8601 time, or 90d from now.")
@library_option
@reports_errors
def grant(
    owner: str,
    purposes: Sequence[Purpose],
    recorded_by: str | None,
    note: str | None,
    expires: str | None,
    library: str | None,
) -> None:
    """Record that OWNER allows PURPOSES (with commas between).

    The sensors of a running service compute what is allowed now; without one, `media-assets process` does.
    """
    ends = None if expires is None else _end(expires, datetime.now(UTC))
    with _opened(library) as opened:
        _record(opened, owner, purposes, recorded_by, note, granted=True, ends=ends)
        until = f" until {ends.isoformat()}" if ends else ""
        console.print(f"Recorded: {owner} allows {', '.join(purposes)}{until}.", markup=False)


@consent.command()
@click.argument("owner")
@click.argument("purposes", type=_Purposes())
@_by_option
@click.option("--note", metavar="TEXT", help="Where the evidence is.")
@library_option
@reports_errors
def revoke(
    owner: str, purposes: Sequence[Purpose], recorded_by: str | None, note: str | None, library: str | None
) -> None:
    """Record that OWNER does not allow PURPOSES any longer (with commas between).

    From now on nothing is computed for them. What was derived is deleted by the next run of privacy_job, within a
    minute where the service runs; at once with `media-assets consent apply`.
    """
    with _opened(library) as opened:
        _record(opened, owner, purposes, recorded_by, note, granted=False, ends=None)
        console.print(f"Recorded: {owner} does not allow {', '.join(purposes)} any longer.", markup=False)
        console.print("What was derived goes with the next run of privacy_job, or now: media-assets consent apply")


def _record(
    opened: Library,
    owner: str,
    purposes: Sequence[Purpose],
    recorded_by: str | None,
    note: str | None,
    *,
    granted: bool,
    ends: datetime | None,
) -> None:
    known = opened.ledger.share_owners()
    if owner not in known:
        shown = ", ".join(sorted(known)[:_SHOWN]) or "none yet"
        note_of = f"Note: there are no files of an owner {owner!r} (owners: {shown}). It is recorded all the same."
        click.echo(note_of, err=True)
    by, at = _recorder(recorded_by), time_of_record(opened.store, owner)
    for number, purpose in enumerate(purposes):
        record_consent(
            opened.store,
            ConsentRecord(
                owner=owner,
                purpose=purpose,
                granted=granted,
                recorded_by=by,
                recorded_at=at + timedelta(microseconds=number),
                expires_at=ends,
                note=note,
            ),
        )
    publish_records(opened.store)


def _end(text: str, at: datetime) -> datetime:
    if text.endswith("d") and text[:-1].isdecimal():
        return at + timedelta(days=int(text[:-1]))
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"{text!r} is no time. Write 2027-06-30, 2027-06-30T18:00+02:00, or 90d.", EXIT_USAGE) from None
    found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    if found <= at:
        raise UserError(f"{found.isoformat()} has passed. Say a later time, or revoke.", EXIT_USAGE)
    return found


@consent.command()
@click.argument("owner", required=False)
@click.option("--history", is_flag=True, help="Every record, the oldest first.")
@library_option
@json_option
@reports_errors
def show(owner: str | None, history: bool, library: str | None, as_json: bool) -> None:
    """Show what counts now for OWNER, or for all, and why."""
    with _opened(library) as opened:
        if history:
            records = [one for one in read_records(opened.store) if owner in (None, one.owner)]
            if as_json:
                print_json([one.model_dump(mode="json") for one in records])
            else:
                columns = ("recorded at", "owner", "purpose", "answer", "by", "expires", "note")
                print_table(columns, [_line(one) for one in records])
            return
        consents = read_consents(opened)
        owners = sorted(opened.ledger.share_owners() | consents.owners) if owner is None else [owner]
        rows = [_answer(consents, one, purpose) for one in owners for purpose in PURPOSES]
        pending = owners_pending(opened, consents)
        policy = consents.policy.source
    if as_json:
        names = ("owner", "purpose", "allowed", "because", "since", "expires_at")
        found = [dict(zip(names, row, strict=True)) for row in rows]
        print_json({"policy": policy, "answers": found, "not_followed_yet": pending})
        return
    heads = ("owner", "purpose", "allowed", "because", "since", "expires")
    print_table(heads, [(*row[:2], "yes" if row[2] else "no", *row[3:]) for row in rows])
    console.print(f"Policy: {policy}. Records: media-assets consent show --history")
    if pending:
        console.print(
            f"Not followed yet for {len(pending)} owners. Wait for privacy_job, or: media-assets consent apply"
        )


def _line(record: ConsentRecord) -> tuple[object, ...]:
    answer = "granted" if record.granted else "revoked"
    said = (record.recorded_at, record.owner, record.purpose, answer)
    return (*said, record.recorded_by, record.expires_at, record.note)


def _answer(consents: Consents, owner: str, purpose: Purpose) -> tuple[object, ...]:
    record = consents.record(owner, purpose)
    since, ends = (record.recorded_at, record.expires_at) if record is not None else (None, None)
    return (owner, purpose, consents.allows(owner, purpose), consents.reason(owner, purpose), since, ends)


@consent.command()
@click.option("--all", "everyone", is_flag=True, help="Look at all owners, whether their answers changed or not.")
@library_option
@json_option
@reports_errors
def apply(everyone: bool, library: str | None, as_json: bool) -> None:
    """Delete now what is not allowed any longer, and let the rest be computed.

    Safe to interrupt and to repeat. Exit status: 0 when all is done, 1 when other runs went on meanwhile (then do it
    again after them; a running service does so by itself).
    """
    from media_assets.defs.erasing import open_instance
    from media_assets.defs.privacy import follow_consents

    with _opened(library) as opened, open_instance() as instance:
        try:
            report = follow_consents(instance, opened, everyone=everyone)
        except (CompactionBusyError, ModelError, TypeError) as error:
            raise UserError(str(error)) from error
    if as_json:
        print_json({**summary(report), "settled": report.is_settled})
    elif not report.owners:
        console.print("All consents are followed already.")
    else:
        print_pairs(dict(summary(report)))
    if not report.is_settled:
        raise UserError("Other runs went on meanwhile and may have followed older answers. Do it again after them.")


@consent.command()
@library_option
@json_option
@reports_errors
def verify(library: str | None, as_json: bool) -> None:
    """Read everything and prove that nothing is left of what is not allowed.

    Exit status: 0 when nothing is left, 1 when something is.
    """
    from media_assets.defs.asset_events import count_asset_events
    from media_assets.defs.erasing import open_instance

    with _opened(library) as opened, open_instance() as instance:
        proof = verify_consents(opened, partial(count_asset_events, instance))
    if as_json:
        print_json({"looked_at": proof.looked_at, "owners_denied": dict(proof.denied), "left": proof.left})
    else:
        print_pairs({f"{name} read": count for name, count in proof.looked_at.items()})
        print_pairs({f"owners without {purpose}": count for purpose, count in proof.denied.items()})
        for line in proof.left[:_SHOWN]:
            click.echo(f"left: {line}")
        if not proof.left:
            console.print("Nothing is left of what is not allowed.")
    if proof.left:
        places = len(proof.left)
        raise UserError(f"Something is left in {places} places. Delete it: media-assets consent apply --all")
