"""A library whose tables are filled without analysing anything: files in the ledger, and rows as ops write them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from media_assets.models.registry import model_named
from media_assets.pipeline.library import Library
from media_assets.storage import catalog, keys
from media_assets.storage.tables import PartWriter
from media_assets_tests.unit.storage.table_rows import row
from media_assets_tests.unit.storage.uploads import upload

FACE_MODEL = model_named("mobilefacenet").version
DIM = 32

_runs = count(1)


class Analysed:
    """Writes rows of files, which the ledger gets to know, and reads current rows."""

    def __init__(self, library: Library) -> None:
        self.library = library

    def know(self, *source_keys: str) -> None:
        """Record uploads in the ledger."""
        self.library.ledger.record_page("inbox", [upload(key) for key in source_keys], None, take_over=False)

    def write(self, table: str, rows: Mapping[str, Sequence[Mapping[str, object]]]) -> None:
        """Replace the rows of files, by source key; no rows: they are removed."""
        self.know(*rows)
        writer = PartWriter(self.library.store, f"run-{next(_runs)}")
        for source_key, of_file in rows.items():
            media_id = keys.media_id(source_key)
            month, now = self.library.ledger.entries([media_id])[media_id].month, datetime.now(UTC)
            common: dict[str, Any] = {"owner": keys.owner_of(source_key), "computed_at": now}
            # ``row`` has no value for a vector, which is all that embeddings require.
            plain = {} if table != "embeddings" else {"media_id": media_id, "input_version": "x", "code_version": "x"}
            made = [
                plain | common | dict(one) if plain else row(table, media_id, **(common | dict(one))) for one in of_file
            ]
            if made:
                writer.append(table, month, made)
            else:
                writer.remove(table, month, [media_id], now)

    def faces(self, pictures: Mapping[str, Sequence[NDArray[np.float32] | None]], **values: object) -> None:
        """Write the faces of pictures, by source key: their vectors; ``None``: a face that was not encoded."""
        self.write(
            "faces", {key: [face(at, one, **values) for at, one in enumerate(found)] for key, found in pictures.items()}
        )

    def current(self, table: str) -> dict[str, list[dict[str, Any]]]:
        """Current rows by media id."""
        found: dict[str, list[dict[str, Any]]] = {}
        for one in catalog.read_current(self.library.store, table).to_pylist():
            found.setdefault(one["media_id"], []).append(one)
        return found

    def persons(self) -> dict[str, list[str]]:
        """Persons of the faces of each file, by media id."""
        return {media_id: [one["person_id"] for one in rows] for media_id, rows in self.current("people").items()}


def face(index: int, vector: NDArray[np.float32] | None, **values: object) -> dict[str, object]:
    """A row of table faces; faces of one picture stand side by side."""
    encoded = (
        {}
        if vector is None
        else {"embedding": vector.tolist(), "embedding_model": FACE_MODEL, "embedding_metric": "cosine"}
    )
    left = 100.0 * index
    box = {"x_min_px": left, "y_min_px": 10.0, "x_max_px": left + 80, "y_max_px": 100.0}
    return {"face_index": index, "score": 0.9, "face_quality": 0.8, **box, **encoded, **values}


def looks(person: int, shot: int, noise: float = 0.3) -> NDArray[np.float32]:
    """The vector of a person in a shot: people are at a cosine distance of about 1, shots of one within 0.2."""
    center = np.random.default_rng(1000 + person).normal(size=DIM)
    own = np.random.default_rng(7919 * person + shot).normal(size=DIM)
    vector = center / np.linalg.norm(center) + noise * own / np.linalg.norm(own)
    return (vector / np.linalg.norm(vector)).astype(np.float32)
