"""Whether a model could be used on this machine, told without loading it."""

from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from media_assets.models.errors import ModelError
from media_assets.models.hub.offline import find_snapshot, snapshot_folder
from media_assets.models.model_cache import read_converted
from media_assets.models.npm_package import converted_file
from media_assets.models.registry import ModelPlaces, ModelSpec, folder_of, is_in_folder, read_verified

State = Literal["ready", "fetched_when_needed", "missing", "damaged"]

_HUB_PACKAGES = ("torch", "transformers")
_NO_CODE = {".py", ".pyc", ".pyi"}


@dataclass(frozen=True)
class Availability:
    """How a model stands on this machine.

    Attributes:
        state: ``ready`` to be loaded, ``fetched_when_needed``, ``missing`` or ``damaged``.
        detail: Where it is, or the command that brings it.
        size_bytes: Size of its files here, else what the registry says of a model that is fetched; ``None``: unknown.
    """

    state: State
    detail: str
    size_bytes: int | None


def availability(spec: ModelSpec, places: ModelPlaces) -> Availability:
    """Return how a model stands. Files of the folder are checked; those of the hub only when they are loaded."""
    if spec.tier == "bundled":
        return _of_package(spec)
    if spec.tier == "hub":
        return _of_hub(spec, places)
    if spec.tier == "npm":
        return _of_npm(spec, places)
    if places.folder is None:
        return Availability("missing", "set MEDIA_ASSETS_MODELS, then: media-assets models pull", spec.size_bytes)
    if not is_in_folder(spec, places):
        return Availability("missing", f"media-assets models pull {spec.name}", spec.size_bytes)
    folder = folder_of(spec, places)
    try:
        contents = read_verified(folder, spec)
    except ModelError as error:
        return Availability("damaged", str(error), spec.size_bytes)
    return Availability("ready", f"in {folder}", sum(map(len, contents.values())))


def _of_package(spec: ModelSpec) -> Availability:
    if spec.package is None:
        return Availability("ready", "part of media_assets", None)
    try:
        package = metadata.distribution(spec.package)
    except metadata.PackageNotFoundError:
        return Availability("missing", f"pip install {spec.package}", None)
    # Package managers may leave the list of files out; then the size is not known.
    files = [Path(str(package.locate_file(one))) for one in package.files or () if one.suffix not in _NO_CODE]
    size = sum(one.stat().st_size for one in files if one.is_file())
    return Availability("ready", f"package {spec.package} {package.version}", size or None)


def _of_npm(spec: ModelSpec, places: ModelPlaces) -> Availability:
    path = converted_file(spec, places)
    try:
        content = read_converted(path, spec.name)
    except ModelError as error:
        return Availability("damaged", str(error), spec.size_bytes)
    if content is not None:
        return Availability("ready", f"in {path.parent}", len(content))
    return _to_be_fetched(spec, places)


def _of_hub(spec: ModelSpec, places: ModelPlaces) -> Availability:
    folder = find_snapshot(spec, places)
    size = spec.size_bytes
    if folder is not None:
        size = sum(one.stat().st_size for one in folder.iterdir() if one.is_file())
    if absent := [name for name in _HUB_PACKAGES if find_spec(name) is None]:
        return Availability("missing", f"pip install 'media_assets[hub]' ({', '.join(absent)} missing)", size)
    if folder is None:
        return _to_be_fetched(spec, places)
    in_folder = places.folder is not None and folder == snapshot_folder(spec, places.folder)
    return Availability("ready", f"in {'the folder of models' if in_folder else 'the cache'}: {folder}", size)


def _to_be_fetched(spec: ModelSpec, places: ModelPlaces) -> Availability:
    command = f"media-assets models pull {spec.name}"
    if places.may_fetch:
        return Availability("fetched_when_needed", f"or now: {command}", spec.size_bytes)
    return Availability("missing", command, spec.size_bytes)
