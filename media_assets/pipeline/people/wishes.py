"""What edits demand of a grouping of faces: who belongs together, who does not, and who is called what.

Pure. Edits are applied in the order in which they were recorded, each to the faces that still stand at the places that
it names; a later one wins over an earlier one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media_assets.models.face_clustering import Labels, Pairs
from media_assets.pipeline.people.faces import FaceFinder
from media_assets.storage.people_edits import PeopleEdit

NOBODY = -1
"""Group of a face that belongs to no person."""


@dataclass(frozen=True)
class _Wish:
    """An edit with positions of faces instead of places."""

    edit: PeopleEdit
    faces: list[int]
    others: list[int]


@dataclass(frozen=True)
class Wishes:
    """The edits of an owner, for faces at hand."""

    wishes: Sequence[_Wish]

    def settled(self) -> list[int]:
        """Return the faces that a user took out of a person: they count, however poor they are."""
        return sorted({position for one in self.wishes if one.edit.action == "split" for position in one.faces})

    def together(self, start: Labels, strong: NDArray[np.bool_]) -> Labels:
        """Return groups to begin with: those of ``start``, changed by the edits.

        Args:
            start: Group of each face.
            strong: Whether a face may start or join groups; others follow where they fit.
        """
        labels = start.copy()
        fresh = int(start.max(initial=0)) + 1
        for number, one in enumerate(self.wishes, fresh):
            moved = {"merge": [*one.faces, *one.others], "split": one.faces, "name": []}[one.edit.action]
            labels[[position for position in moved if strong[position]]] = number
        return labels

    def apart(self) -> Pairs:
        """Return pairs of faces that a user told apart, and that no later edit joined."""
        pairs: set[tuple[int, int]] = set()
        for one in self.wishes:
            if one.edit.action == "split":
                pairs |= {(face, other) for face in one.faces for other in one.others if face != other}
            elif one.edit.action == "merge":
                joined = {*one.faces, *one.others}
                pairs = {(face, other) for face, other in pairs if not (face in joined and other in joined)}
        return np.array(sorted(pairs), np.int64).reshape(-1, 2)

    def identifiers(self, labels: Labels) -> dict[int, str]:
        """Return the identifiers that edits give to groups: who was merged into or split off keeps theirs."""
        found: dict[int, str] = {}
        for one in self.wishes:
            kept = {"merge": [*one.faces, *one.others], "split": one.others, "name": []}[one.edit.action]
            group = _holder(labels, kept)
            if group is not None:
                found = {other: name for other, name in found.items() if name != one.edit.person_id}
                found[group] = one.edit.person_id
        return found

    def names(self, labels: Labels) -> dict[int, str]:
        """Return the names of groups; those without one are missing."""
        found: dict[int, str | None] = {}
        for one in self.wishes:
            named = {"merge": [*one.faces, *one.others], "split": one.others, "name": one.faces}[one.edit.action]
            if one.edit.action == "split" and (left := _holder(labels, one.faces)) is not None:
                found[left] = None
            if (group := _holder(labels, named)) is not None:
                found[group] = one.edit.name
        return {group: name for group, name in found.items() if name is not None}


def wishes_of(edits: Sequence[PeopleEdit], finder: FaceFinder) -> Wishes:
    """Find the faces of edits again. Edits of which none is left say nothing."""
    found = [_Wish(edit, finder.find_all(edit.faces), finder.find_all(edit.others)) for edit in edits]
    return Wishes([one for one in found if one.faces or one.others])


def _holder(labels: Labels, faces: Sequence[int]) -> int | None:
    """Return the group that holds most of ``faces``, of equals the first one; ``None`` when none does."""
    counts = Counter(int(labels[position]) for position in faces if labels[position] != NOBODY)
    return min(counts, key=lambda group: (-counts[group], group), default=None)
