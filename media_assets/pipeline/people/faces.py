"""The encoded faces of one owner and model, as arrays, and how a face is found again after it was detected anew."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from media_assets.models.face_clustering import Metric, Vectors
from media_assets.storage import catalog
from media_assets.storage.objects import ObjectStore
from media_assets.storage.people_edits import FaceReference

SAME_FACE_IOU = 0.5
"""Two boxes in one picture that overlap by more are the same face."""

_FRAME_TOLERANCE_S = 0.001
_BOX = ("x_min_px", "y_min_px", "x_max_px", "y_max_px")
_COLUMNS = (
    *("media_id", "owner", "input_version", "frame_s", "face_index", *_BOX),
    *("embedding", "embedding_model", "embedding_metric", "face_quality"),
)


@dataclass(frozen=True)
class EncodedFaces:
    """Faces that can be compared with each other, in the order of media id, frame and number.

    Attributes:
        owner: Whose pictures they are in.
        model: Model of the vectors, with revision.
        metric: How they are compared.
        references: Where each face is.
        indices: Number of each face in its picture or frame.
        input_versions: SHA-256 of the bytes of each picture.
        vectors: Shape (faces, dim).
        quality: 0-1; NaN where it was not measured.
    """

    owner: str
    model: str
    metric: Metric
    references: Sequence[FaceReference]
    indices: Sequence[int]
    input_versions: Sequence[str]
    vectors: Vectors
    quality: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.references)


def read_encoded_faces(store: ObjectStore, owners: Collection[str]) -> Iterator[EncodedFaces]:
    """Yield the encoded faces of each of ``owners`` and each model, from the catalog.

    Raises:
        CatalogError: The catalog is damaged.
        StorageError: The store could not be read.
    """
    if not owners:
        return
    rows = catalog.read_current(store, "faces", _COLUMNS)
    rows = rows.filter(pc.is_in(rows["owner"], value_set=pa.array(sorted(owners), pa.string())))
    rows = rows.filter(pc.is_valid(rows["embedding"]))
    groups = rows.group_by(["owner", "embedding_model", "embedding_metric"]).aggregate([([], "count_all")])
    found = {(row["owner"], row["embedding_model"], row["embedding_metric"]) for row in groups.to_pylist()}
    for owner, model, metric in sorted(found):
        chosen = pc.and_(pc.equal(rows["owner"], pa.scalar(owner)), pc.equal(rows["embedding_model"], pa.scalar(model)))
        yield _encoded(owner, model, metric, rows.filter(chosen))


def owners_of_faces(store: ObjectStore) -> list[str]:
    """Return the owners in whose pictures faces were found, sorted.

    Raises:
        CatalogError: The catalog is damaged.
        StorageError: The store could not be read.
    """
    owners: Any = catalog.read_current(store, "faces", ["owner"])["owner"].unique()
    return sorted(owners.to_pylist())


def _encoded(owner: str, model: str, metric: Metric, rows: pa.Table) -> EncodedFaces:
    rows = rows.sort_by([(name, "ascending") for name in ("media_id", "frame_s", "face_index")]).combine_chunks()
    column: dict[str, Any] = {name: rows[name] for name in rows.column_names}
    lengths = pc.list_value_length(rows["embedding"])
    flat = pc.list_flatten(rows["embedding"]).to_numpy()
    boxes = np.stack([rows[name].to_numpy() for name in _BOX], axis=1).tolist()
    return EncodedFaces(
        owner=owner,
        model=model,
        metric=metric,
        references=[
            FaceReference(media_id=media_id, frame_s=frame_s, box_px=tuple(box))
            for media_id, frame_s, box in zip(
                column["media_id"].to_pylist(), column["frame_s"].to_pylist(), boxes, strict=True
            )
        ],
        indices=column["face_index"].to_pylist(),
        input_versions=column["input_version"].to_pylist(),
        vectors=flat.reshape(rows.num_rows, pc.max(lengths).as_py()).astype(np.float32),
        quality=column["face_quality"].fill_null(float("nan")).to_numpy(),
    )


class FaceFinder:
    """Finds faces again by where they are.

    Args:
        references: Where the faces are; answers are positions in it.
    """

    def __init__(self, references: Sequence[FaceReference]) -> None:
        self._references = references
        self._by_media: dict[str, list[int]] = {}
        for position, one in enumerate(references):
            self._by_media.setdefault(one.media_id, []).append(position)

    def find(self, wanted: FaceReference) -> int | None:
        """Return the face at the place of ``wanted``: the one that overlaps it most, by half at least."""
        overlaps = [
            (_iou(wanted.box_px, self._references[position].box_px), -position)
            for position in self._by_media.get(wanted.media_id, ())
            if _is_same_frame(wanted.frame_s, self._references[position].frame_s)
        ]
        best, position = max(overlaps, default=(0.0, 0))
        return -position if best >= SAME_FACE_IOU else None

    def find_all(self, wanted: Sequence[FaceReference]) -> list[int]:
        """Return the faces of ``wanted`` that are still there, each once, sorted."""
        return sorted({position for one in wanted if (position := self.find(one)) is not None})


def labels_found(references: Sequence[FaceReference], before: Sequence[tuple[FaceReference, str]]) -> list[str | None]:
    """Return for each face what was written of the face that stood at its place, ``None`` where there was none.

    Args:
        references: The faces now.
        before: Faces of earlier, and what was written of them.
    """
    by_place: Mapping[FaceReference, str] = dict(before)
    moved = FaceFinder([one for one, _ in before])
    found: list[str | None] = []
    for one in references:
        label = by_place.get(one)  # nearly always: nothing was detected anew
        if label is None and (position := moved.find(one)) is not None:
            label = before[position][1]
        found.append(label)
    return found


def _is_same_frame(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return abs(a - b) <= _FRAME_TOLERANCE_S


def _iou(a: Sequence[float], b: Sequence[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(0.0, width) * max(0.0, height)
    either = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / either if either > 0 else 0.0
