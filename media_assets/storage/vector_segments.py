"""Vectors of one model as flat files, one segment for each current file of table ``embeddings``.

Parquet cannot be mapped into memory; these files can. They are derived: a current file of the catalog never changes and
its key is never used again, so a segment is either the copy of exactly that file or made again. Which rows are near to
each other is the business of ``vector_index``.
"""

import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from media_assets.storage.errors import CatalogError, ObjectMissing
from media_assets.storage.objects import ObjectStore

TABLE = "embeddings"
KEY_BYTES = 8
_FORMAT = 1
_BATCH_ROWS = 1024
_CHUNK_BYTES = 2**22
_READ = ("media_id", "frame_s", "model", "vector")
_ROWS_SCHEMA = pa.schema(
    (pa.field("media_id", pa.string()), pa.field("frame_s", pa.float64()), pa.field("key", pa.uint64()))
)


class DamagedSegmentError(Exception):
    """The bytes of a segment are not those that were written."""


class _Facts(BaseModel):
    """Content of the JSON file of a segment, written last."""

    format: int = _FORMAT
    model: str
    source: str
    dim: int
    rows: int
    vectors_sha256: str
    rows_sha256: str


@dataclass(frozen=True)
class Segment:
    """The vectors of one model in one current file.

    Attributes:
        name: Its name; another source or model has another one.
        media_ids: Media file of each vector.
        frames_s: Time of the frame in the video in seconds; NaN: a picture.
        keys: 64 bits that identify media file, frame and vector, see :func:`vector_key`.
        vectors: Shape (rows, dim), float32, mapped from the file, of length 1.
        path: File of the vectors.
        sha256: What the SHA-256 of that file must be.
    """

    name: str
    media_ids: "pa.ChunkedArray[pa.StringScalar]"
    frames_s: NDArray[np.float64]
    keys: NDArray[np.uint64]
    vectors: NDArray[np.float32]
    path: Path
    sha256: str

    def check(self) -> None:
        """Read all vectors and compare their checksum.

        Raises:
            DamagedSegmentError: They are not what was written.
        """
        if len(self.keys) and _sha256(self.path) != self.sha256:
            raise DamagedSegmentError(f"{self.path} is damaged.")

    def check_rows(self, rows: Sequence[int]) -> None:
        """Compare the key of some rows with their content.

        Raises:
            DamagedSegmentError: One is not what was written.
        """
        for row in rows:
            key = vector_key(self.media_ids[row].as_py(), float(self.frames_s[row]), self.vectors[row])
            if key != self.keys[row]:
                raise DamagedSegmentError(f"{self.path} is damaged.")


def vector_key(media_id: str, frame_s: float, vector: NDArray[np.float32]) -> int:
    """Return 64 bits of a BLAKE2b over media file, frame (NaN: a picture) and vector."""
    digest = hashlib.blake2b(f"{media_id}\n{frame_s!r}\n".encode(), digest_size=KEY_BYTES)
    digest.update(np.ascontiguousarray(vector, np.float32).tobytes())
    return int.from_bytes(digest.digest(), "little")


def segment_name(model: str, source: str) -> str:
    """Name of the segment of a model and a current file."""
    return hashlib.sha256(f"{model}\n{source}".encode()).hexdigest()[:24]


def open_segment(store: ObjectStore, model: str, source: str, folder: Path, *, is_new: bool = False) -> Segment:
    """Return a segment; one that is missing or damaged is made.

    Args:
        store: The library.
        model: Model with revision, as column ``model`` has it.
        source: Key of a current file of the table.
        folder: Folder of the segments of this model; created on demand.
        is_new: Make it even if there is one.

    Raises:
        CatalogError: The file cannot be read, its vectors differ in length, or the folder cannot be written.
        ObjectMissing: The file is gone: a compaction has replaced it.
        StorageError: The store could not be read.
    """
    name = segment_name(model, source)
    if not is_new:
        with suppress(DamagedSegmentError):
            return _read(folder, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _make(store, model, source, folder, name)
        return _read(folder, name)
    except DamagedSegmentError as error:
        raise CatalogError(f"{error} It was only just written: check the disk, then search again.") from error
    except OSError as error:
        raise CatalogError(
            f"The search index in {folder} cannot be written ({error.strerror or error}). Free space, or name another "
            "folder with MEDIA_ASSETS_STATE."
        ) from error


def _read(folder: Path, name: str) -> Segment:
    """Map a segment. Its vectors are not read here: see :meth:`Segment.check`."""
    try:
        facts = _Facts.model_validate_json((folder / f"{name}.json").read_bytes())
        content = (folder / f"{name}.rows").read_bytes()
        path = folder / f"{name}.f32"
        is_whole = path.stat().st_size == facts.rows * facts.dim * 4
    except (OSError, ValidationError) as error:
        raise DamagedSegmentError(f"{folder / name} is incomplete.") from error
    if not is_whole or facts.format != _FORMAT or hashlib.sha256(content).hexdigest() != facts.rows_sha256:
        raise DamagedSegmentError(f"{folder / name} is damaged.")
    rows = pq.read_table(pa.BufferReader(content))
    shape = (facts.rows, facts.dim)
    vectors = np.memmap(path, np.dtype("<f4"), "r", shape=shape) if facts.rows else np.empty(shape, np.float32)
    return Segment(
        name=name,
        media_ids=rows["media_id"],
        frames_s=rows["frame_s"].to_numpy(),
        keys=rows["key"].to_numpy(),
        vectors=vectors,
        path=path,
        sha256=facts.vectors_sha256,
    )


def _make(store: ObjectStore, model: str, source: str, folder: Path, name: str) -> None:
    unfinished = {ending: folder / f".{name}.{secrets.token_hex(4)}.{ending}" for ending in ("f32", "rows", "json")}
    try:
        rows: list[pa.RecordBatch] = []
        dim = 0
        with unfinished["f32"].open("wb") as file:
            for media_ids, frames_s, vectors in _batches(store, source, model):
                if dim not in (0, vectors.shape[1]):
                    raise CatalogError(
                        f"Vectors of model {model} have {dim} and {vectors.shape[1]} numbers. Compute them again: "
                        "media-assets reprocess --asset embeddings --all"
                    )
                dim = vectors.shape[1]
                vectors.tofile(file)
                keys = [
                    vector_key(media_id, float(frame), vector)
                    for media_id, frame, vector in zip(media_ids, frames_s, vectors, strict=True)
                ]
                columns = [pa.array(media_ids, pa.string()), pa.array(frames_s), pa.array(keys, pa.uint64())]
                rows.append(pa.record_batch(columns, schema=_ROWS_SCHEMA))
        table = pa.Table.from_batches(rows, schema=_ROWS_SCHEMA)
        pq.write_table(table, unfinished["rows"])
        facts = _Facts(
            model=model,
            source=source,
            dim=dim,
            rows=table.num_rows,
            vectors_sha256=_sha256(unfinished["f32"]),
            rows_sha256=_sha256(unfinished["rows"]),
        )
        unfinished["json"].write_text(json.dumps(facts.model_dump()), encoding="utf-8")
        for ending, path in unfinished.items():
            path.replace(folder / f"{name}.{ending}")
    finally:
        for path in unfinished.values():
            path.unlink(missing_ok=True)


def _batches(
    store: ObjectStore, source: str, model: str
) -> Iterator[tuple[list[str], NDArray[np.float64], NDArray[np.float32]]]:
    """Yield media ids, frames and vectors of length 1; rows without a usable vector are left out."""
    local = store.local_path(source)
    try:
        with pq.ParquetFile(local if local is not None else pa.BufferReader(store.get_bytes(source))) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(_READ)):
                mine = batch.filter(pc.equal(batch["model"], pa.scalar(model)))
                if mine.num_rows:
                    yield from _usable(mine, model)
    except FileNotFoundError as error:
        raise ObjectMissing(
            f"{source} does not exist. Materialize the asset `catalog` and try again.", source
        ) from error
    except pa.ArrowException as error:
        raise CatalogError(f"{source} cannot be read ({error}). Materialize the asset `catalog`.") from error


def _usable(batch: pa.RecordBatch, model: str) -> Iterator[tuple[list[str], NDArray[np.float64], NDArray[np.float32]]]:
    lengths = set(pc.list_value_length(batch["vector"]).to_pylist())
    if len(lengths) != 1:
        raise CatalogError(
            f"Vectors of model {model} differ in length. Compute them again: "
            "media-assets reprocess --asset embeddings --all"
        )
    flat = np.asarray(pc.list_flatten(batch["vector"]).to_numpy(zero_copy_only=False), np.float32)
    vectors = flat.reshape(batch.num_rows, -1)
    norms = np.linalg.norm(vectors, axis=1)
    sound = np.isfinite(norms) & (norms > 0)
    if not sound.any():
        return
    media_ids = [str(media_id) for media_id, keep in zip(batch["media_id"].to_pylist(), sound, strict=True) if keep]
    frames_s = np.asarray(batch["frame_s"].to_numpy(zero_copy_only=False), np.float64)[sound]
    yield media_ids, frames_s, np.asarray(vectors[sound] / norms[sound, None], np.float32)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def scores_of(segments: Sequence[Segment], queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cosine of every vector to the nearest query, read piece by piece, in the order of the segments.

    Args:
        segments: At least one row in all.
        queries: Shape (queries, dim), of length 1.
    """
    parts = []
    for segment in segments:
        step = max(1, _CHUNK_BYTES // (4 * queries.shape[1]))
        for start in range(0, len(segment.keys), step):
            piece = np.asarray(segment.vectors[start : start + step])
            parts.append((piece @ queries.T).max(axis=1))
    return np.concatenate(parts) if parts else np.empty(0, np.float32)
