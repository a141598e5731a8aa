"""How uploads leave an inbox after they were ingested: the interface, and the way out of a local folder.

The only code that changes an inbox. Whether an upload may leave is decided in ``pipeline.departures``; here exactly the
version that was asked for is taken away, or nothing. The way out of a bucket is in ``inbox_departures_s3``.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Protocol

from media_assets.storage.errors import StorageError
from media_assets.storage.inbox import gone, printable, superseded
from media_assets.storage.inbox_local import FOLDER_FLAGS, etag_of, parts_of_key
from media_assets.storage.objects import READ_CHUNK_BYTES, StoreOptions, folder_of_url
from media_assets.storage.objects_local import translate_os_error

LEAVING_SUFFIX = ".depart"
"""What the names of files end with that are being taken out of a folder; listings leave them out."""


class Departures(Protocol):
    """The way out of one inbox."""

    def resume(self, source_key: str, etag: str, size_bytes: int, sha256: str) -> None:
        """Complete, or take back, what a process that died left behind; nothing to do is fine."""

    def leave(self, source_key: str, etag: str, size_bytes: int, sha256: str) -> None:
        """Take exactly this version of an upload out of the inbox.

        Args:
            source_key: As listed.
            etag: As listed.
            size_bytes: As listed.
            sha256: Of its bytes, 64 hex digits: tells uploads apart that come to lie under one name.

        Raises:
            ObjectMissing: It is gone already.
            PreconditionFailed: It is another version now, which stays.
            StorageError: It cannot leave; the message says why. It is still there.
        """


def open_departures(inbox_url: str, done_url: str | None, options: StoreOptions) -> Departures:
    """Open the way out of an inbox.

    Args:
        inbox_url: Of the inbox: a folder, ``file://`` or ``s3://``.
        done_url: Where uploads are moved to; ``None`` deletes them.
        options: How to reach a bucket.

    Raises:
        StorageError: The inbox lies in the folder for what is done, or one is a folder and the other a bucket.
    """
    folder = folder_of_url(inbox_url)
    done = folder_of_url(done_url) if done_url is not None else None
    if done_url is not None and (folder is None) != (done is None):
        raise StorageError(
            f"Uploads cannot be moved from {inbox_url} to {done_url}. Let inbox_done name a folder for a local inbox, "
            "and s3://bucket/prefix for one in a bucket."
        )
    if folder is not None:
        if done is not None and (done.resolve() == folder.resolve() or done.resolve() in folder.resolve().parents):
            raise StorageError(
                f"The inbox {folder} lies in {done}, so that what is moved there could come back. "
                "Let inbox_done name another folder."
            )
        return LocalDepartures(folder, done)
    from media_assets.storage.inbox_departures_s3 import S3Departures

    return S3Departures(inbox_url, done_url, options)


def done_names(source_key: str, sha256: str) -> Iterator[str]:
    """Names for an upload that is moved: its own, then one that no other content has."""
    yield source_key
    path = PurePosixPath(source_key)
    yield str(path.with_name(f"{path.stem}.{sha256[:16]}{path.suffix}"))


class LocalDepartures:
    """The way out of a folder.

    A file is renamed first and looked at then: a newer version that comes in between two system calls is put back, and
    never removed unseen. No link is followed.

    Args:
        root: The inbox.
        done: Folder that files are moved to; ``None`` deletes them.
    """

    def __init__(self, root: Path, done: Path | None) -> None:
        self._root = root.resolve()
        self._done = done

    def resume(self, source_key: str, etag: str, size_bytes: int, sha256: str) -> None:
        """See :meth:`Departures.resume`."""
        with self._translated(source_key), self._folder(source_key) as (folder, name):
            hidden = _hidden(name)
            with suppress(FileNotFoundError):
                status = os.stat(hidden, dir_fd=folder, follow_symlinks=False)
                if _is_version(status, etag, size_bytes):
                    self._take(folder, hidden, source_key, sha256)
                else:
                    _put_back(folder, hidden, name)

    def leave(self, source_key: str, etag: str, size_bytes: int, sha256: str) -> None:
        """See :meth:`Departures.leave`."""
        with self._translated(source_key), self._folder(source_key) as (folder, name):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                raise StorageError(f"{printable(source_key)} is a link, and links stay. Remove it yourself.")
            if not _is_version(status, etag, size_bytes):
                raise superseded(source_key)
            hidden = _hidden(name)
            os.rename(name, hidden, src_dir_fd=folder, dst_dir_fd=folder)
            if not _is_version(os.stat(hidden, dir_fd=folder, follow_symlinks=False), etag, size_bytes):
                _put_back(folder, hidden, name)
                raise superseded(source_key)
            self._take(folder, hidden, source_key, sha256)

    def _take(self, folder: int, hidden: bytes, source_key: str, sha256: str) -> None:
        """Delete the hidden file, or move it; on an error it is where it was."""
        if self._done is None:
            os.unlink(hidden, dir_fd=folder)
            return
        try:
            self._move(folder, hidden, source_key, sha256, self._done)
        except BaseException as error:
            # Under its own name it is an upload again, of the same version: the ledger knows it.
            with suppress(FileNotFoundError):
                _put_back(folder, hidden, source_key.rpartition("/")[2].encode())
            if isinstance(error, OSError):  # not the upload, as errors further out would be read
                raise translate_os_error(error, f"The folder {self._done}", self._done) from error
            raise

    def _move(self, folder: int, hidden: bytes, source_key: str, sha256: str, done: Path) -> None:
        for name in done_names(source_key, sha256):
            target = done / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(target):
                if target.is_file() and not target.is_symlink() and _sha256(target) == sha256:
                    os.unlink(hidden, dir_fd=folder)
                    return
                continue
            try:
                os.rename(hidden, target, src_dir_fd=folder)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self._copy(folder, hidden, target, sha256)
                os.unlink(hidden, dir_fd=folder)
            return
        raise StorageError(f"{done / source_key} is taken by another file. Move that one away.")

    @staticmethod
    def _copy(folder: int, hidden: bytes, target: Path, sha256: str) -> None:
        """Copy to another file system: written, flushed to the disk and compared before anything is removed."""
        unfinished = target.with_name(f".{target.name[:80]}{LEAVING_SUFFIX}")
        descriptor = os.open(hidden, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "rb") as source, unfinished.open("wb") as copy:
                while chunk := source.read(READ_CHUNK_BYTES):
                    copy.write(chunk)
                copy.flush()
                os.fsync(copy.fileno())
                status = os.fstat(source.fileno())
            os.utime(unfinished, ns=(status.st_atime_ns, status.st_mtime_ns))
            if _sha256(unfinished) != sha256:
                raise StorageError(f"The copy {target} has other bytes than the upload. Check the disk.")
            unfinished.rename(target)
        finally:
            unfinished.unlink(missing_ok=True)

    @contextmanager
    def _folder(self, source_key: str) -> Iterator[tuple[int, bytes]]:
        """Descriptor of the folder of an upload, reached without following links, and the name of the upload."""
        parts = parts_of_key(source_key)
        if parts is None:
            raise gone(source_key)
        *folders, name = parts
        into = os.open(self._root, FOLDER_FLAGS)
        try:
            for folder in folders:
                deeper = os.open(folder, FOLDER_FLAGS, dir_fd=into)
                os.close(into)
                into = deeper
            yield into, name
        finally:
            os.close(into)

    @contextmanager
    def _translated(self, source_key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR) and self._root.is_dir():
                raise gone(source_key) from None
            if error.errno == errno.ELOOP:
                raise superseded(source_key) from None
            raise translate_os_error(error, f"The upload {printable(source_key)}", self._root) from error


def _hidden(name: bytes) -> bytes:
    return b"." + hashlib.sha256(name).hexdigest()[:24].encode() + LEAVING_SUFFIX.encode()


def _is_version(status: os.stat_result, etag: str, size_bytes: int) -> bool:
    return stat.S_ISREG(status.st_mode) and etag_of(status) == etag and status.st_size == size_bytes


def _put_back(folder: int, hidden: bytes, name: bytes) -> None:
    """Give a file its name back, or, where a newer one has that name by now, a name of its own: it is an upload too."""
    stem, dot, extension = name.rpartition(b".")
    status = os.stat(hidden, dir_fd=folder, follow_symlinks=False)
    mark = b"-" + etag_of(status).encode()
    for free in (name, (stem[:180] + mark + dot + extension) if stem else name[:180] + mark):
        try:
            os.stat(free, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            os.rename(hidden, free, src_dir_fd=folder, dst_dir_fd=folder)
            return


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
