"""Search by look: the files whose vectors are nearest to given ones. A video counts by its best frame."""

import math
from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from media_assets.pipeline.search.records import Ranked, Reason, VectorsUsed
from media_assets.storage.vector_index import EXACT_UP_TO, VectorIndex

_PER_HIT = 4  # vectors that are asked for each wanted file, because videos have many
_GROWTH = 4


def rank_by_vectors(
    index: VectorIndex,
    queries: NDArray[np.float32],
    *,
    limit: int,
    allowed: set[str] | None = None,
    without: str | None = None,
    how: Literal["exact", "approximate"] | None = None,
) -> tuple[list[Ranked], VectorsUsed]:
    """Return the files nearest to any of the queries, nearest first; the score is the cosine.

    Args:
        index: The vectors, at least one.
        queries: Shape (queries, dim), of length 1.
        limit: Files at most.
        allowed: The only files that count; ``None``: all.
        without: A file that does not count.
        how: ``None``: approximate when more than :data:`EXACT_UP_TO` vectors would have to be compared.
    """
    mine = None if allowed is None else _positions(index, allowed)
    compared = len(index) if mine is None else len(mine)
    used: Literal["exact", "approximate"] = how or ("approximate" if compared > EXACT_UP_TO else "exact")
    if mine is not None and not len(mine):
        ranked: list[Ranked] = []
    elif used == "exact":
        ranked = _exact(index, queries, mine, limit, without)
    else:
        ranked = _approximate(index, queries, allowed, limit, without)
    return ranked, VectorsUsed(index.model, len(index), used)


def _positions(index: VectorIndex, allowed: set[str]) -> NDArray[np.int64]:
    return np.flatnonzero(np.fromiter((one in allowed for one in index.media_ids), bool, len(index)))


def _exact(
    index: VectorIndex, queries: NDArray[np.float32], mine: NDArray[np.int64] | None, limit: int, without: str | None
) -> list[Ranked]:
    if mine is None or 2 * len(mine) > len(index):
        scores = index.scores(queries)
        positions = np.arange(len(index)) if mine is None else mine
        scores = scores[positions]
    else:
        positions, scores = mine, index.scores_at(mine, queries)
    order = np.argsort(-scores, kind="stable")
    return _best(index, zip(positions[order].tolist(), scores[order].tolist(), strict=True), None, limit, without)


def _approximate(
    index: VectorIndex, queries: NDArray[np.float32], allowed: set[str] | None, limit: int, without: str | None
) -> list[Ranked]:
    """Ask for more and more vectors until there are enough files among them."""
    count = _PER_HIT * (limit + 1)
    while True:
        positions, scores = index.nearest(queries, count)
        ranked = _best(index, zip(positions.tolist(), scores.tolist(), strict=True), allowed, limit, without)
        if len(ranked) >= limit or count >= len(index):
            return ranked
        count *= _GROWTH


def _best(
    index: VectorIndex,
    nearest: Iterable[tuple[int, float]],
    allowed: set[str] | None,
    limit: int,
    without: str | None,
) -> list[Ranked]:
    """Return the first ``limit`` files of vectors that come nearest first."""
    found: dict[str, Ranked] = {}
    for position, score in nearest:
        media_id = index.media_ids[position]
        if media_id in found or media_id == without or (allowed is not None and media_id not in allowed):
            continue
        frame_s = float(index.frames_s[position])
        reason = Reason("embedding", f"cosine {score:.3f}", score, None if math.isnan(frame_s) else frame_s)
        found[media_id] = Ranked(media_id, score, (reason,))
        if len(found) == limit:
            break
    return list(found.values())
