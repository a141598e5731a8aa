"""Brings table ``people`` up to date with table ``faces``, with consent and with what users said."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from media_assets.pipeline.consent import read_consents
from media_assets.pipeline.derived_tables import Row, maintained, rows_by_media, write_changes
from media_assets.pipeline.library import Library
from media_assets.pipeline.people.faces import owners_of_faces, read_encoded_faces
from media_assets.pipeline.people.grouping import (
    TWICE_IN_FRAME,
    WEAK_BELOW,
    WEAK_MARGIN,
    WEAK_QUALITY,
    GroupedFaces,
    group_faces,
)
from media_assets.storage.people_edits import FaceReference, read_edits

PEOPLE = "people"
"""Name of asset and table."""

_VERSION = 1  # raise it when the same faces and edits would be grouped otherwise
_COMPARED = (
    *("person_id", "frame_s", "face_index", "x_min_px", "y_min_px", "x_max_px", "y_max_px", "name", "is_weak"),
    *("owner", "input_version", "code_version", "model"),
)


@dataclass(frozen=True)
class PeopleReport:
    """What an update did.

    Attributes:
        owners_without_consent: Owners in whose pictures there are faces that were left alone.
        faces: Faces that belong to somebody.
        faces_left_out: Encoded faces that are too poor to tell whose they are.
        people: Number of people.
        named: Number of those with a name.
        files_written: Files whose rows were written.
        files_removed: Files that have no rows any more.
    """

    owners_without_consent: int
    faces: int
    faces_left_out: int
    people: int
    named: int
    files_written: int
    files_removed: int


def update_people(library: Library, run_id: str, *, anew: bool = False) -> PeopleReport:
    """Group all faces into people and write the rows of files in which something changed.

    Args:
        library: The library.
        run_id: Who writes.
        anew: Group all faces anew, however many there are; see :data:`~.grouping.REGROUPED_FACES`.

    Raises:
        TableBusyError: Another process is doing it.
        CompactionBusyError: The catalog is being compacted and does not become free.
        ModelError: The registry does not know a model that encoded faces.
        StorageError: A table or an edit cannot be read, or rows cannot be written.
    """
    with maintained(library, PEOPLE, ["faces"]):
        owners = owners_of_faces(library.store)
        consents = read_consents(library)
        allowed = [owner for owner in owners if consents.allows(owner, "recognition")]
        before = rows_by_media(library, PEOPLE)
        old = _persons_by_owner(before)
        taken: dict[str, frozenset[str]] = {}
        grouped: list[GroupedFaces] = []
        for faces in read_encoded_faces(library.store, allowed):
            edits = read_edits(library.store, faces.owner)
            others = taken.get(faces.owner, frozenset())
            done = group_faces(faces, old.get(faces.owner, ()), edits, taken=others, anew=anew)
            taken[faces.owner] = others | {one for one in done.person_ids if one is not None}
            grouped.append(done)
        after = rows_of_people(grouped)
        changes = write_changes(library, PEOPLE, run_id, before=before, after=after, compared=_COMPARED)
    rows = [row for found in after.values() for row in found]
    return PeopleReport(
        owners_without_consent=len(owners) - len(allowed),
        faces=len(rows),
        faces_left_out=sum(len(one.faces) for one in grouped) - len(rows),
        people=len({row["person_id"] for row in rows}),
        named=len({row["person_id"] for row in rows if row["name"] is not None}),
        files_written=changes.files_written,
        files_removed=changes.files_removed,
    )


def people_code_version(faces_model: str) -> str:
    """Return the version of what decides a grouping, 16 hex digits.

    Args:
        faces_model: Model that encoded the faces, with revision.
    """
    parts = (_VERSION, WEAK_QUALITY, WEAK_BELOW, WEAK_MARGIN, TWICE_IN_FRAME, faces_model)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def rows_of_people(grouped: Sequence[GroupedFaces]) -> dict[str, list[Row]]:
    """Return the rows of table ``people`` by media id, without those columns that every write fills in."""
    rows: dict[str, list[Row]] = defaultdict(list)
    for one in grouped:
        version = people_code_version(one.faces.model)
        for at, reference in enumerate(one.faces.references):
            if one.person_ids[at] is None:
                continue
            x_min, y_min, x_max, y_max = reference.box_px
            rows[reference.media_id].append(
                {
                    "media_id": reference.media_id,
                    "owner": one.faces.owner,
                    "input_version": one.faces.input_versions[at],
                    "code_version": version,
                    "model": one.faces.model,
                    "person_id": one.person_ids[at],
                    "frame_s": reference.frame_s,
                    "face_index": one.faces.indices[at],
                    "x_min_px": x_min,
                    "y_min_px": y_min,
                    "x_max_px": x_max,
                    "y_max_px": y_max,
                    "name": one.names[at],
                    "distance": float(one.distances[at]),
                    "is_weak": bool(one.weak[at]),
                }
            )
    return dict(rows)


def reference_of(row: Mapping[str, Any]) -> FaceReference:
    """Return where the face of a row of ``people`` or ``faces`` is."""
    return FaceReference(
        media_id=row["media_id"],
        frame_s=row["frame_s"],
        box_px=(row["x_min_px"], row["y_min_px"], row["x_max_px"], row["y_max_px"]),
    )


def _persons_by_owner(rows: Mapping[str, Sequence[Row]]) -> dict[str, list[tuple[FaceReference, str]]]:
    found: dict[str, list[tuple[FaceReference, str]]] = defaultdict(list)
    for of_media in rows.values():
        for row in of_media:
            found[row["owner"]].append((reference_of(row), row["person_id"]))
    return found
