"""Groups the faces of one owner and model into people: identifiers, names and distances.

Pure but for the registry of models. Two kinds of faces: strong ones make the people; weak ones (small, blurred, turned
away) join a person who is clearly the nearest, and never start or join people, because the vectors of poor faces lie
near each other whoever they show.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media_assets.models.errors import ModelError
from media_assets.models.face_clustering import (
    Labels,
    Pairs,
    average_linkage,
    distances_to_means,
    groups_of,
    nearest_groups,
    prepared,
    squared,
)
from media_assets.models.registry import model_named
from media_assets.pipeline.people.faces import EncodedFaces, FaceFinder, labels_found
from media_assets.pipeline.people.wishes import NOBODY, Wishes, wishes_of
from media_assets.pipeline.stable_ids import new_id, stable_ids
from media_assets.storage.people_edits import FaceReference, PeopleEdit

WEAK_QUALITY = 0.25
"""Faces of a lower quality (``models.face_quality``) are weak.

In crowds, a third of the pairs of strangers below 0.2 (18 px in the median) were within the threshold of one person,
none above; portraits have 0.4 and more."""

WEAK_BELOW, WEAK_MARGIN = 0.9, 0.1
"""A weak face joins the nearest person within 0.9 of the threshold, if the next one is 0.1 of it farther away.

Measured with the faces of a labelled set shrunk to 16-24 px: none of 143 joined anybody but themselves."""

TWICE_IN_FRAME = 0.5
"""Faces of one picture or frame are different people, unless they are nearer than half of the threshold: a collage."""

REGROUPED_FACES = 20_000
"""Up to so many faces, all are grouped anew each time, which takes seconds: the order of arrival does not matter.
Beyond, the people of before are kept as they are, and new faces join them or start new ones."""


@dataclass(frozen=True)
class GroupedFaces:
    """Faces and whose they are.

    Attributes:
        faces: The faces.
        person_ids: Person of each face, ``None``: nobody's.
        names: Name of each face's person.
        distances: Distance of each face to the mean of its person, in the metric; NaN for nobody's.
        weak: Whether each face is weak.
    """

    faces: EncodedFaces
    person_ids: Sequence[str | None]
    names: Sequence[str | None]
    distances: NDArray[np.float64]
    weak: NDArray[np.bool_]


def group_faces(
    faces: EncodedFaces,
    before: Sequence[tuple[FaceReference, str]],
    edits: Sequence[PeopleEdit],
    *,
    taken: frozenset[str] = frozenset(),
    anew: bool = False,
) -> GroupedFaces:
    """Group faces into people.

    Args:
        faces: All encoded faces of an owner and model.
        before: Faces of the owner as they were, with their persons.
        edits: What users said, the oldest first.
        taken: Identifiers of other people of the owner.
        anew: Forget the grouping of before, however many faces there are; identifiers stay all the same.

    Raises:
        ModelError: The registry does not know the model of the vectors, or how far faces of one person are apart.
    """
    below = same_below(faces.model)
    old = labels_found(faces.references, before)
    wishes = wishes_of(edits, FaceFinder(faces.references))
    strong = ~(faces.quality < WEAK_QUALITY)  # what was not measured is strong
    weak = ~strong
    strong[wishes.settled()] = True
    start = np.arange(len(faces))
    if len(faces) > REGROUPED_FACES and not anew:
        start = _as_before(old, strong)
    labels = np.full(len(faces), NOBODY)
    at = np.nonzero(strong)[0]
    if len(at):
        together = wishes.together(start, strong)
        # Users come before the rule: who was said to be one person may be twice in a picture.
        apart = np.concatenate([wishes.apart(), _side_by_side(faces, below)])
        inner = np.full(len(faces), -1)
        inner[at] = np.arange(len(at))
        inside = inner[apart]
        labels[at] = average_linkage(
            faces.vectors[at],
            faces.metric,
            below,
            start=together[at],
            apart=inside[(inside >= 0).all(axis=1)],
        )
        _let_weak_join(faces, labels, np.nonzero(~strong)[0], below, apart)
    return _identified(faces, labels, old, wishes, weak, taken)


def same_below(model_version: str) -> float:
    """Return the distance below which two faces are of one person, from the name and revision of their model.

    It is also where average linkage ends: on labelled pictures grouping is right from 0.85 to 1.1 times this distance.

    Raises:
        ModelError: The registry does not tell.
    """
    spec = model_named(model_version.partition("@")[0])
    if spec.same_below is None:
        raise ModelError(f"The registry does not say how near faces of one person are for model {spec.name}.")
    return spec.same_below


def _as_before(old: Sequence[str | None], strong: NDArray[np.bool_]) -> Labels:
    """Strong faces of one person of before in one group, everybody else alone."""
    labels = np.arange(len(old))
    first: dict[str, int] = {}
    for position, person in enumerate(old):
        if person is not None and strong[position]:
            labels[position] = first.setdefault(person, position)
    return labels


def _side_by_side(faces: EncodedFaces, below: float) -> Pairs:
    """Pairs of faces of one picture or frame that cannot be one person."""
    frames: dict[tuple[str, float | None], list[int]] = defaultdict(list)
    for position, one in enumerate(faces.references):
        frames[one.media_id, one.frame_s].append(position)
    limit = squared(TWICE_IN_FRAME * below, faces.metric)
    found = [np.empty((0, 2), np.int64)]
    for members in frames.values():
        if len(members) > 1:
            vectors = prepared(faces.vectors[members], faces.metric)
            first, second = np.triu_indices(len(members), 1)
            difference = vectors[first] - vectors[second]
            is_far = np.einsum("ij,ij->i", difference, difference) >= limit
            found.append(np.stack([np.array(members)[first[is_far]], np.array(members)[second[is_far]]], axis=1))
    return np.concatenate(found)


def _let_weak_join(faces: EncodedFaces, labels: Labels, weak: Labels, below: float, apart: Pairs) -> None:
    if len(weak) == 0:
        return
    at = np.nonzero(labels != NOBODY)[0]
    groups = groups_of(prepared(faces.vectors[at], faces.metric), labels[at])
    nearest, distance = nearest_groups(faces.vectors[weak], groups, faces.metric)
    is_near = distance < WEAK_BELOW * below
    is_clear = distance[:, 1] - distance[:, 0] >= WEAK_MARGIN * below
    strangers: dict[int, list[int]] = defaultdict(list)
    for one, other in apart.tolist():
        strangers[one].append(other)
        strangers[other].append(one)
    # The nearest first: of two faces in a picture one can be this person.
    for row in np.argsort(distance[:, 0], kind="stable").tolist():
        position = int(weak[row])
        first, second = nearest[row].tolist()
        taken = {int(labels[other]) for other in strangers[position]}
        if first not in taken:
            if is_near[row, 0] and is_clear[row]:
                labels[position] = first
        elif second not in taken and is_near[row, 1]:
            labels[position] = second


def _identified(
    faces: EncodedFaces,
    labels: Labels,
    old: Sequence[str | None],
    wishes: Wishes,
    weak: NDArray[np.bool_],
    taken: frozenset[str],
) -> GroupedFaces:
    member = np.nonzero(labels != NOBODY)[0]
    groups = labels[member]
    first = {int(group): int(member[at]) for group, at in zip(*np.unique(groups, return_index=True), strict=True)}

    def make(group: int) -> str:
        one = faces.references[first[group]]
        return new_id("p", faces.owner, one.media_id, one.frame_s, faces.indices[first[group]])

    ids = stable_ids(
        groups.tolist(),
        [old[position] for position in member.tolist()],
        make,
        pinned=wishes.identifiers(labels),
        taken=taken,
    )
    names = wishes.names(labels)
    distances = np.full(len(faces), np.nan)
    if len(member):
        distances[member] = distances_to_means(faces.vectors[member], groups, faces.metric)
    return GroupedFaces(
        faces,
        [ids.get(group) for group in labels.tolist()],
        [names.get(group) for group in labels.tolist()],
        distances,
        weak,
    )
