"""What is known of files before copies of them are made: faces, texts, the hash to compare with, and the place."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from media_assets.models.vision_recipe import FACES, TEXTS
from media_assets.pipeline.assets import APPEARANCE, METADATA, ORIGINAL, TABLE_OF
from media_assets.pipeline.library import Library
from media_assets.pipeline.sharing_location import SharedPlaces
from media_assets.pipeline.sharing_outcomes import SharedLocation, SharingItem
from media_assets.pipeline.sharing_pool import KnownThing
from media_assets.pipeline.sharing_recipe import LocationLevel
from media_assets.storage.present import present_groups

_BOX = ("x_min_px", "y_min_px", "x_max_px", "y_max_px")


@dataclass(frozen=True)
class SharingInputs:
    """What is known of one file.

    Attributes:
        is_video: Whether it is covered frame by frame.
        faces: Faces that the analysis found.
        texts: Texts that it read.
        phash: DCT hash of the original; ``None``: it has none.
        location: What may be told of where it was taken.
    """

    is_video: bool
    faces: tuple[KnownThing, ...]
    texts: tuple[KnownThing, ...]
    phash: int | None
    location: SharedLocation


def read_inputs(library: Library, items: Sequence[SharingItem], level: LocationLevel) -> dict[str, SharingInputs]:
    """Read what is known of the present versions of files, by media id; files without a row are left out.

    Args:
        library: The library; rows count whether the catalog has absorbed them or not.
        items: The files.
        level: How exactly places are told, of those that may be told at all.

    Raises:
        StorageError: The tables cannot be read.
    """
    found: dict[str, SharingInputs] = {}
    places = SharedPlaces(level)
    for month in sorted({item.entry.month for item in items}):
        of_month = {item.entry.media_id: item for item in items if item.entry.month == month}
        tables = {
            table: present_groups(library.store, table, month, of_month.keys())
            for table in (TABLE_OF[ORIGINAL], TABLE_OF[METADATA], TABLE_OF[APPEARANCE], FACES, TEXTS)
        }
        for media_id, item in of_month.items():
            rows = {table: _present(groups.get(media_id, ()), item) for table, groups in tables.items()}
            files, metadata, appearance = (rows[TABLE_OF[name]] for name in (ORIGINAL, METADATA, APPEARANCE))
            if not files:
                continue
            found[media_id] = SharingInputs(
                is_video=files[0]["media_type"] == "video",
                faces=tuple(map(_face, rows[FACES])),
                texts=tuple(map(_text, rows[TEXTS])),
                phash=appearance[0]["phash"] if appearance else None,
                location=places.of(metadata[0]) if metadata and item.tells_location else SharedLocation(),
            )
    return found


def _present(rows: Iterable[Mapping[str, Any]], item: SharingItem) -> list[Mapping[str, Any]]:
    """Rows of the present version: those of an older one are boxes in another picture."""
    return [row for row in rows if row["input_version"] == item.entry.sha256]


def _face(row: Mapping[str, Any]) -> KnownThing:
    return KnownThing(row["frame_s"], _box(row), score=row["score"])


def _text(row: Mapping[str, Any]) -> KnownThing:
    left, top, right, bottom = box = _box(row)
    corners = row["polygon"] or [(left, top), (right, top), (right, bottom), (left, bottom)]
    polygon = tuple((float(x), float(y)) for x, y in corners)
    return KnownThing(row["frame_s"], box, polygon, row["text"], row["score"])


def _box(row: Mapping[str, Any]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(row[name]) for name in _BOX)
    return left, top, right, bottom
