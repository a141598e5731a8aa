import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score, pairwise_distances

from media_assets.models import face_clustering
from media_assets.models.face_clustering import (
    average_linkage,
    distances_to_means,
    groups_of,
    nearest_groups,
    prepared,
)


def faces(count: int, people: int, seed: int, *, dim: int = 16, noise: float = 1.0) -> NDArray[np.float32]:
    """Vectors around ``people`` directions, so that a cut through the middle of the noise is not trivial."""
    random = np.random.default_rng(seed)
    centers = random.normal(size=(people, dim))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    vectors = centers[random.integers(0, people, count)] + noise * random.normal(size=(count, dim)) / np.sqrt(dim)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def reference(distances: NDArray[np.float64], below: float) -> NDArray[np.int64]:
    """Average linkage as SciPy does it, with all distances at once."""
    upper = distances[np.triu_indices(len(distances), 1)]
    return np.asarray(fcluster(linkage(upper, "average"), below, "distance"))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("below", [0.3, 0.5, 0.7])
def test_it_is_exactly_average_linkage_of_cosine_distances(seed: int, below: float) -> None:
    vectors = faces(200, 12, seed)
    expected = reference(pairwise_distances(vectors, metric="cosine").astype(np.float64), below)
    assert 1 < expected.max() < 200
    # Lengths do not matter for cosine.
    scaled = vectors * np.random.default_rng(seed).uniform(0.5, 3, (200, 1)).astype(np.float32)
    assert adjusted_rand_score(average_linkage(scaled, "cosine", below), expected) == 1


def test_for_euclidean_distances_it_is_average_linkage_of_their_squares() -> None:
    vectors = faces(200, 12, 5) * np.random.default_rng(5).uniform(0.9, 1.1, (200, 1)).astype(np.float32)
    expected = reference(pairwise_distances(vectors, metric="sqeuclidean").astype(np.float64), 0.8**2)
    assert 1 < expected.max() < 200
    assert adjusted_rand_score(average_linkage(vectors, "euclidean", 0.8), expected) == 1


def test_small_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = faces(150, 10, 1)
    apart = np.array([[0, 1], [5, 9], [30, 149]])
    whole = average_linkage(vectors, "cosine", 0.6, apart=apart)
    monkeypatch.setattr(face_clustering, "_TILE_ROWS", 7)
    monkeypatch.setattr(face_clustering, "_TILE_COLUMNS", 11)
    assert np.array_equal(average_linkage(vectors, "cosine", 0.6, apart=apart), whole)
    groups = groups_of(prepared(vectors, "cosine"), whole)
    nearest, _ = nearest_groups(vectors, groups, "cosine")
    monkeypatch.undo()
    assert np.array_equal(nearest_groups(vectors, groups, "cosine")[0], nearest)


def test_the_order_of_the_faces_does_not_matter() -> None:
    vectors = faces(200, 12, 2)
    shuffled = np.random.default_rng(0).permutation(200)
    labels = average_linkage(vectors, "cosine", 0.5)
    assert adjusted_rand_score(average_linkage(vectors[shuffled], "cosine", 0.5), labels[shuffled]) == 1


def test_a_chain_of_near_pairs_is_not_one_person() -> None:
    """Each is near the next one, the ends are opposite: connected components would make one group of it."""
    angles = np.linspace(0, np.pi, 40)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert (1 - np.sum(vectors[1:] * vectors[:-1], axis=1) < 0.01).all()
    labels = average_linkage(vectors, "cosine", 0.2)
    assert 3 <= labels.max() + 1 <= 10


def test_groups_to_begin_with_are_never_taken_apart() -> None:
    vectors = faces(100, 10, 3)
    start = np.arange(100)
    start[[4, 50, 99]] = 4
    labels = average_linkage(vectors, "cosine", 0.4, start=start)
    assert labels[4] == labels[50] == labels[99]


def test_faces_that_are_kept_apart_never_meet_not_even_in_later_mergers() -> None:
    vectors = np.tile(faces(1, 1, 0), (6, 1))  # all the same face
    labels = average_linkage(vectors, "cosine", 0.5, apart=np.array([[0, 5], [1, 5]]))
    assert labels[0] != labels[5]
    assert labels[1] != labels[5]
    assert labels.max() == 1
    assert average_linkage(vectors, "cosine", 0.5).max() == 0


def test_nothing_and_one_face() -> None:
    assert average_linkage(np.empty((0, 8), np.float32), "cosine", 0.5).tolist() == []
    assert average_linkage(faces(1, 1, 0), "euclidean", 0.5).tolist() == [0]


def test_nearest_groups_are_those_of_least_average_distance() -> None:
    vectors, labels = faces(60, 5, 7), np.random.default_rng(7).integers(0, 5, 60)
    asked = faces(20, 5, 8)
    for metric, squares in (("cosine", "cosine"), ("euclidean", "sqeuclidean")):
        to_faces = pairwise_distances(asked, vectors, metric=squares)
        average = np.stack([to_faces[:, labels == group].mean(axis=1) for group in range(5)], axis=1)
        found, distance = nearest_groups(asked, groups_of(prepared(vectors, metric), labels), metric)  # type: ignore[arg-type]
        assert np.array_equal(found, np.argsort(average, axis=1)[:, :2])
        expected = np.sort(average, axis=1)[:, :2]
        assert np.allclose(distance, expected if metric == "cosine" else np.sqrt(expected), atol=1e-5)


def test_with_one_group_there_is_no_second_nearest() -> None:
    vectors = faces(4, 1, 0)
    found, distance = nearest_groups(vectors, groups_of(vectors, np.zeros(4, np.int64)), "cosine")
    assert found[:, 1].tolist() == [-1] * 4
    assert np.isinf(distance[:, 1]).all()


def test_distances_to_the_mean_are_in_the_metric() -> None:
    vectors = np.array([[2, 0], [0, 1], [0, -3]], np.float32)
    labels = np.array([0, 0, 1])
    assert distances_to_means(vectors, labels, "cosine") == pytest.approx(
        [1 - np.sqrt(0.5), 1 - np.sqrt(0.5), 0], abs=1e-6
    )
    assert distances_to_means(vectors, labels, "euclidean") == pytest.approx(
        [np.sqrt(1.25), np.sqrt(1.25), 0], abs=1e-6
    )
