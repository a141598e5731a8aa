"""The object store in a local folder: plain files, made durable (fsync) before they appear under their key.

Written on ``os`` and not on obstore's LocalStore, because a library on a laptop needs what that does not give: fsync,
moving a finished file in, error numbers to name the full or read-only folder, and listings that survive odd names.
"""

import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from media_assets.storage.errors import (
    ObjectMissing,
    StorageError,
    StoreDenied,
    StoreFull,
    StoreMissing,
    StoreUnreachable,
)
from media_assets.storage.objects import (
    READ_CHUNK_BYTES,
    SPOOL_FOLDER,
    ObjectInfo,
    ObjectStore,
    StoreOptions,
    check_key,
    check_prefix,
)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
# A network file system that is away for a moment, or too many open files: worth another try.
_UNREACHABLE = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EMFILE, errno.ENFILE})
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})
_TEMPORARY_PREFIX = ".media_assets-"


class LocalObjectStore(ObjectStore):
    """Objects as files below a root folder. See :class:`ObjectStore` for the contract."""

    def __init__(self, root: Path, options: StoreOptions) -> None:
        self._root = root
        super().__init__(root.as_uri(), options)
        with _translated(f"The library folder {root}", root):
            if root.exists() and not root.is_dir():
                raise StoreMissing(f"{root} is a file, not a folder. Pass a folder for the library.")
            root.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
            raise StoreDenied(f"The library folder {root} cannot be written. Fix its permissions or pass another one.")

    def put_bytes(self, key: str, data: bytes, *, only_if_absent: bool = False) -> bool:
        """Write, fsync, then rename or link into place."""
        target = self._path(key)
        with self._writing(target):
            temporary = self._temporary(self.scratch_dir())
            try:
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                if only_if_absent:
                    return self._publish_new(temporary, target)
                self._publish(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
        return True

    def put_file(self, key: str, path: Path, *, consume: bool = False) -> None:
        """Move (same file system) or copy, fsync, then rename into place."""
        target = self._path(key)
        if not path.is_file():
            raise ObjectMissing(f"There is no file {path.name} to store. Make it again and repeat.", key)
        with self._writing(target):
            if consume and self._moved(path, target):
                return
            temporary = self._temporary(self.scratch_dir())
            try:
                shutil.copyfile(path, temporary)
                _fsync(temporary)
                self._publish(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
            if consume:
                path.unlink()

    def get_bytes(self, key: str) -> bytes:
        """Read the file."""
        with self._reading(key) as path:
            return path.read_bytes()

    def get_to_file(self, key: str, path: Path) -> None:
        """Copy the file."""
        with self._reading(key) as source, source.open("rb") as readable:
            try:
                with _translated(f"The folder {path.parent}", path.parent), path.open("wb") as writable:
                    shutil.copyfileobj(readable, writable, READ_CHUNK_BYTES)
            except BaseException:
                path.unlink(missing_ok=True)
                raise

    def chunks(self, key: str) -> Iterator[bytes]:
        """Read the file in pieces."""
        with self._reading(key) as path, path.open("rb") as file:
            while chunk := file.read(READ_CHUNK_BYTES):
                yield chunk

    def head(self, key: str) -> ObjectInfo | None:
        """Stat the file; a folder is no object."""
        try:
            with self._reading(key) as path:
                return _info(key, path.stat())
        except ObjectMissing:
            return None

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Walk the folder, sorted within each folder; links are followed, stray names and other than files skipped."""
        folder = check_prefix(prefix)
        self._check_root()
        with _translated(f"A folder of the library {self._root}", self._root):
            yield from self._walk(self._root / folder if folder else self._root, folder, frozenset())

    def delete(self, key: str) -> None:
        """Unlink the file; folders stay."""
        path = self._path(key)
        with self._writing(path):
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return

    def public_url(self, key: str) -> str | None:
        """The published address, else the ``file://`` URL."""
        return super().public_url(key) or self._path(key).as_uri()

    def local_path(self, key: str) -> Path | None:
        """The file of the object, whether it exists or not."""
        return self._path(key)

    def scratch_dir(self) -> Path:
        """``.spool`` in the root, so that finished files are moved in and not copied."""
        spool = self._root / SPOOL_FOLDER
        if not spool.is_dir():
            self._check_root()
            with _translated(f"The spool folder {spool}", spool):
                spool.mkdir(exist_ok=True)
        return spool

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _check_root(self) -> None:
        # A library on a disk that was unplugged must not be made anew under its mount point, nor look empty.
        if not self._root.is_dir():
            raise StoreMissing(f"The library folder {self._root} is gone. Mount or restore it, then repeat.")

    @contextmanager
    def _reading(self, key: str) -> Iterator[Path]:
        path = self._path(key)
        with _translated(f"The file {path}", path):
            try:
                if path.is_file():
                    yield path
                    return
            except FileNotFoundError:
                pass  # removed since: reported below like any other absent object
        self._check_root()
        raise ObjectMissing(f"The library has no object {key}. Run the assets again that should have made it.", key)

    @contextmanager
    def _writing(self, target: Path) -> Iterator[None]:
        self._check_root()
        with _translated(f"The folder {target.parent}", target.parent):
            yield

    @staticmethod
    def _temporary(folder: Path) -> Path:
        return folder / f"{_TEMPORARY_PREFIX}{secrets.token_hex(8)}.tmp"

    def _moved(self, path: Path, target: Path) -> bool:
        """Move ``path`` in; ``False`` when it is a link or lies on another file system."""
        if path.is_symlink():
            return False
        _fsync(path)
        try:
            self._make_folders(target.parent)
            path.replace(target)
        except OSError as error:
            if error.errno == errno.EXDEV:
                return False
            raise
        _fsync(target.parent)
        return True

    def _publish(self, temporary: Path, target: Path) -> None:
        self._make_folders(target.parent)
        try:
            temporary.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # Somebody put a part of the library on another disk with a link: finish beside the target.
            beside = self._temporary(target.parent)
            try:
                shutil.copyfile(temporary, beside)
                _fsync(beside)
                beside.replace(target)
            finally:
                beside.unlink(missing_ok=True)
        _fsync(target.parent)

    def _publish_new(self, temporary: Path, target: Path) -> bool:
        self._make_folders(target.parent)
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS and error.errno != errno.EXDEV:
                raise
            # exFAT, some network drives: no hard links. A lock keeps the writers of this machine apart instead.
            with (self.scratch_dir() / "put.lock").open("wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if target.exists():
                    return False
                self._publish(temporary, target)
        _fsync(target.parent)
        return True

    def _make_folders(self, folder: Path) -> None:
        """Create missing folders below the root, never the root itself."""
        if folder.is_dir():
            return
        if folder.parent != self._root:
            self._make_folders(folder.parent)
        folder.mkdir(exist_ok=True)

    def _walk(self, folder: Path, key: str, above: frozenset[tuple[int, int]]) -> Iterator[ObjectInfo]:
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries)
            identity = folder.stat()
        except (FileNotFoundError, NotADirectoryError):
            return  # no such folder, or removed while listing
        here = (identity.st_dev, identity.st_ino)
        if here in above:
            return  # a link back up
        for name in names:
            child = f"{key}/{name}" if key else name
            if child == SPOOL_FOLDER or name.startswith(_TEMPORARY_PREFIX) or not _is_key(child):
                continue
            try:
                status = (folder / name).stat()
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ELOOP):
                    continue  # removed while listing, or a broken link
                raise
            if stat.S_ISDIR(status.st_mode):
                yield from self._walk(folder / name, child, above | {here})
            elif stat.S_ISREG(status.st_mode):
                yield _info(child, status)


def _is_key(key: str) -> bool:
    """Whether a file found in the folder can be an object; stray files with other names are not ours."""
    try:
        check_key(key)
    except ValueError:  # includes UnicodeEncodeError: a name that is not UTF-8
        return False
    return True


def _info(key: str, status: os.stat_result) -> ObjectInfo:
    modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
    return ObjectInfo(key, status.st_size, f"{status.st_mtime_ns:x}-{status.st_size:x}", modified_at)


def _fsync(path: Path) -> None:
    """Make a file's content, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network drives cannot sync a folder
            raise
    finally:
        os.close(descriptor)


@contextmanager
def _translated(subject: str, place: Path) -> Iterator[None]:
    """Turn OSError into the tree of ``storage.errors``; ``subject`` begins the sentence."""
    try:
        yield
    except OSError as error:
        raise translate_os_error(error, subject, place) from error


def translate_os_error(error: OSError, subject: str, place: Path) -> StorageError:
    """The storage error that tells a user what an ``OSError`` means.

    Args:
        error: What the operating system said.
        subject: Beginning of the sentence, for example "The folder X".
        place: File or folder that it is about.
    """
    if error.errno in _FULL:
        return StoreFull(
            f"{subject} is on a full disk or over its quota. Free space on the disk of {place}, then repeat."
        )
    if error.errno in _DENIED:
        return StoreDenied(
            f"{subject} cannot be used: {error.strerror}. Fix the permissions of {place}, or pass another folder."
        )
    if error.errno in _UNREACHABLE:
        return StoreUnreachable(f"{subject} does not answer: {error.strerror}. Check the disk or mount, then repeat.")
    if isinstance(error, FileNotFoundError | NotADirectoryError | FileExistsError):
        return StoreMissing(f"{subject} is not there or is no folder: {error.strerror}. Check {place}, then repeat.")
    return StorageError(f"{subject} cannot be used: {error.strerror or error}. Check {place}, then repeat.")
