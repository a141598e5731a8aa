"""What a user can say about people, checked against the people that are there, as durable edits."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from media_assets.pipeline.derived_tables import Row, rows_by_media
from media_assets.pipeline.library import Library
from media_assets.pipeline.people.update import PEOPLE, reference_of
from media_assets.storage.people_edits import PeopleEdit, now, record_edit

_MAX_NAME = 200


class PeopleEditError(Exception):
    """What was said does not fit the people that are there; the message says how to say it."""


@dataclass(frozen=True)
class Person:
    """A person.

    Attributes:
        person_id: Identifier.
        owner: In whose pictures.
        name: Name, ``None`` without one.
        rows: Rows of table ``people``, by media id, frame and face.
    """

    person_id: str
    owner: str
    name: str | None
    rows: Sequence[Row]

    @property
    def file_count(self) -> int:
        """Number of files in which the person is seen."""
        return len({row["media_id"] for row in self.rows})


def read_people(library: Library) -> list[Person]:
    """Return all people, those with most faces first.

    Raises:
        StorageError: The catalog cannot be read.
    """
    by_id: dict[tuple[str, str], list[Row]] = {}
    for rows in rows_by_media(library, PEOPLE).values():
        for row in rows:
            by_id.setdefault((row["owner"], row["person_id"]), []).append(row)
    found = [
        Person(person_id, owner, rows[0]["name"], sorted(rows, key=_place))
        for (owner, person_id), rows in by_id.items()
    ]
    return sorted(found, key=lambda one: (-len(one.rows), one.owner, one.person_id))


def person_called(people: Collection[Person], said: str) -> Person:
    """Return the person with this identifier or name.

    Raises:
        PeopleEditError: There is none, or the name is that of several.
    """
    found = [one for one in people if one.person_id == said] or [one for one in people if one.name == said]
    if not found:
        raise PeopleEditError(f"There is no person {said!r}. List them with: media-assets people list")
    if len(found) > 1:
        listed = ", ".join(one.person_id for one in found)
        raise PeopleEditError(f"{said!r} is the name of several people: {listed}. Use an identifier.")
    return found[0]


def name_person(library: Library, person: Person, name: str | None) -> PeopleEdit:
    """Record that a person is called ``name``, or has no name.

    Raises:
        PeopleEditError: It is no name.
        StorageError: The store refused.
    """
    if name is not None:
        name = " ".join(name.split())
        if not name or len(name) > _MAX_NAME or not name.isprintable():
            raise PeopleEditError(f"A name has 1 to {_MAX_NAME} printable characters. Give another one.")
    return _record(library, "name", person, name=name)


def merge_people(library: Library, kept: Person, other: Person) -> PeopleEdit:
    """Record that two are one person, who keeps identifier and name of the first, or else the name of the second.

    Raises:
        PeopleEditError: They are the same, or of two owners.
        StorageError: The store refused.
    """
    if kept.person_id == other.person_id:
        raise PeopleEditError(f"{kept.person_id} is one person already. Name two different ones.")
    if kept.owner != other.owner:
        raise PeopleEditError(
            f"{kept.person_id} and {other.person_id} are in pictures of two owners, and people are never grouped "
            "across owners. Give both the same name instead."
        )
    return _record(library, "merge", kept, others=other.rows, name=kept.name or other.name)


def split_person(library: Library, person: Person, faces: Sequence[str]) -> PeopleEdit:
    """Record that some faces of a person are somebody else, one person of their own.

    Args:
        library: The library.
        person: Who keeps identifier and name.
        faces: Media ids, for all faces of the person there, or ``media_id:face_index``, or
            ``media_id@frame_s:face_index`` for a frame of a video.

    Raises:
        PeopleEditError: The person has no such face, or no other.
        StorageError: The store refused.
    """
    names = {face_name(row): row for row in person.rows}
    out: dict[str, Row] = {}
    for said in faces:
        found = {name: row for name, row in names.items() if said in (name, row["media_id"])}
        if not found:
            raise PeopleEditError(
                f"{person.person_id} has no face {said!r}. List them with: media-assets people show {person.person_id}"
            )
        out |= found
    rest = [row for name, row in names.items() if name not in out]
    if not out or not rest:
        raise PeopleEditError("Name some of the person's faces, not none and not all of them.")
    return _record(library, "split", person, faces=list(out.values()), others=rest, name=person.name)


def face_name(row: Mapping[str, object]) -> str:
    """Return what a face is called on the command line: ``media_id:face_index`` or ``media_id@frame_s:face_index``."""
    frame = f"@{row['frame_s']:g}" if row["frame_s"] is not None else ""
    return f"{row['media_id']}{frame}:{row['face_index']}"


def _record(
    library: Library,
    action: str,
    person: Person,
    *,
    faces: Sequence[Row] | None = None,
    others: Sequence[Row] = (),
    name: str | None,
) -> PeopleEdit:
    edit = PeopleEdit.model_validate(
        {
            "action": action,
            "owner": person.owner,
            "recorded_at": now(),
            "person_id": person.person_id,
            "faces": tuple(reference_of(row) for row in (person.rows if faces is None else faces)),
            "others": tuple(reference_of(row) for row in others),
            "name": name,
        }
    )
    record_edit(library.store, edit)
    return edit


def _place(row: Row) -> tuple[str, float, int]:
    return row["media_id"], -1.0 if row["frame_s"] is None else row["frame_s"], row["face_index"]
