"""The vectors of one model, and those nearest to a query: all of them compared, or found through a graph.

Everything below the folder of an index is derived from table ``embeddings`` and checked before it is used: what is
missing, outdated or damaged is made again from the catalog. How vectors lie on disk is in ``vector_segments``, the
graph in ``vector_graph``.
"""

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from media_assets.storage.catalog import current_files
from media_assets.storage.errors import CatalogError, ObjectMissing
from media_assets.storage.objects import ObjectStore
from media_assets.storage.vector_graph import DamagedGraphError, Keys, VectorGraph, covered, graph_file
from media_assets.storage.vector_segments import (
    TABLE,
    DamagedSegmentError,
    Segment,
    open_segment,
    scores_of,
)

EXACT_UP_TO = 50_000
"""Vectors up to which all of them are compared: about a tenth of a second, and no graph to build."""

_ATTEMPTS = 5
_BLOCK_ROWS = 8192
_KEEP_UNKNOWN_S = 24 * 3600.0  # unfinished files of another process that is still at work


class VectorIndex:
    """The vectors of one model in a library.

    Args:
        store: The library.
        model: Model with revision, as column ``model`` has it.
        folder: Folder for derived files of all models; created on demand.
        tell: Receives what people who wait should know.

    Attributes:
        model: As given.

    Raises:
        CatalogError: The catalog cannot be read, or the folder cannot be written.
        StorageError: The store could not be read.
    """

    def __init__(
        self, store: ObjectStore, model: str, folder: Path, tell: Callable[[str], None] = lambda message: None
    ) -> None:
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", model)[:60]
        self.model = model
        self._store = store
        self._folder = folder / f"{slug}-{hashlib.sha256(f'{store.url} {model}'.encode()).hexdigest()[:12]}"
        self._tell = tell
        self._sources, opened = self._open()
        self._segments = [segment for segment in opened if len(segment.keys)]
        if len({segment.vectors.shape[1] for segment in self._segments}) > 1:
            raise CatalogError(
                f"Vectors of model {model} differ in length. Compute them again: "
                "media-assets reprocess --asset embeddings --all"
            )
        self._is_checked = False
        self._sweep({segment.name for segment in opened})

    def _open(self) -> tuple[dict[str, str], list[Segment]]:
        for _ in range(_ATTEMPTS):
            sources = current_files(self._store, TABLE)
            try:
                segments = [open_segment(self._store, self.model, source, self._folder) for source in sources]
            except ObjectMissing:
                continue  # a compaction has replaced the file since the manifest was read
            return {segment.name: source for segment, source in zip(segments, sources, strict=True)}, segments
        raise CatalogError(f"A current file of table {TABLE} is gone. Materialize the asset `catalog` to rebuild it.")

    def __len__(self) -> int:
        return sum(len(segment.keys) for segment in self._segments)

    @property
    def dim(self) -> int:
        """Length of a vector; 0 when there is none."""
        return int(self._segments[0].vectors.shape[1]) if self._segments else 0

    @cached_property
    def media_ids(self) -> list[str]:
        """Media file of each vector."""
        return [str(media_id) for segment in self._segments for media_id in segment.media_ids.to_pylist()]

    @cached_property
    def frames_s(self) -> NDArray[np.float64]:
        """Time of the frame of each vector in seconds; NaN: a picture."""
        return np.concatenate([segment.frames_s for segment in self._segments] or [np.empty(0)])

    @cached_property
    def _keys(self) -> Keys:
        return np.concatenate([segment.keys for segment in self._segments] or [np.empty(0, np.uint64)])

    @cached_property
    def _key_order(self) -> NDArray[np.int64]:
        return np.argsort(self._keys, kind="stable")

    def vectors_of(self, media_id: str) -> NDArray[np.float32]:
        """Return the vectors of a media file, shape (its frames, dim); no rows when it has none."""
        positions = np.flatnonzero(np.asarray(self.media_ids, object) == media_id)
        return self._at(positions)

    # ------------------------------------------------------------ all vectors

    def scores(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the cosine of every vector to the nearest of the queries, -1 to 1, in the order of ``media_ids``.

        Args:
            queries: Shape (queries, dim), of length 1.
        """
        if not self._is_checked:
            self._check()
        return scores_of(self._segments, queries)

    def scores_at(self, positions: NDArray[np.int64], queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the cosines of some vectors to the nearest of the queries; the others are not read.

        Args:
            positions: In ``media_ids``.
            queries: Shape (queries, dim), of length 1.
        """
        parts = [
            (self._at(positions[start : start + _BLOCK_ROWS]) @ queries.T).max(axis=1)
            for start in range(0, len(positions), _BLOCK_ROWS)
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def _check(self) -> None:
        """Compare all checksums; damaged vectors are read from the catalog again."""
        for number, segment in enumerate(self._segments):
            try:
                segment.check()
            except DamagedSegmentError:
                self._tell("A part of the search index was damaged and is made again.")
                self._renew(number)
        self._is_checked = True

    def _renew(self, number: int) -> None:
        name = self._segments[number].name
        try:
            self._segments[number] = open_segment(
                self._store, self.model, self._sources[name], self._folder, is_new=True
            )
        except ObjectMissing as error:
            raise CatalogError("The catalog was compacted during the search. Search again.") from error

    def _at(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors at positions, each checked."""
        starts = np.cumsum([0, *(len(segment.keys) for segment in self._segments)])
        found = np.empty((len(positions), self.dim), np.float32)
        for number in range(len(self._segments)):
            mine = np.flatnonzero((positions >= starts[number]) & (positions < starts[number + 1]))
            rows = (positions[mine] - starts[number]).tolist()
            try:
                self._segments[number].check_rows(rows)
            except DamagedSegmentError:
                self._tell("A part of the search index was damaged and is made again.")
                self._renew(number)
            found[mine] = self._segments[number].vectors[rows]
        return found

    # ------------------------------------------------------------ through the graph

    def nearest(self, queries: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return positions of vectors that are probably nearest to one of the queries, and their cosines.

        The graph proposes; the cosines are those of the float32 vectors. Nearest first.

        Args:
            queries: Shape (queries, dim), of length 1.
            count: How many for each query, about.
        """
        keys = self._graph.nearest(queries, min(count, len(self)))
        order = self._key_order
        places = np.searchsorted(self._keys[order], keys)
        positions = order[np.minimum(places, len(order) - 1)]
        positions = positions[self._keys[positions] == keys]
        scores = self.scores_at(positions, queries)
        best = np.argsort(-scores, kind="stable")
        return positions[best], scores[best]

    @cached_property
    def _graph(self) -> VectorGraph:
        names = sorted(segment.name for segment in self._segments)
        with suppress(DamagedGraphError):
            if covered(self._folder) == names:
                graph = VectorGraph.open(self._folder)
                if len(graph) == len(np.unique(self._keys)):
                    return graph
        try:
            return self._updated_graph(names)
        except OSError as error:
            raise CatalogError(
                f"The search index in {self._folder} cannot be written ({error.strerror or error}). Free space, name "
                "another folder with MEDIA_ASSETS_STATE, or search with --exact."
            ) from error

    def _updated_graph(self, names: list[str]) -> VectorGraph:
        """Bring the graph of the folder up to date, or make a new one, and keep it."""
        wanted = np.unique(self._keys)
        graph = VectorGraph.new(self.dim)
        with suppress(DamagedGraphError):
            old = VectorGraph.open(self._folder, for_update=True)
            old.remove(np.setdiff1d(old.keys(), wanted))
            graph = graph if old.is_worn else old
        missing = np.setdiff1d(wanted, graph.keys()) if len(graph) else wanted
        if len(missing):
            self._tell(
                f"Adding {len(missing)} vectors to the approximate index of {len(wanted)}; this is done once. "
                "--exact needs no index."
            )
        self._check()
        graph.add(self._blocks(missing))
        graph.save(self._folder, names)
        return graph

    def _blocks(self, wanted: Keys) -> Iterator[tuple[Keys, NDArray[np.float32]]]:
        """Yield vectors by key, each key once, a few thousand at a time."""
        left = wanted  # sorted
        for segment in self._segments:
            for start in range(0, len(segment.keys), _BLOCK_ROWS):
                keys, first = np.unique(segment.keys[start : start + _BLOCK_ROWS], return_index=True)
                mine = np.isin(keys, left, assume_unique=True)
                yield keys[mine], np.asarray(segment.vectors[start + first[mine]])
                left = np.setdiff1d(left, keys[mine], assume_unique=True)

    def _sweep(self, names: set[str]) -> None:
        """Remove the segments of files that are no longer current, and what killed processes left behind."""
        kept = {"graph.json", *(f"{name}.{ending}" for name in names for ending in ("f32", "rows", "json"))}
        for path in self._folder.glob("*") if self._folder.is_dir() else ():
            with suppress(OSError):
                is_segment = path.suffix in (".f32", ".rows", ".json") and not path.name.startswith(".")
                is_current = path.name in kept or path.name == graph_file(self._folder)
                is_old = path.stat().st_mtime < time.time() - _KEEP_UNKNOWN_S
                if not is_current and (is_segment or is_old):
                    path.unlink()


__all__ = ["EXACT_UP_TO", "VectorIndex"]
