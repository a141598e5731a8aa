"""Folders of hub models: where they lie, and the check of every file before anything parses it.

A model lies in ``hub/<owner>--<name>/<commit>/`` below the user's folder of models or below the cache. Beside its files
lies a lock file with their checksums, written when they were fetched. Nothing here connects to anything (``download``).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from media_assets.models.errors import ModelCorruptError, ModelMissingError
from media_assets.models.registry import ModelPlaces, ModelSpec

LOCK_FILE = "media_assets.lock.json"

_CONFIG = "config.json"
_WEIGHTS = ".safetensors"
_LOADABLE = (_WEIGHTS, ".json", ".txt", ".model", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".py", ".jinja")
"""What transformers may open in the folder of a model: nothing of that may lie there unchecked."""


@dataclass(frozen=True)
class Lock:
    """What was fetched: repository, commit, and the SHA-256 of each file by its name."""

    repository: str
    revision: str
    files: Mapping[str, str]

    def write(self, folder: Path) -> None:
        """Write it into the folder of the files."""
        content = {"repository": self.repository, "revision": self.revision, "files": dict(sorted(self.files.items()))}
        (folder / LOCK_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def snapshot_folder(spec: ModelSpec, root: Path) -> Path:
    """Return the folder of a model below the folder of models or the cache, whether it exists or not."""
    return root / "hub" / _repository(spec).replace("/", "--") / spec.revision


def find_snapshot(spec: ModelSpec, places: ModelPlaces) -> Path | None:
    """Return the folder of a model that is on this machine, the user's first; its files are not checked here."""
    roots = [root for root in (places.folder, places.cache) if root is not None]
    folders = (snapshot_folder(spec, root) for root in roots)
    return next((folder for folder in folders if (folder / _CONFIG).is_file()), None)


def fill_folder(spec: ModelSpec, places: ModelPlaces) -> Path:
    """Return the folder that ``media-assets models pull`` fills: in the user's folder of models, else in the cache."""
    return snapshot_folder(spec, places.folder or places.cache)


def verified_snapshot(spec: ModelSpec, places: ModelPlaces) -> Path:
    """Return the folder of a model after all of its files were checked; fetch it before that if it may be fetched.

    Raises:
        ModelMissingError: It is not on this machine and cannot be fetched.
        ModelCorruptError: A file is not the one that was fetched, or nobody knows what it should be.
        ModelError: It cannot be fetched.
    """
    folder = find_snapshot(spec, places)
    if folder is None:
        if not places.may_fetch:
            raise ModelMissingError(
                f"Model {spec.name} is not on this machine. Fetch it with: media-assets models pull {spec.name} "
                f"(without a connection: copy the folder that it fills elsewhere to {fill_folder(spec, places)})"
            )
        from media_assets.models.hub.download import fetch_snapshot

        return fetch_snapshot(spec, places.cache)
    check_snapshot(spec, folder)
    return folder


def check_snapshot(spec: ModelSpec, folder: Path) -> None:
    """Check every file that could be loaded: against the registry, and against the lock file where there is one.

    A folder that was filled by hand has no lock file. It is accepted when the registry knows the weights; its
    configuration is then taken as it is, plain JSON and text that can run no code.

    Raises:
        ModelMissingError: A file is missing.
        ModelCorruptError: A file is another one, or nobody knows what it should be.
    """
    again = f"Remove {folder} and run: media-assets models pull {spec.name}"
    lock = _read_lock(spec, folder, again)
    expected = {**(lock.files if lock is not None else {}), **spec.files}
    present = {path.name for path in folder.iterdir() if path.suffix in _LOADABLE and path.name != LOCK_FILE}
    if missing := sorted(expected.keys() - present):
        raise ModelMissingError(f"Model {spec.name}: {missing[0]} is missing in {folder}. {again}")
    if lock is not None and (conflict := [one for one in spec.files if lock.files.get(one) != spec.files[one]]):
        raise ModelCorruptError(f"Model {spec.name}: {conflict[0]} in {folder} is not the expected file. {again}")
    for name in sorted(present):
        if name in expected:
            if sha256_of(folder / name) != expected[name]:
                raise ModelCorruptError(
                    f"Model {spec.name}: {folder / name} is not the expected file (its SHA-256 differs). {again}"
                )
        elif lock is not None or not name.endswith((".json", ".txt", ".model")):
            raise ModelCorruptError(f"Model {spec.name}: nothing says what {folder / name} should contain. {again}")
    if not any(name.endswith(_WEIGHTS) for name in present):
        raise ModelMissingError(f"Model {spec.name}: there are no weights (*{_WEIGHTS}) in {folder}. {again}")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file of any size, as hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _repository(spec: ModelSpec) -> str:
    if spec.package is None:
        raise ValueError(f"model {spec.name} of tier hub has no repository")
    return spec.package


def _read_lock(spec: ModelSpec, folder: Path, again: str) -> Lock | None:
    try:
        content: Any = json.loads((folder / LOCK_FILE).read_bytes())
        lock = Lock(content["repository"], content["revision"], dict(content["files"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelCorruptError(f"Model {spec.name}: {folder / LOCK_FILE} cannot be read. {again}") from error
    if (lock.repository, lock.revision) != (spec.package, spec.revision):
        raise ModelCorruptError(f"Model {spec.name}: {folder} holds {lock.repository} at {lock.revision}. {again}")
    return lock
