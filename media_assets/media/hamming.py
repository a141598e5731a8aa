"""All pairs of 64-bit hashes that differ in few bits, exactly and without comparing all with all.

Pure arithmetic on arrays. Multi-index hashing (Norouzi, Punjani and Fleet 2012): the hash is cut into four bands of 16
bits. Two hashes that differ in ``limit`` bits at most differ in a quarter of them at most in one band at least, so only
those are compared whose band values are so near.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Positions = NDArray[np.int64]

MAX_LIMIT = 15
"""Greatest distance that is looked for: beyond, the bands would no longer rule much out."""

_BANDS, _BAND_BITS = 4, 16
_VALUES = 1 << _BAND_BITS
_COMPARED_AT_ONCE = 1 << 20
# Below, comparing all with all is quicker than going through the bands.
_FEW = 8_192
_ROWS = 256

_ODD_COLUMNS = 0x5555_5555_5555_5555
_BACKWARDS = bytes(int(f"{row:08b}"[::-1], 2) for row in range(256))


def distance(a: int, b: int) -> int:
    """Return in how many bits two hashes differ."""
    return (a ^ b).bit_count()


def mirrored_phash(phash: int) -> int:
    """Return the DCT hash of the mirrored picture, but for a few bits.

    Mirroring from left to right changes the sign of the odd horizontal frequencies, which are every second bit of
    ``media.perceptual_hash``. Bits of values near the median can differ: 4 in the median of photos, 10 at most.
    """
    return phash ^ _ODD_COLUMNS


def mirrored_dhash(dhash: int) -> int:
    """Return the difference hash of the mirrored picture: each row of 8 bits backwards and inverted."""
    rows = dhash.to_bytes(8, "big")
    return int.from_bytes(bytes(_BACKWARDS[row] ^ 0xFF for row in rows), "big")


def pairs_within(hashes: Hashes, limit: int) -> tuple[Positions, Positions, NDArray[np.uint8]]:
    """Find all pairs of hashes that differ in ``limit`` bits at most.

    Args:
        hashes: Shape (n,). Equal ones are compared as well: leave out duplicates when there may be many.
        limit: 0 to :data:`MAX_LIMIT`.

    Returns:
        Positions ``i < j`` of each pair, sorted, and its distance.
    """
    first, second, bits = _pairs(hashes, hashes, limit)
    once = first < second
    return first[once], second[once], bits[once]


def pairs_between(hashes: Hashes, others: Hashes, limit: int) -> tuple[Positions, Positions, NDArray[np.uint8]]:
    """Find all pairs of a hash and another one that differ in ``limit`` bits at most.

    Args:
        hashes: Shape (n,).
        others: Shape (m,).
        limit: 0 to :data:`MAX_LIMIT`.

    Returns:
        Positions in ``hashes`` and in ``others`` of each pair, sorted, and its distance.
    """
    return _pairs(hashes, others, limit)


def _pairs(hashes: Hashes, others: Hashes, limit: int) -> tuple[Positions, Positions, NDArray[np.uint8]]:
    if not 0 <= limit <= MAX_LIMIT:
        raise ValueError(f"limit is {limit}; expected 0 to {MAX_LIMIT}")
    find = _all_pairs if max(len(hashes), len(others)) <= _FEW else _banded_pairs
    none = np.empty(0, np.int64)
    found = np.unique(np.concatenate([none, *(i * len(others) + j for i, j in find(hashes, others, limit))]))
    first, second = np.divmod(found, max(1, len(others)))
    return first, second, np.bitwise_count(hashes[first] ^ others[second])


def _all_pairs(hashes: Hashes, others: Hashes, limit: int) -> Iterator[tuple[Positions, Positions]]:
    for top in range(0, len(hashes), _ROWS):
        i, j = np.nonzero(np.bitwise_count(hashes[top : top + _ROWS, None] ^ others) <= limit)
        later = i + top < j if hashes is others else np.full(len(i), True)
        yield i[later] + top, j[later]


def _banded_pairs(hashes: Hashes, others: Hashes, limit: int) -> Iterator[tuple[Positions, Positions]]:
    radius = limit // _BANDS
    flips = [
        sum(1 << bit for bit in bits) for size in range(radius + 1) for bits in combinations(range(_BAND_BITS), size)
    ]
    for band in range(_BANDS):
        values, buckets = _band(hashes, band), _band(others, band)
        order = np.argsort(buckets, kind="stable")
        starts = np.searchsorted(buckets[order], np.arange(_VALUES + 1))
        sizes = np.diff(starts)
        for flip in flips:
            partner = values ^ flip
            # Among the same hashes each pair of buckets is met from both sides: one is enough.
            rows = np.nonzero(values < partner)[0] if hashes is others and flip else np.arange(len(hashes))
            rows = rows[sizes[partner[rows]] > 0]
            for left, right in _opened(rows, order, starts[partner[rows]], sizes[partner[rows]]):
                near = np.bitwise_count(hashes[left] ^ others[right]) <= limit
                i, j = left[near], right[near]
                yield (np.minimum(i, j), np.maximum(i, j)) if hashes is others else (i, j)


def _band(hashes: Hashes, band: int) -> Positions:
    return ((hashes >> np.uint64(band * _BAND_BITS)) & np.uint64(_VALUES - 1)).astype(np.int64)


def _opened(
    rows: Positions, order: Positions, starts: Positions, sizes: Positions
) -> Iterator[tuple[Positions, Positions]]:
    """Yield each of ``rows`` with each of the ``sizes`` positions of its bucket, from ``starts`` of ``order`` on."""
    ends = np.cumsum(sizes)
    first = 0
    while first < len(rows):
        done = ends[first] - sizes[first]
        last = max(first + 1, int(np.searchsorted(ends, done + _COMPARED_AT_ONCE, side="right")))
        part = slice(first, last)
        left = np.repeat(rows[part], sizes[part])
        within = np.arange(len(left)) - np.repeat(ends[part] - sizes[part] - done, sizes[part])
        yield left, order[np.repeat(starts[part], sizes[part]) + within]
        first = last
