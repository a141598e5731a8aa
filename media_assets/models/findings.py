"""What the analysis finds in pictures: a call of the right models for each asset, results as plain records.

One call sees many pictures. Rows of tables are made of the records in ``pipeline.analysis_rows``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from media_assets.models.loading import load_model
from media_assets.models.records import (
    Caption,
    DetectedFace,
    DetectedObject,
    Label,
    Picture,
    SafetyScore,
    TextLine,
)
from media_assets.models.registry import ModelPlaces, Task
from media_assets.models.vision_recipe import EMBEDDINGS, FACES, OBJECTS, SAFETY, SCENES, TEXTS, VisionRecipe


@dataclass(frozen=True)
class EncodedFace:
    """A face with its vector; ``vector`` is ``None`` where recognition was not allowed or no model encodes faces."""

    face: DetectedFace
    vector: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Scene:
    """Labels of a picture, likeliest first, and a sentence where there is one."""

    labels: tuple[Label, ...]
    caption: Caption | None = None


@dataclass(frozen=True)
class PictureFindings:
    """What one asset found in one picture or frame. Only the field of its asset is filled."""

    vector: tuple[float, ...] | None = None
    objects: tuple[DetectedObject, ...] = ()
    faces: tuple[EncodedFace, ...] = ()
    scene: Scene | None = None
    texts: tuple[TextLine, ...] = ()
    safety: tuple[SafetyScore, ...] = ()


@dataclass(frozen=True)
class Bench:
    """The models of a process.

    Attributes:
        recipe: Which ones.
        places: Where they lie.
    """

    recipe: VisionRecipe
    places: ModelPlaces

    def model(self, task: Task) -> Any:
        """Return the loaded model of a task, ``None`` when the task is off.

        Raises:
            ModelError: It cannot be used.
        """
        name = self.recipe.model(task)
        return None if name is None else load_model(name, self.places)


def find(asset: str, pictures: Sequence[Picture], recognises: Sequence[bool], bench: Bench) -> list[PictureFindings]:
    """Return what one asset finds in each picture.

    Args:
        asset: One of the assets of ``analyze``.
        pictures: Upright sRGB pictures, each of shape (height, width, 3).
        recognises: For each picture, whether its faces may be encoded.
        bench: The models.

    Raises:
        ModelError: A model that the asset needs cannot be used.
    """
    return _FINDERS[asset](pictures, recognises, bench)


def _embeddings(pictures: Sequence[Picture], _: Sequence[bool], bench: Bench) -> list[PictureFindings]:
    vectors = bench.model("embeddings").embed(pictures)
    return [PictureFindings(vector=_floats(vector)) for vector in vectors]


def _objects(pictures: Sequence[Picture], _: Sequence[bool], bench: Bench) -> list[PictureFindings]:
    found = bench.model("objects").detect(pictures, bench.recipe.threshold("objects"))
    return [PictureFindings(objects=tuple(one)) for one in found]


def _faces(pictures: Sequence[Picture], recognises: Sequence[bool], bench: Bench) -> list[PictureFindings]:
    from media_assets.models.face_quality import measure_quality

    detected = bench.model("faces").detect(pictures, bench.recipe.threshold("faces"))
    found = []
    for picture, faces, may_encode in zip(pictures, detected, recognises, strict=True):
        measured = [replace(face, quality=measure_quality(picture, face)) for face in faces]
        encoder = bench.model("face_identity") if may_encode and measured else None
        vectors = [_floats(one) for one in encoder.encode(picture, measured)] if encoder else [None] * len(measured)
        encoded = tuple(EncodedFace(face, vector) for face, vector in zip(measured, vectors, strict=True))
        found.append(PictureFindings(faces=encoded))
    return found


def _scenes(pictures: Sequence[Picture], _: Sequence[bool], bench: Bench) -> list[PictureFindings]:
    labelled = bench.model("scenes").classify(pictures, bench.recipe.scene_labels)
    captioner = bench.model("captions")
    if captioner is None:
        captions: Sequence[Caption | None] = [None] * len(pictures)
    elif hasattr(captioner, "caption_labels"):  # no model of its own: it puts the labels into words
        captions = [captioner.caption_labels(labels) for labels in labelled]
    else:
        captions = captioner.caption(pictures)
    return [
        PictureFindings(scene=Scene(tuple(labels), caption)) for labels, caption in zip(labelled, captions, strict=True)
    ]


def _texts(pictures: Sequence[Picture], _: Sequence[bool], bench: Bench) -> list[PictureFindings]:
    read = bench.model("texts").read(pictures, bench.recipe.threshold("texts"))
    return [PictureFindings(texts=tuple(lines)) for lines in read]


def _safety(pictures: Sequence[Picture], _: Sequence[bool], bench: Bench) -> list[PictureFindings]:
    return [PictureFindings(safety=tuple(scores)) for scores in bench.model("safety").rate(pictures)]


def _floats(vector: Any) -> tuple[float, ...]:
    return tuple(np.asarray(vector, np.float32).tolist())


_FINDERS: dict[str, Callable[[Sequence[Picture], Sequence[bool], Bench], list[PictureFindings]]] = {
    EMBEDDINGS: _embeddings,
    OBJECTS: _objects,
    FACES: _faces,
    SCENES: _scenes,
    TEXTS: _texts,
    SAFETY: _safety,
}
