"""An HNSW graph (Malkov and Yashunin 2018, by usearch) over vectors: near neighbours without looking at all of them.

Only the graph and its file; it knows vectors by 64-bit keys. usearch is imported here and nowhere else.
"""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

CONNECTIVITY = 16
"""Links of a vector in each level of the graph."""
EXPANSION_ADD = 128
"""Candidates that are looked at to link a new vector."""
EXPANSION_SEARCH = 512
"""Candidates that a search keeps; more finds more and takes longer."""

_FORMAT = 1
_SCALAR = "f16"  # half the size of float32; what is found is scored again with the float32 vectors
_MAX_REMOVED_SHARE = 0.2  # removed vectors stay in the graph as holes, which cost time and then recall

Keys = NDArray[np.uint64]


class DamagedGraphError(Exception):
    """There is no file of a graph that can be used as it is."""


class _Facts(BaseModel):
    """Content of ``graph.json``, written after the file that it names."""

    format: int = _FORMAT
    file: str
    sha256: str
    dim: int
    removed: int
    parameters: list[int | str]
    covers: list[str]


class VectorGraph:
    """A graph that is open for search.

    Attributes:
        covers: Names of the segments whose vectors it has.
    """

    def __init__(self, index: Any, dim: int, covers: list[str], removed: int) -> None:
        self._index = index
        self._dim = dim
        self._removed = removed
        self.covers = covers

    def __len__(self) -> int:
        return len(self._index)

    @classmethod
    def new(cls, dim: int) -> "VectorGraph":
        """Return an empty graph for vectors of ``dim`` numbers, of length 1."""
        return cls(_new_index(dim), dim, [], 0)

    @classmethod
    def open(cls, folder: Path, *, for_update: bool = False) -> "VectorGraph":
        """Read the graph of a folder, after its checksum: a parser in C++ never sees damaged bytes.

        Args:
            folder: Where :meth:`save` put it.
            for_update: Copy it into memory, so that vectors can be added; else it is mapped.

        Raises:
            DamagedGraphError: There is none, it is damaged, or was made with other parameters.
        """
        try:
            facts = _Facts.model_validate_json((folder / "graph.json").read_bytes())
            path = folder / Path(facts.file).name
            with path.open("rb") as file:
                is_sound = hashlib.file_digest(file, "sha256").hexdigest() == facts.sha256
        except (OSError, ValidationError) as error:
            raise DamagedGraphError(f"{folder} has no graph.") from error
        if not is_sound or facts.format != _FORMAT or facts.parameters != _parameters():
            raise DamagedGraphError(f"{path} is damaged, or of another version.")
        index = _new_index(facts.dim)
        try:
            (index.load if for_update else index.view)(str(path))
        except Exception as error:  # usearch raises what it likes
            raise DamagedGraphError(f"{path} cannot be read.") from error
        return cls(index, facts.dim, facts.covers, facts.removed)

    @property
    def is_worn(self) -> bool:
        """Whether so much was removed that a new graph is better."""
        return self._removed > _MAX_REMOVED_SHARE * max(1, len(self))

    def keys(self) -> Keys:
        """Return the keys of its vectors, in no order."""
        return np.asarray(self._index.keys, np.uint64)

    def remove(self, keys: Keys) -> None:
        """Take vectors out."""
        if len(keys):
            self._index.remove(keys)
            self._removed += len(keys)

    def add(self, blocks: Iterator[tuple[Keys, NDArray[np.float32]]]) -> None:
        """Add vectors, on all cores.

        Args:
            blocks: Keys that are not in it, each once, and vectors of length 1.
        """
        for keys, vectors in blocks:
            if len(keys):
                self._index.add(keys, np.ascontiguousarray(vectors, np.float32))

    def nearest(self, queries: NDArray[np.float32], count: int) -> Keys:
        """Return the keys of up to ``count`` vectors for each query that are probably nearest, each key once."""
        self._index.expansion_search = max(EXPANSION_SEARCH, 2 * count)
        found = [self._index.search(query, count).keys for query in np.asarray(queries, np.float32)]
        return np.unique(np.concatenate(found).astype(np.uint64))

    def save(self, folder: Path, covers: list[str]) -> None:
        """Write it, with the names of the segments that it covers; the graph before is removed.

        Raises:
            OSError: It cannot be written.
        """
        previous = graph_file(folder)
        name = f"graph-{secrets.token_hex(8)}.usearch"
        unfinished = [folder / f".{name}", folder / f".{name}.json"]
        try:
            try:
                self._index.save(str(unfinished[0]))
            except RuntimeError as error:  # what usearch makes of a full disk
                raise OSError(str(error)) from error
            with unfinished[0].open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            facts = _Facts(
                file=name,
                sha256=sha256,
                dim=self._dim,
                removed=self._removed,
                parameters=_parameters(),
                covers=sorted(covers),
            )
            unfinished[1].write_text(facts.model_dump_json(), encoding="utf-8")
            unfinished[0].replace(folder / name)
            unfinished[1].replace(folder / "graph.json")
        finally:
            for path in unfinished:
                path.unlink(missing_ok=True)
        self.covers = facts.covers
        if previous is not None:
            (folder / previous).unlink(missing_ok=True)


def covered(folder: Path) -> list[str]:
    """Return the names of the segments that the graph of a folder says to cover; empty without one."""
    with suppress(OSError, ValidationError):
        return _Facts.model_validate_json((folder / "graph.json").read_bytes()).covers
    return []


def graph_file(folder: Path) -> str | None:
    """Return the name of the file of the graph of a folder; ``None`` without one."""
    with suppress(OSError, ValidationError):
        return Path(_Facts.model_validate_json((folder / "graph.json").read_bytes()).file).name
    return None


def _parameters() -> list[int | str]:
    """What a file must have been made with to be used."""
    from importlib.metadata import version

    return [CONNECTIVITY, EXPANSION_ADD, _SCALAR, version("usearch").partition(".")[0]]


def _new_index(dim: int) -> Any:
    from usearch.index import Index

    # Vectors of length 1: the inner product is the cosine, without a division for each pair.
    return Index(
        ndim=dim,
        metric="ip",
        dtype=_SCALAR,
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
        expansion_search=EXPANSION_SEARCH,
    )
