"""A small library for tests of the search: rows as the pipeline writes them, with nothing decoded."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from media_assets.models.registry import model_named
from media_assets.storage.catalog import compact
from media_assets.storage.objects import ObjectStore
from media_assets.storage.tables import PartWriter
from media_assets_tests.unit.storage.table_rows import row

MODEL = model_named("efficientnet-lite0").version
MONTH = "2024-05"


def add_file(
    store: ObjectStore,
    media_id: str,
    *,
    run: str = "run-1",
    month: str = MONTH,
    file: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    objects: Sequence[tuple[Any, ...]] = (),
    scenes: Sequence[tuple[Any, ...]] = (),
    texts: Sequence[tuple[Any, ...]] = (),
    vectors: Sequence[tuple[float | None, NDArray[np.float32]]] = (),
    people: Sequence[str] = (),
    phash: int | None = None,
    model: str = MODEL,
) -> None:
    """Write the rows of one file; call ``compact`` afterwards.

    Objects, scenes and texts are (label or text, score, frame_s); vectors are (frame_s, vector).
    """
    writer = PartWriter(store, run)

    def append(table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            writer.append(table, month, [_row(table, media_id, values) for values in rows])

    append("files", [{"file_name": f"{media_id}.jpg", "media_type": "image", **(file or {})}])
    append("metadata", [dict(metadata or {})])
    append("renditions", [{"kind": "preview", "path": f"renditions/{media_id}/preview.jpg", "format": "jpeg"}])
    if phash is not None:
        append("appearance", [{"phash": phash}])
    append("objects", [{"object_index": at, **_labelled(one)} for at, one in enumerate(objects)])
    append("scenes", [{"rank": at, **_labelled(one)} for at, one in enumerate(scenes, 1)])
    append("texts", [{"text_index": at, **_labelled(one, "text")} for at, one in enumerate(texts)])
    append("people", [{"face_index": at, "name": name, "frame_s": 0.5 + at} for at, name in enumerate(people)])
    append(
        "embeddings",
        [
            {"frame_s": frame, "dim": len(vector), "vector": vector.tolist(), "model": model}
            for frame, vector in vectors
        ],
    )


def _row(table: str, media_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
    if table != "embeddings":
        return row(table, media_id, **values)
    common = {name: value for name, value in row("appearance", media_id).items() if name != "model"}
    return common | dict(values)


def _labelled(values: tuple[Any, ...], name: str = "label") -> dict[str, Any]:
    return dict(zip((name, "score", "frame_s"), (*values, None), strict=False))


def local(text: str) -> datetime:
    """A wall time."""
    return datetime.fromisoformat(text)


def unit(*numbers: float) -> NDArray[np.float32]:
    """A vector of length 1."""
    vector = np.asarray(numbers, np.float32)
    return vector / np.linalg.norm(vector)


def fill(store: ObjectStore) -> None:
    """Write a library of eight files."""
    add_file(
        store,
        "beach-1",
        file={"file_name": "IMG_0001.jpg", "owner": "alice"},
        metadata={
            "captured_at_local": local("2024-05-03 12:30"),
            "place_city": "Nice",
            "place_region": "Provence-Alpes-Côte d'Azur",
            "place_country_code": "FR",
            "latitude_deg": 43.7,
            "longitude_deg": 7.27,
        },
        objects=[("dog", 0.9), ("dog", 0.6), ("person", 0.8)],
        scenes=[("seashore", 0.7), ("sandbar", 0.1)],
        vectors=[(None, unit(1, 0.1, 0, 0))],
        phash=0b1111,
    )
    add_file(
        store,
        "dog-2",
        file={"file_name": "IMG_0002.jpg", "owner": "bob"},
        metadata={"captured_at_local": local("2023-12-24 18:00"), "place_city": "Oslo", "place_country_code": "NO"},
        objects=[("dog", 0.5)],
        scenes=[("golden retriever", 0.6)],
        vectors=[(None, unit(0.9, 0.3, 0, 0))],
        phash=0b0111,
    )
    add_file(
        store,
        "snack-3",
        metadata={"captured_at_local": local("2024-07-01 09:00")},
        objects=[("hot dog", 0.95)],
        vectors=[(None, unit(0, 0, 1, 0))],
    )
    add_file(
        store,
        "party-4",
        metadata={
            "title": "Geburtstag in München",
            "keywords": ["birthday cake", "family"],
            "description": "The whole family around a table in the garden",
            "place_city": "Munich",
            "place_country_code": "DE",
            "latitude_deg": 48.14,
            "longitude_deg": 11.58,
        },
        objects=[("cell phone", 0.6), ("dining table", 0.7)],
        vectors=[(None, unit(0, 1, 0, 0))],
    )
    add_file(store, "sign-5", texts=[("NO SMOKING", 0.98), ("東京タワー", 0.9)], vectors=[(None, unit(0, 0, 0, 1))])
    add_file(
        store,
        "clip-6",
        file={"file_name": "holiday.mp4", "media_type": "video"},
        metadata={"captured_at_local": local("2024-05-20 08:00")},
        objects=[("bicycle", 0.4, 1.0), ("bicycle", 0.8, 5.5)],
        texts=[("EXIT", 0.7, 1.0)],
        vectors=[(1.0, unit(0, 0, 0.2, 1)), (5.5, unit(1, 0, 0, 0.1))],
        phash=0xFFFF_FFFF_FFFF_FFFF,
    )
    add_file(store, "beach-7", file={"file_name": "beach2019 holidays.png"})
    add_file(store, "march-8", metadata={"title": "Protest march", "captured_at_local": local("2022-10-01")})
    compact(store)
