"""Grouping of face vectors into people by average linkage, without ever holding all distances.

Pure arithmetic on arrays. The mean of the squared Euclidean distances between two groups follows from their sizes, mean
vectors and mean squared lengths alone, so that a group is one row, however many faces it has. For vectors of length 1
that is twice the mean cosine distance, so for cosine the linkage is exactly the average one; for Euclidean distances
it is the root of the mean square. Average linkage is reducible (Murtagh 1983): groups that are each other's nearest may
be merged in any order, many at a time, and a group without another one near enough is final. Why not connected
components: a few wrong pairs among thousands chain everybody into one person.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Metric = Literal["cosine", "euclidean"]
Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]
Pairs = NDArray[np.int64]
"""Shape (n, 2): pairs of positions."""

# A tile of distances takes 32 MB, whatever the number of faces.
_TILE_ROWS, _TILE_COLUMNS = 1024, 8192
_FAR = np.float32(np.inf)


@dataclass(frozen=True)
class FaceGroups:
    """Groups of faces, one row each, in the space where squared Euclidean distances are compared.

    Attributes:
        means: Mean vectors, shape (groups, dim).
        mean_squares: Mean squared length of the vectors of each group, shape (groups,).
        sizes: Number of faces of each group.
    """

    means: Vectors
    mean_squares: NDArray[np.float32]
    sizes: NDArray[np.int64]


def prepared(vectors: Vectors, metric: Metric) -> Vectors:
    """Return vectors that can be compared by Euclidean distance: of length 1 for cosine, else as they are."""
    vectors = np.ascontiguousarray(vectors, np.float32)
    if metric == "euclidean":
        return vectors
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = (vectors / np.maximum(lengths, np.float32(1e-12))).astype(np.float32)
    return scaled


def squared(distance: float, metric: Metric) -> float:
    """Return a distance as the squared Euclidean one between :func:`prepared` vectors."""
    return distance**2 if metric == "euclidean" else 2 * distance


def unsquared(values: NDArray[np.float32], metric: Metric) -> NDArray[np.float32]:
    """Undo :func:`squared`."""
    positive = np.maximum(values, np.float32(0))
    return (np.sqrt(positive) if metric == "euclidean" else positive / 2).astype(np.float32, copy=False)


def groups_of(vectors: Vectors, labels: Labels) -> FaceGroups:
    """Summarise groups of prepared vectors.

    Args:
        vectors: Shape (faces, dim).
        labels: Group of each face, from 0 without gaps.
    """
    sizes = np.bincount(labels)
    # Sums of neighbouring rows: np.add.at would be many times slower.
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(len(sizes)))
    if len(labels) == 0:
        return FaceGroups(vectors, np.empty(0, np.float32), sizes)
    sums = np.add.reduceat(vectors[order], starts, axis=0)
    squares = np.bincount(labels, weights=np.einsum("ij,ij->i", vectors, vectors))
    means = (sums / sizes[:, None]).astype(np.float32)
    return FaceGroups(means, (squares / sizes).astype(np.float32), sizes)


def average_linkage(
    vectors: Vectors, metric: Metric, below: float, *, start: Labels | None = None, apart: Pairs | None = None
) -> Labels:
    """Merge groups until no two of them have an average distance below ``below``.

    Exact, deterministic, and the same for any order of the faces but for ties. Time grows with the square of the number
    of groups at the start (100,000 faces of 128 values: minutes on two cores), memory with the number of faces.

    Args:
        vectors: Shape (faces, dim), as the model gives them.
        metric: How they are compared.
        below: Average distance, in the metric, at which merging ends; exclusive.
        start: Group of each face to begin with, any numbers; these groups are never taken apart. ``None``: each face
            is one.
        apart: Pairs of positions of faces that never come into one group. A pair within one group of ``start`` does
            not count.

    Returns:
        Group of each face, numbered from 0 in the order of their first faces.
    """
    data = prepared(vectors, metric)
    labels = _first_numbers(np.arange(len(data)) if start is None else start)
    if len(data) == 0:
        return labels
    work = _Linkage(groups_of(data, labels), squared(below, metric))
    if apart is not None and len(apart):
        work.keep_apart(labels[apart])
    return _first_numbers(work.merge()[labels])


class _Linkage:
    """Groups on their way; the position of a group in the arrays changes, its number does not."""

    def __init__(self, groups: FaceGroups, limit: float) -> None:
        count = len(groups.sizes)
        self._limit = np.float32(limit)
        self._means, self._squares = groups.means.copy(), groups.mean_squares.copy()
        self._sizes = groups.sizes.astype(np.float32)
        self._numbers = np.arange(count)
        self._nearest = np.full(count, -1)
        self._distance = np.full(count, _FAR)
        self._parent = np.arange(count)
        self._apart = np.empty((0, 2), np.int64)

    def keep_apart(self, pairs: Pairs) -> None:
        """Forbid pairs of groups, by number."""
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        self._apart = np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0)

    def merge(self) -> Labels:
        """Merge all there is to merge; return for each group the one that it is part of at the end."""
        stale = np.arange(len(self._numbers))
        while len(self._numbers) > 1:
            self._find_nearest(stale)
            if not np.any(self._distance < self._limit):
                break
            stale = self._merge_mutual()
        return self._roots()

    def _find_nearest(self, rows: Labels) -> None:
        """Find the nearest group of those at the positions ``rows``."""
        forbidden = self._forbidden()
        for first in range(0, len(rows), _TILE_ROWS):
            some = rows[first : first + _TILE_ROWS]
            best, nearest = np.full(len(some), _FAR), np.full(len(some), -1)
            place = np.full(len(self._numbers), -1)
            place[some] = np.arange(len(some))
            hidden = forbidden[place[forbidden[:, 0]] >= 0]
            means = self._means[some]
            for left in range(0, len(self._numbers), _TILE_COLUMNS):
                right = min(left + _TILE_COLUMNS, len(self._numbers))
                tile = means @ self._means[left:right].T
                tile *= np.float32(-2)
                tile += self._squares[some, None]
                tile += self._squares[left:right]
                own = (some >= left) & (some < right)
                tile[np.nonzero(own)[0], some[own] - left] = _FAR
                inside = hidden[(hidden[:, 1] >= left) & (hidden[:, 1] < right)]
                tile[place[inside[:, 0]], inside[:, 1] - left] = _FAR
                column = tile.argmin(axis=1)
                value = tile[np.arange(len(some)), column]
                nearer = value < best
                best[nearer], nearest[nearer] = value[nearer], column[nearer] + left
            self._distance[some], self._nearest[some] = best, nearest

    def _forbidden(self) -> Pairs:
        """Pairs of positions that must not merge, in both directions."""
        if len(self._apart) == 0:
            return self._apart
        place = np.full(len(self._parent), -1)
        place[self._numbers] = np.arange(len(self._numbers))
        pairs = place[self._apart]
        return pairs[(pairs >= 0).all(axis=1)]

    def _merge_mutual(self) -> Labels:
        """Merge groups that are each other's nearest; return positions of those whose nearest is to be found anew."""
        here = np.arange(len(self._numbers))
        near = (self._distance < self._limit) & (self._nearest >= 0)
        mutual = near & (self._nearest[self._nearest] == here) & (here < self._nearest)
        first = here[mutual]
        if len(first) == 0:
            # The two directions of a distance can differ in the last bit, so that among equals nobody is mutual.
            first = np.array([np.argmin(self._distance)])
        second = self._nearest[first]
        share = (self._sizes[second] / (self._sizes[first] + self._sizes[second])).astype(np.float32)
        self._means[first] += (self._means[second] - self._means[first]) * share[:, None]
        self._squares[first] += (self._squares[second] - self._squares[first]) * share
        self._sizes[first] += self._sizes[second]
        self._parent[self._numbers[second]] = self._numbers[first]
        if len(self._apart):
            self._apart = self._roots()[self._apart]
        touched = np.zeros(len(here), bool)
        touched[first] = touched[second] = True
        stale = touched | (near & touched[self._nearest])
        # What has nothing near enough is final: no merger of others comes nearer to it.
        keep = near | stale
        keep[second] = False
        self._keep(keep)
        return np.nonzero(stale[keep])[0]

    def _keep(self, keep: NDArray[np.bool_]) -> None:
        place = np.cumsum(keep) - 1
        nearest = self._nearest[keep]
        valid = (nearest >= 0) & keep[nearest]
        self._nearest = np.where(valid, place[nearest], -1)
        self._distance = np.where(valid, self._distance[keep], _FAR)
        self._means, self._squares = self._means[keep], self._squares[keep]
        self._sizes, self._numbers = self._sizes[keep], self._numbers[keep]

    def _roots(self) -> Labels:
        """Group that each group is part of now."""
        roots = self._parent
        while True:
            above = roots[roots]
            if np.array_equal(above, roots):
                return roots
            roots = above


def nearest_groups(vectors: Vectors, groups: FaceGroups, metric: Metric) -> tuple[Labels, NDArray[np.float32]]:
    """Return for each vector its two nearest groups, and its average distances to their faces in the metric.

    Args:
        vectors: Shape (n, dim), as the model gives them.
        groups: At least one, of :func:`prepared` vectors.
        metric: How they are compared.

    Returns:
        Groups and distances, both of shape (n, 2), the nearest first. With a single group the second one is -1, at an
        infinite distance.
    """
    data = prepared(vectors, metric)
    own = np.einsum("ij,ij->i", data, data)
    group = np.full((len(data), 2), -1)
    distance = np.full((len(data), 2), _FAR)
    for first in range(0, len(data), _TILE_ROWS):
        rows = slice(first, first + _TILE_ROWS)
        for left in range(0, len(groups.sizes), _TILE_COLUMNS):
            part = slice(left, left + _TILE_COLUMNS)
            tile = own[rows, None] + groups.mean_squares[part] - 2 * (data[rows] @ groups.means[part].T)
            columns = np.argsort(tile, axis=1, kind="stable")[:, :2]
            found = np.concatenate([distance[rows], np.take_along_axis(tile, columns, axis=1)], axis=1)
            names = np.concatenate([group[rows], columns + left], axis=1)
            order = np.argsort(found, axis=1, kind="stable")[:, :2]
            distance[rows] = np.take_along_axis(found, order, axis=1)
            group[rows] = np.take_along_axis(names, order, axis=1)
    return group, unsquared(distance, metric)


def distances_to_means(vectors: Vectors, labels: Labels, metric: Metric) -> NDArray[np.float32]:
    """Return the distance of each vector to the mean vector of its group, in the metric.

    Args:
        vectors: Shape (n, dim), as the model gives them.
        labels: Group of each, from 0 without gaps.
        metric: How they are compared.
    """
    data = prepared(vectors, metric)
    means = groups_of(data, labels).means
    if metric == "cosine":
        means = prepared(means, metric)
    difference = data - means[labels]
    return unsquared(np.einsum("ij,ij->i", difference, difference), metric)


def _first_numbers(labels: Labels) -> Labels:
    """Number groups from 0 in the order of their first members."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
