"""Boxes that a detector proposes, before the final choice: overlaps, suppression, agreement of two views.

Arrays only. Lives here: what holds for every detector. Must not: know networks or pictures.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Candidates:
    """Boxes with a score and a class each.

    Attributes:
        boxes: Shape (n, 4): x_min, y_min, x_max, y_max in pixels.
        scores: Shape (n,), 0-1.
        classes: Shape (n,): index of the class.
    """

    boxes: Floats
    scores: Floats
    classes: Indices

    def __len__(self) -> int:
        return len(self.scores)

    def at(self, indices: Indices) -> "Candidates":
        """Return those at ``indices``, in that order."""
        return Candidates(self.boxes[indices], self.scores[indices], self.classes[indices])

    def surest_first(self) -> "Candidates":
        """Return them sorted by falling score."""
        return self.at(np.argsort(-self.scores, kind="stable"))


def overlaps(first: Floats, second: Floats) -> Floats:
    """Return intersection over union of each box of one array with each of another, shape (len(first), len(second)).

    0 where a box is empty.
    """
    upper = np.maximum(first[:, None, :2], second[None, :, :2])
    lower = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(lower - upper, 0, None).prod(-1)
    union = _areas(first)[:, None] + _areas(second)[None] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def candidates_above(boxes: Floats, scores: Floats, least: float, most: int) -> Candidates:
    """Return every class of every box that reaches a score, surest first.

    Args:
        boxes: Shape (n, 4).
        scores: Shape (n, classes), 0-1.
        least: Least score.
        most: Most that are returned.
    """
    rows, classes = np.nonzero(scores >= least)
    found = Candidates(boxes[rows], scores[rows, classes], classes.astype(np.int64))
    return found.at(np.argsort(-found.scores, kind="stable")[:most])


def suppress(found: Candidates, most_overlap: float) -> Candidates:
    """Non-maximum suppression within each class: drop what overlaps a surer box of its class; surest first.

    Args:
        found: Any order.
        most_overlap: Intersection over union that is still two things, 0-1.
    """
    found = found.surest_first()
    is_same = found.classes[:, None] == found.classes[None]
    clashes = is_same & (overlaps(found.boxes, found.boxes) > most_overlap)
    alive = np.ones(len(found), bool)
    for index in range(len(found)):
        if alive[index]:
            alive[index + 1 :] &= ~clashes[index, index + 1 :]
    return found.at(np.flatnonzero(alive))


def agree(first: Candidates, second: Candidates, least_overlap: float) -> Candidates:
    """Merge what two views of one picture show: weighted boxes fusion (Solovyev et al. 2021) of two models.

    A box of one view is paired with the best unpaired one of its class in the other. A pair has the mean of both boxes,
    weighted by score, and the mean of both scores; what only one view shows has half its score.

    Args:
        first: Suppressed candidates of one view.
        second: Those of the other, in the same coordinates.
        least_overlap: Intersection over union from which two boxes are one thing, 0-1.
    """
    first = first.surest_first()
    fit = overlaps(first.boxes, second.boxes) * (first.classes[:, None] == second.classes[None])
    is_free = np.ones(len(second), bool)
    boxes, scores = first.boxes.copy(), first.scores / 2
    for index in range(len(first)):
        free_fit = fit[index] * is_free
        partner = int(free_fit.argmax()) if len(second) else 0
        if not len(second) or free_fit[partner] < least_overlap:
            continue
        is_free[partner] = False
        weights = np.array([first.scores[index], second.scores[partner]])
        boxes[index] = (weights[:, None] * [first.boxes[index], second.boxes[partner]]).sum(0) / weights.sum()
        scores[index] = weights.mean()
    rest = second.at(np.flatnonzero(is_free))
    merged = Candidates(
        np.concatenate([boxes, rest.boxes]),
        np.concatenate([scores, rest.scores / 2]),
        np.concatenate([first.classes, rest.classes]),
    )
    return merged.surest_first()


def limit_rivals(found: Candidates, overlap: float) -> Candidates:
    """Let one place be one thing: a box of another class there is at most as likely as that the surer one is wrong.

    Args:
        found: Candidates whose scores are probabilities.
        overlap: Intersection over union from which two boxes show one place, 0-1.
    """
    found = found.surest_first()
    is_rival = (overlaps(found.boxes, found.boxes) > overlap) & (found.classes[:, None] != found.classes[None])
    surer = np.where(np.tril(is_rival, -1), found.scores[None], 0).max(1, initial=0)
    scores = np.minimum(found.scores, 1 - surer).astype(np.float32)
    return Candidates(found.boxes, scores, found.classes).surest_first()


def _areas(boxes: Floats) -> Floats:
    return np.asarray(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1))
