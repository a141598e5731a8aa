"""How many of the true neighbours the approximate index finds, and what it costs: ``make bench-search``.

Without a library: clustered synthetic vectors in a temporary one, written, compacted and indexed by the code that
searches use. With ``--library``: the vectors that are there. The truth is the comparison of all float32 vectors.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from media_assets.storage import keys
from media_assets.storage.catalog import compact
from media_assets.storage.objects import ObjectStore, open_store
from media_assets.storage.query import run_query
from media_assets.storage.schemas import TABLES
from media_assets.storage.vector_index import VectorIndex
from media_assets_tests.bench.machine import describe_machine

GOAL = 0.95
NEIGHBOURS = 10
_MODEL = "synthetic@1"
_PER_MONTH = 10_000
_FACTORS = 64  # directions in which a cluster spreads, as the features of real pictures do


@click.command()
@click.option("--vectors", type=click.IntRange(1000), default=100_000, show_default=True)
@click.option("--dim", type=click.IntRange(8), default=1280, show_default=True)
@click.option("--clusters", type=click.IntRange(1), default=2000, show_default=True)
@click.option("--queries", "query_count", type=click.IntRange(1), default=200, show_default=True)
@click.option("--library", help="Folder or URL of a library; its vectors instead of synthetic ones.")
@click.option("--model", help="Model of the library's vectors, with revision.  [default: the one with the most]")
def main(vectors: int, dim: int, clusters: int, query_count: int, library: str | None, model: str | None) -> None:
    """Compare the approximate index with the comparison of all vectors."""
    click.echo(describe_machine(("numpy", "usearch")))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if library is not None:
            store = open_store(library)
            chosen = model or _most_frequent(store, folder)
            _measure(store, chosen, folder, query_count)
            return
        rng = np.random.default_rng(7)
        store = open_store(str(folder / "library"))
        queries = _write(store, rng, vectors, dim, clusters, query_count)
        click.echo(f"{vectors} synthetic vectors of {dim} numbers in {clusters} clusters; queries are not among them.")
        recall = _measure(store, _MODEL, folder, query_count, queries)
    if recall < GOAL:
        raise click.ClickException(f"recall@{NEIGHBOURS} is below {GOAL}. Raise EXPANSION_SEARCH or CONNECTIVITY.")


def _most_frequent(store: ObjectStore, folder: Path) -> str:
    rows = run_query(store, "SELECT model FROM embeddings GROUP BY model ORDER BY count(*) DESC LIMIT 1", folder)
    if not rows.num_rows:
        raise click.ClickException("The library has no vectors. Run: media-assets reprocess --asset embeddings --stale")
    return str(rows["model"][0].as_py())


def _measure(
    store: ObjectStore, model: str, folder: Path, query_count: int, queries: NDArray[np.float32] | None = None
) -> float:
    """Print what was measured and return the recall."""
    index, opened_s = _timed(lambda: VectorIndex(store, model, folder / "index"))
    if queries is None:
        every = max(1, len(index) // query_count)
        names = dict.fromkeys(index.media_ids[::every][:query_count])
        queries = np.concatenate([index.vectors_of(name)[:1] for name in names])
        click.echo(f"{len(index)} vectors of {index.dim} numbers of {model}; queries are among them.")
    again, reopened_s = _timed(lambda: VectorIndex(store, model, folder / "index"))
    exact = [_timed(lambda query=query: again.scores(query[None])) for query in queries]
    _, built_s = _timed(lambda: again.nearest(queries[:1], NEIGHBOURS))
    approximate = [_timed(lambda query=query: again.nearest(query[None], NEIGHBOURS)) for query in queries]
    fresh = VectorIndex(store, model, folder / "index")
    _, mapped_s = _timed(lambda: fresh.nearest(queries[:1], NEIGHBOURS))
    shares = []
    for (scores, _), ((positions, _), _) in zip(exact, approximate, strict=True):
        truth = np.argsort(-scores, kind="stable")[:NEIGHBOURS]
        shares.append(len(set(truth.tolist()) & set(positions[:NEIGHBOURS].tolist())) / len(truth))
    recall = statistics.mean(shares)
    graphs = sum(path.stat().st_size for path in (folder / "index").rglob("*.usearch"))
    vectors = sum(path.stat().st_size for path in (folder / "index").rglob("*.f32"))
    click.echo(f"segments made in {opened_s:.1f} s, opened again in {reopened_s:.2f} s, {vectors / 2**20:.0f} MiB")
    click.echo(f"graph built in {built_s:.1f} s, checked and mapped in {mapped_s:.2f} s, {graphs / 2**20:.0f} MiB")
    for name, times in (("exact", [s for _, s in exact[1:]]), ("approximate", [s for _, s in approximate])):
        click.echo(
            f"{name}: median {1000 * statistics.median(times):.1f} ms a query, slowest {1000 * max(times):.1f} ms"
        )
    click.echo(f"recall@{NEIGHBOURS}: {recall:.4f} over {len(shares)} queries, least {min(shares):.1f}")
    return recall


def _timed(call: Callable[[], object]) -> tuple[object, float]:
    started = time.perf_counter()
    value = call()
    return value, time.perf_counter() - started


def _write(
    store: ObjectStore, rng: np.random.Generator, count: int, dim: int, clusters: int, query_count: int
) -> NDArray[np.float32]:
    """Fill the table, month by month, and return vectors of the same clusters that are not in it."""
    centres = rng.standard_normal((clusters, dim), np.float32)
    factors = rng.standard_normal((_FACTORS, dim), np.float32) / np.float32(np.sqrt(_FACTORS))

    def sample(number: int) -> NDArray[np.float32]:
        spread = rng.standard_normal((number, _FACTORS), np.float32) @ factors
        noise = rng.standard_normal((number, dim), np.float32) * np.float32(0.3)
        vectors = centres[rng.integers(0, clusters, number)] + spread + noise
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    for number, start in enumerate(range(0, count, _PER_MONTH)):
        month = f"{2000 + number // 12:04d}-{number % 12 + 1:02d}"
        part = _part(sample(min(_PER_MONTH, count - start)), start)
        sink = BytesIO()
        pq.write_table(part, sink, compression="zstd")
        store.put_bytes(keys.part_key("embeddings", month, "bench", 0), sink.getvalue())
    compact(store, ["embeddings"])
    return sample(query_count)


def _part(vectors: NDArray[np.float32], first: int) -> pa.Table:
    rows, dim = vectors.shape
    lists = pa.ListArray.from_arrays(np.arange(0, rows * dim + 1, dim, dtype=np.int32), pa.array(vectors.reshape(-1)))
    constants = {"owner": "bench", "input_version": "0" * 64, "code_version": "1", "model": _MODEL, "run_id": "bench"}
    columns: dict[str, object] = {name: pa.array([value] * rows) for name, value in constants.items()}
    columns |= {
        "media_id": pa.array([f"synthetic-{first + row:012x}" for row in range(rows)]),
        "computed_at": pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * rows, pa.timestamp("us", tz="UTC")),
        "frame_s": pa.nulls(rows, pa.float64()),
        "dim": pa.array([dim] * rows, pa.int64()),
        "vector": lists,
    }
    schema = TABLES["embeddings"].schema
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


if __name__ == "__main__":
    main()
