import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from media_assets.storage import vector_graph, vector_segments
from media_assets.storage.catalog import compact
from media_assets.storage.errors import CatalogError
from media_assets.storage.objects import ObjectStore, open_store
from media_assets.storage.tables import PartWriter
from media_assets.storage.vector_index import VectorIndex
from media_assets_tests.unit.storage.table_rows import at

Vector: TypeAlias = NDArray[np.float32]
Write: TypeAlias = Callable[..., None]

MODEL = "net@1"
DIM = 16


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path / "library") if request.param == "local" else "memory://")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def write(store: ObjectStore) -> Write:
    """Write vectors by media id; later calls are later computations."""
    runs = iter(range(1000))

    def put(vectors: Mapping[str, object], *, month: str = "2024-05", model: str = MODEL) -> None:
        number = next(runs)
        rows = []
        for media_id, value in vectors.items():
            frames = value.items() if isinstance(value, dict) else [(None, value)]
            for frame_s, vector in frames:
                numbers = np.asarray(vector, np.float32).tolist()
                rows.append(
                    {
                        "media_id": media_id,
                        "owner": "o",
                        "input_version": "0",
                        "code_version": "1",
                        "computed_at": at(number),
                        "model": model,
                        "frame_s": frame_s,
                        "dim": len(numbers),
                        "vector": numbers,
                    }
                )
        PartWriter(store, f"run-{number}").append("embeddings", month, rows)
        compact(store, ["embeddings"])

    return put


def random_unit(rng: np.random.Generator, count: int) -> Vector:
    vectors = rng.standard_normal((count, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def named(vectors: Vector, first: int = 0) -> dict[str, Vector]:
    return {f"m-{first + number:04d}": vector for number, vector in enumerate(vectors)}


def nearest_name(index: VectorIndex, query: Vector) -> tuple[str, float]:
    positions, scores = index.nearest(query[None], 3)
    return index.media_ids[int(positions[0])], float(scores[0])


def one_file(folder: Path, pattern: str) -> Path:
    (path,) = folder.rglob(pattern)
    return path


# ---------------------------------------------------------------- all vectors


def test_scores_are_cosines_in_the_order_of_the_rows(store: ObjectStore, write: Write, folder: Path) -> None:
    write({"b-1": [3, 4, 0], "v-1": {1.5: [0, 0, 2], 0.5: [1, 0, 0]}})
    write({"a-1": [0, 1, 0]}, month="2024-06")
    index = VectorIndex(store, MODEL, folder)
    assert (len(index), index.dim) == (4, 3)
    expected = {("b-1", None): 0.6, ("v-1", 0.5): 1.0, ("v-1", 1.5): 0.0, ("a-1", None): 0.0}
    scores = index.scores(np.asarray([[1, 0, 0]], np.float32))
    got = {
        (media_id, None if math.isnan(frame) else frame): pytest.approx(float(score), abs=1e-6)
        for media_id, frame, score in zip(index.media_ids, index.frames_s, scores, strict=True)
    }
    assert got == expected


def test_of_several_queries_the_nearest_counts(store: ObjectStore, write: Write, folder: Path) -> None:
    write({"a-1": [1, 0], "b-1": [0, 1]})
    index = VectorIndex(store, MODEL, folder)
    assert index.scores(np.eye(2, dtype=np.float32)).tolist() == [1, 1]
    assert index.scores_at(np.asarray([1]), np.asarray([[0.6, 0.8]], np.float32)) == pytest.approx([0.8])


def test_vectors_of_other_models_and_useless_ones_are_left_out(store: ObjectStore, write: Write, folder: Path) -> None:
    write({"a-1": [1, 0], "zero-1": [0, 0], "nan-1": [float("nan"), 1]})
    write({"other-1": [1, 0, 0]}, model="net@2")
    index = VectorIndex(store, MODEL, folder)
    assert index.media_ids == ["a-1"]
    assert index.vectors_of("a-1").tolist() == [[1, 0]]
    assert index.vectors_of("zero-1").shape == (0, 2)
    assert VectorIndex(store, "net@2", folder).media_ids == ["other-1"]


def test_no_vectors_at_all(store: ObjectStore, folder: Path) -> None:
    index = VectorIndex(store, MODEL, folder)
    assert (len(index), index.dim, index.media_ids) == (0, 0, [])
    assert index.scores(np.empty((1, 0), np.float32)).shape == (0,)


def test_vectors_of_two_lengths_are_an_error(store: ObjectStore, write: Write, folder: Path) -> None:
    write({"a-1": [1, 0]})
    write({"b-1": [1, 0, 0]}, month="2024-06")
    with pytest.raises(CatalogError, match="reprocess --asset embeddings"):
        VectorIndex(store, MODEL, folder)


def test_only_months_that_changed_are_read_again(
    store: ObjectStore, write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write({"a-1": [1, 0]})
    write({"b-1": [0, 1]}, month="2024-06")
    VectorIndex(store, MODEL, folder)
    write({"b-1": [0.6, 0.8], "c-1": [1, 0]}, month="2024-06")
    made: list[str] = []
    make = vector_segments._make
    monkeypatch.setattr(vector_segments, "_make", lambda *args: (made.append(args[2]), make(*args)))
    index = VectorIndex(store, MODEL, folder)
    assert [key.split("/")[2] for key in made] == ["month=2024-06"]
    assert sorted(index.media_ids) == ["a-1", "b-1", "c-1"]
    assert index.vectors_of("b-1") == pytest.approx(np.asarray([[0.6, 0.8]]))
    assert len(list(folder.rglob("*.f32"))) == 2  # what was replaced is gone


@pytest.mark.parametrize("store", ["local"], indirect=True)
@pytest.mark.parametrize("ending", ["f32", "rows", "json"])
@pytest.mark.parametrize("how", ["flipped", "cut", "gone", "empty"])
def test_damaged_segments_are_made_again(store: ObjectStore, write: Write, folder: Path, ending: str, how: str) -> None:
    vectors = random_unit(np.random.default_rng(1), 20)
    write(named(vectors))
    expected = VectorIndex(store, MODEL, folder).scores(vectors[:1])
    path = one_file(folder, f"*.{ending}")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.unlink()
    if how != "gone":
        path.write_bytes({"flipped": bytes(content), "cut": bytes(content[:-5]), "empty": b""}[how])
    assert VectorIndex(store, MODEL, folder).scores(vectors[:1]).tolist() == expected.tolist()


def test_one_damaged_vector_is_noticed_without_reading_all(store: ObjectStore, write: Write, folder: Path) -> None:
    vectors = random_unit(np.random.default_rng(1), 20)
    write(named(vectors))
    VectorIndex(store, MODEL, folder)
    path = one_file(folder, "*.f32")
    content = bytearray(path.read_bytes())
    content[DIM * 4 * 7 + 2] ^= 0x40  # of the eighth vector
    path.write_bytes(content)
    told: list[str] = []
    index = VectorIndex(store, MODEL, folder, told.append)
    assert index.vectors_of("m-0003") == pytest.approx(vectors[3:4])
    assert told == []
    assert index.vectors_of("m-0007") == pytest.approx(vectors[7:8])
    assert len(told) == 1


def test_a_folder_that_cannot_be_written_is_named(store: ObjectStore, write: Write, folder: Path) -> None:
    write({"a-1": [1, 0]})
    folder.write_text("a file")
    with pytest.raises(CatalogError, match="MEDIA_ASSETS_STATE"):
        VectorIndex(store, MODEL, folder)


# ---------------------------------------------------------------- through the graph


def test_the_graph_finds_what_the_comparison_of_all_finds(store: ObjectStore, write: Write, folder: Path) -> None:
    rng = np.random.default_rng(2)
    vectors = random_unit(rng, 600)
    write(named(vectors[:400]))
    write(named(vectors[400:], 400), month="2024-06")
    index = VectorIndex(store, MODEL, folder)
    found = 0
    for query in random_unit(rng, 20):
        positions, scores = index.nearest(query[None], 10)
        exact = index.scores(query[None])
        assert scores == pytest.approx(exact[positions], abs=1e-6)  # float32, not what the graph keeps
        assert (np.diff(scores) <= 0).all()
        found += len(set(np.argsort(-exact)[:10].tolist()) & set(positions[:10].tolist()))
    assert found >= 195


def test_the_graph_follows_the_catalog(
    store: ObjectStore, write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = random_unit(np.random.default_rng(3), 203)
    write(named(vectors[:200]))
    first = VectorIndex(store, MODEL, folder)
    assert nearest_name(first, vectors[5]) == ("m-0005", pytest.approx(1, abs=1e-5))
    write({"m-0005": vectors[200], "new-1": vectors[201]})
    PartWriter(store, "run-x").remove("embeddings", "2024-05", ["m-0006"], at(500))
    compact(store, ["embeddings"])

    added: list[int] = []
    add = vector_graph.VectorGraph.add
    monkeypatch.setattr(
        vector_graph.VectorGraph,
        "add",
        lambda self, blocks: add(self, (added.append(len(keys)) or (keys, block) for keys, block in blocks)),
    )
    second = VectorIndex(store, MODEL, folder)
    assert nearest_name(second, vectors[201])[0] == "new-1"
    assert nearest_name(second, vectors[200])[0] == "m-0005"
    assert nearest_name(second, vectors[5])[0] != "m-0005"
    assert nearest_name(second, vectors[6])[0] != "m-0006"
    assert sum(added) == 2  # not all over again
    assert len(list(folder.rglob("*.usearch"))) == 1


def test_a_graph_of_many_holes_is_made_anew(store: ObjectStore, write: Write, folder: Path) -> None:
    vectors = random_unit(np.random.default_rng(4), 200)
    write(named(vectors[:100]))
    nearest_name(VectorIndex(store, MODEL, folder), vectors[0])
    write(named(vectors[100:]))
    index = VectorIndex(store, MODEL, folder)
    assert nearest_name(index, vectors[150])[0] == "m-0050"
    assert not vector_graph.VectorGraph.open(one_file(folder, "graph.json").parent).is_worn


@pytest.mark.parametrize("store", ["local"], indirect=True)
@pytest.mark.parametrize("how", ["flipped", "cut", "gone", "json", "of another version"])
def test_a_graph_that_cannot_be_trusted_is_made_again(
    store: ObjectStore, write: Write, folder: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = random_unit(np.random.default_rng(5), 100)
    write(named(vectors))
    nearest_name(VectorIndex(store, MODEL, folder), vectors[0])
    path = one_file(folder, "*.usearch")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if how == "gone":
        path.unlink()
    elif how == "json":
        one_file(folder, "graph.json").write_text('{"format": 1')
    elif how == "of another version":
        monkeypatch.setattr(vector_graph, "CONNECTIVITY", 8)
    else:
        path.write_bytes(content if how == "flipped" else content[:-100])
    told: list[str] = []
    assert nearest_name(VectorIndex(store, MODEL, folder, told.append), vectors[42])[0] == "m-0042"
    assert "100 vectors" in " ".join(told)
    told.clear()
    assert nearest_name(VectorIndex(store, MODEL, folder, told.append), vectors[42])[0] == "m-0042"
    assert told == []


def test_two_libraries_share_no_index(write: Write, store: ObjectStore, folder: Path, tmp_path: Path) -> None:
    write({"a-1": [1, 0]})
    VectorIndex(store, MODEL, folder)
    empty = open_store(str(tmp_path / "another"))
    assert len(VectorIndex(empty, MODEL, folder)) == 0
