"""``media-assets people``: who is seen in the pictures, and saying who they are.

What is said is stored in the library at once, and outlives every new detection and grouping of faces.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import click

from media_assets.commands.existing import open_existing
from media_assets.commands.output import (
    EXIT_USAGE,
    UserError,
    console,
    json_option,
    library_option,
    print_json,
    print_table,
    reports_errors,
)
from media_assets.models.errors import ModelError
from media_assets.pipeline.consent import read_consents
from media_assets.pipeline.derived_tables import TableBusyError
from media_assets.pipeline.library import CompactionBusyError, Library
from media_assets.pipeline.people import editing
from media_assets.pipeline.people.editing import PeopleEditError, Person, person_called, read_people
from media_assets.pipeline.people.update import update_people
from media_assets.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")


@click.group()
def people() -> None:
    """Show and name the people in the pictures of owners who consented to recognition.

    PERSON is an identifier as `people list` shows it, or a name that only one person has.
    """


def _reports_people_errors(command: Callable[P, R]) -> Callable[P, R]:
    """As ``reports_errors``, and for what is said about people."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except PeopleEditError as error:
            raise UserError(str(error), EXIT_USAGE) from error
        except ModelError as error:
            raise UserError(str(error)) from error

    return reports_errors(wrapped)


@people.command("list")
@library_option
@click.option("--owner", metavar="NAME", help="Only people in the pictures of this owner.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Rows at most.")
@json_option
@_reports_people_errors
def list_people(library: str | None, owner: str | None, limit: int, as_json: bool) -> None:
    """List the people, those with most faces first."""
    with _opened(library) as opened:
        found = [one for one in read_people(opened) if owner is None or one.owner == owner]
        consents = read_consents(opened)
        owners = opened.ledger.share_owners() | consents.owners | set(consents.policy.owners)
        has_consent = consents.policy.defaults["recognition"] or any(
            consents.allows(one, "recognition") for one in owners
        )
    if as_json:
        print_json([_summary(one) for one in found[:limit]])
        return
    if not found:
        console.print("No people." if has_consent else _NO_CONSENT, markup=False)
        return
    print_table(
        ("person", "name", "owner", "faces", "files"),
        [(one.person_id, one.name, one.owner, len(one.rows), one.file_count) for one in found[:limit]],
    )
    if len(found) > limit:
        console.print(f"... and {len(found) - limit} more (--limit).")


_NO_CONSENT = (
    "No people: no owner has consented to recognition. Record it when one does: media-assets consent grant OWNER "
    "recognition --by YOU"
)


@people.command()
@click.argument("person")
@library_option
@json_option
@_reports_people_errors
def show(person: str, library: str | None, as_json: bool) -> None:
    """List the faces of a PERSON, the most typical first."""
    with _opened(library) as opened:
        found = person_called(read_people(opened), person)
    rows = sorted(found.rows, key=lambda row: (row["distance"], row["media_id"]))
    if as_json:
        wanted = ("media_id", "frame_s", "face_index", "distance", "is_weak")
        box = ("x_min_px", "y_min_px", "x_max_px", "y_max_px")
        faces = [{"face": editing.face_name(row), **{name: row[name] for name in (*wanted, *box)}} for row in rows]
        print_json(_summary(found) | {"faces": faces})
        return
    print_table(
        ("face", "distance", "weak", "left px", "top px", "right px", "bottom px"),
        [
            (
                *(editing.face_name(row), round(row["distance"], 3), "yes" if row["is_weak"] else None),
                *(round(row[name]) for name in ("x_min_px", "y_min_px", "x_max_px", "y_max_px")),
            )
            for row in rows
        ],
        title=f"{found.person_id}  {found.name or '(no name)'}",
    )


@people.command()
@click.argument("person")
@click.argument("name")
@library_option
@_reports_people_errors
def name(person: str, name: str, library: str | None) -> None:
    """Say what a PERSON is called."""
    with _opened(library) as opened:
        edit = editing.name_person(opened, person_called(read_people(opened), person), name)
        _apply(opened, edit.person_id)


@people.command("forget-name")
@click.argument("person")
@library_option
@_reports_people_errors
def forget_name(person: str, library: str | None) -> None:
    """Take the name of a PERSON away.

    It is gone from the catalog. Earlier parts of the table and the record that it was once given stay in the library.
    """
    with _opened(library) as opened:
        edit = editing.name_person(opened, person_called(read_people(opened), person), None)
        _apply(opened, edit.person_id)


@people.command()
@click.argument("person")
@click.argument("other")
@library_option
@_reports_people_errors
def merge(person: str, other: str, library: str | None) -> None:
    """Say that PERSON and OTHER are one: PERSON, with the name of PERSON or else that of OTHER."""
    with _opened(library) as opened:
        found = read_people(opened)
        edit = editing.merge_people(opened, person_called(found, person), person_called(found, other))
        _apply(opened, edit.person_id)


@people.command()
@click.argument("person")
@click.argument("faces", nargs=-1, required=True, metavar="FACE...")
@library_option
@_reports_people_errors
def split(person: str, faces: Sequence[str], library: str | None) -> None:
    """Say that some FACEs of a PERSON are somebody else, who becomes a person of their own.

    FACE is as `people show` lists it, MEDIA_ID:NUMBER, or a MEDIA_ID for all faces of the person there.
    """
    with _opened(library) as opened:
        edit = editing.split_person(opened, person_called(read_people(opened), person), faces)
        _apply(opened, edit.person_id)


@contextmanager
def _opened(library: str | None) -> Iterator[Library]:
    opened = open_existing(Settings.load(library=library))
    try:
        yield opened
    finally:
        opened.close()


def _apply(library: Library, person_id: str) -> None:
    """Group the faces again, so that the tables say what was said."""
    try:
        update_people(library, f"people-{uuid.uuid4()}")
    except (TableBusyError, CompactionBusyError) as error:
        console.print(f"Recorded; it will show when asset `people` is materialized next. {error}", markup=False)
        return
    found = [one for one in read_people(library) if one.person_id == person_id]
    if not found:
        console.print(f"Recorded. {person_id} has no faces any more.", markup=False)
    for one in found:
        described = f"{one.person_id}: {one.name or '(no name)'}, {len(one.rows)} faces in {one.file_count} files."
        console.print(described, markup=False)


def _summary(person: Person) -> dict[str, object]:
    return {
        "person_id": person.person_id,
        "name": person.name,
        "owner": person.owner,
        "face_count": len(person.rows),
        "file_count": person.file_count,
    }
