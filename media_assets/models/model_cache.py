"""Models that were converted on this machine: one file each in the cache, with its SHA-256 beside it.

A file is there when both are; a crash between the two leaves a file that counts as missing.
"""

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from media_assets.models.errors import ModelError
from media_assets.models.model_files import read_checked

_POLL_S = 0.2


def read_converted(path: Path, model: str) -> bytes | None:
    """Return the contents of a converted model, ``None`` when it is not there.

    Raises:
        ModelCorruptError: It is not what was written.
        ModelMissingError: It cannot be read.
    """
    try:
        sha256 = _digest_file(path).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return read_checked(path, sha256, model) if path.exists() else None


def write_converted(path: Path, content: bytes) -> None:
    """Write a converted model and its SHA-256, each in one step; a file that is there is replaced.

    Raises:
        OSError: The cache cannot be written.
    """
    digest = _digest_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    digest.unlink(missing_ok=True)  # a new file never stands beside an old checksum
    _replace(path, content)
    _replace(digest, (hashlib.sha256(content).hexdigest() + "\n").encode("ascii"))


@contextlib.contextmanager
def only_one(path: Path, model: str, timeout_s: float) -> Iterator[None]:
    """Let one process of this machine at a time prepare ``path``; others wait.

    Args:
        path: What is prepared; the lock is a file beside it.
        model: Name of the model, for messages.
        timeout_s: Longest wait, in seconds.

    Raises:
        ModelError: Another process still held it after ``timeout_s``.
        OSError: The cache cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout_s
    with path.with_name(path.name + ".lock").open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ModelError(
                        f"Model {model}: another process has been preparing it for {timeout_s:.0f} s. When that has "
                        f"ended, run: media-assets models pull {model}"
                    ) from None
                time.sleep(_POLL_S)
        yield


def _digest_file(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _replace(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # temporary files are private; a cache may be shared
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
