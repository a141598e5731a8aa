import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from media_assets.media import hamming
from media_assets.media.hamming import (
    MAX_LIMIT,
    distance,
    mirrored_dhash,
    mirrored_phash,
    pairs_between,
    pairs_within,
)
from media_assets.media.perceptual_hash import dhash, phash

HASHES = st.lists(st.integers(0, 2**64 - 1), max_size=6)


def compared(hashes: NDArray[np.uint64], limit: int) -> list[tuple[int, int, int]]:
    """All pairs, one at a time."""
    values = [int(one) for one in hashes]
    return [
        (i, j, bits)
        for i in range(len(values))
        for j in range(i + 1, len(values))
        if (bits := (values[i] ^ values[j]).bit_count()) <= limit
    ]


def planted(count: int, seed: int) -> NDArray[np.uint64]:
    """Random hashes, and copies of some with 0 to 17 bits flipped."""
    random = np.random.default_rng(seed)
    hashes = random.integers(0, 2**64, count, dtype=np.uint64)
    for copy in range(count // 2, count):
        flipped = random.choice(64, copy % 18, replace=False)
        hashes[copy] = hashes[copy - count // 2] ^ np.uint64(sum(1 << int(bit) for bit in flipped))
    return hashes


@pytest.mark.parametrize("limit", [0, 3, 4, 8, 12, 14, MAX_LIMIT])
def test_the_bands_find_exactly_the_pairs_that_comparing_all_finds(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = planted(400, limit)
    expected = compared(hashes, limit)
    assert expected
    for few in (10_000, 0):
        monkeypatch.setattr(hamming, "_FEW", few)
        monkeypatch.setattr(hamming, "_COMPARED_AT_ONCE", 50)
        found = pairs_within(hashes, limit)
        assert list(zip(*(column.tolist() for column in found), strict=True)) == expected


@given(HASHES, st.integers(0, MAX_LIMIT))
@settings(max_examples=50, deadline=None)
def test_few_hashes(values: list[int], limit: int) -> None:
    hashes = np.array(values + values[:2], np.uint64)  # with equal ones
    found = pairs_within(hashes, limit)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == compared(hashes, limit)


@pytest.mark.parametrize("limit", [-1, MAX_LIMIT + 1])
def test_limits_that_the_bands_cannot_keep_are_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        pairs_within(np.zeros(2, np.uint64), limit)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_distance_counts_bits(a: int, b: int) -> None:
    assert distance(a, b) == distance(b, a) == bin(a ^ b).count("1")
    assert distance(a, a) == 0


@pytest.mark.parametrize("limit", [0, 7, 10, MAX_LIMIT])
def test_pairs_between_two_sets(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = planted(200, limit)
    others = hashes[::-1].copy()
    expected = [
        (i, j, bits)
        for i, one in enumerate(hashes.tolist())
        for j, other in enumerate(others.tolist())
        if (bits := (one ^ other).bit_count()) <= limit
    ]
    assert len(expected) >= 200
    for few in (10_000, 0):
        monkeypatch.setattr(hamming, "_FEW", few)
        found = pairs_between(hashes, others, limit)
        assert list(zip(*(column.tolist() for column in found), strict=True)) == expected


def test_hashes_of_mirror_images_follow_from_those_of_the_picture() -> None:
    from skimage import data

    for name in ("astronaut", "coffee", "chelsea", "rocket"):
        picture = Image.fromarray(getattr(data, name)()).convert("L")
        mirror = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        assert distance(mirrored_phash(phash(picture)), phash(mirror)) <= 10
        assert distance(mirrored_dhash(dhash(picture)), dhash(mirror)) <= 4
        assert distance(phash(picture), phash(mirror)) > 20


@given(st.integers(0, 2**64 - 1))
def test_mirroring_twice_changes_nothing(hash_: int) -> None:
    assert mirrored_phash(mirrored_phash(hash_)) == hash_
    assert mirrored_dhash(mirrored_dhash(hash_)) == hash_
