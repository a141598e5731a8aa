"""An inbox in a local folder: a sorted walk that can stop and go on anywhere, and reading that trusts no name.

What lives here: how the file system is read. Names are bytes inside (any Linux name is accepted), text at the border.
No file is opened while listing; links to folders and whatever leads out of the inbox are never followed.
"""

import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from media_assets.media.errors import ReasonCode
from media_assets.storage.errors import StorageError, StoreDenied, StoreMissing
from media_assets.storage.inbox import (
    DEFAULT_IGNORE,
    IgnoreRules,
    InboxObject,
    Page,
    gone,
    printable,
    superseded,
    too_many_bytes,
)
from media_assets.storage.objects import READ_CHUNK_BYTES
from media_assets.storage.objects_local import translate_os_error

_Parts = tuple[bytes, ...]
"""A path below the root, component by component; tuples compare in the order of the walk."""

_Found = tuple[_Parts, InboxObject]

_MEDIA_EXTENSIONS = frozenset(
    b".avi .avif .bmp .dng .gif .heic .heif .jpe .jpeg .jpg .m4v .mkv .mov .mp4 .png .tif .tiff .webm .webp".split()
)
_CLOCK_SKEW_S = 60.0
"""A time stamp up to this far ahead is a file server's clock, and the file counts as new; beyond it, it is nonsense."""
_PAUSE_S = 60.0
"""A listing goes on with the folder listings it holds for this long; then it reads the folders again."""

_PROBLEMS = {
    ReasonCode.NAME_NOT_UTF8: "The name is not valid UTF-8 (the other bytes are shown as \\xNN). Rename the file.",
    ReasonCode.NAME_TOO_LONG: "The path is too long for the operating system. Shorten the names of its folders.",
    ReasonCode.SYMLINK_BROKEN: "This is a link to something that does not exist. Put the file itself here.",
    ReasonCode.SYMLINK_LOOP: "This is a link that leads back to itself. Remove it.",
    ReasonCode.SYMLINK_OUTSIDE_INBOX: "This is a link that leads out of the inbox. Put the file itself here.",
    ReasonCode.SYMLINK_TO_FOLDER: "This is a link to a folder, which is not followed. Put the folder itself here.",
}
_EMPTY_FOLDER = "This is an empty folder with the name of a picture or video. Remove it and upload the file."
_SPECIAL_FILE = "This is a pipe, socket or device and no file. Remove it."
_UNREADABLE_FOLDER = "This folder cannot be read; fix its permissions."
_UNREADABLE_FILE = "This file cannot be read; fix its permissions."


class LocalInbox:
    """Uploads in a folder and its subfolders. See :class:`media_assets.storage.inbox.Inbox` for the contract.

    Attributes:
        url: ``file://`` URL of the folder, links resolved.
    """

    def __init__(
        self,
        root: Path,
        *,
        settle_s: float,
        ignore: Sequence[str] = DEFAULT_IGNORE,
        exclude: Sequence[Path] = (),
    ) -> None:
        resolved = root.resolve()
        self.url = resolved.as_uri()
        self._shown_root = root
        self._root = os.fsencode(resolved).rstrip(b"/")  # "/" itself becomes b"", so that joining is plain
        self._settle_s = settle_s
        self._ignore = IgnoreRules(ignore)
        self._exclude = frozenset(os.fsencode(path.resolve()) for path in exclude)
        self._paused: tuple[str, float, Iterator[_Found]] | None = None

    def list(self, after: str | None, limit: int) -> Page:
        """Walk on from ``after``; see :meth:`Inbox.list`."""
        walk = self._resumed(after)
        objects: list[InboxObject] = []
        for parts, found in walk:
            objects.append(found)
            if len(objects) >= limit:
                position = quote_from_bytes(b"/".join(parts))
                self._paused = (position, time.monotonic(), walk)
                return Page(tuple(objects), position)
        return Page(tuple(objects), None)

    def head(self, source_key: str) -> InboxObject | None:
        """Look at one path; see :meth:`Inbox.head`."""
        parts = parts_of_key(source_key)
        if parts is None:
            return None
        try:
            status = os.lstat(self._path(parts))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
                return None
            raise self._failure(error, source_key) from error
        return None if stat.S_ISDIR(status.st_mode) else self._examined(parts, status)[0]

    def fetch(self, source_key: str, etag: str, size_bytes: int, dest: Path, max_bytes: int) -> str:
        """Copy and hash one file in a single pass; see :meth:`Inbox.fetch`."""
        if size_bytes > max_bytes:
            raise too_many_bytes(max_bytes)
        try:
            descriptor = self._open(source_key)
        except OSError as error:
            raise self._failure(error, source_key) from error
        try:
            self._check_version(descriptor, source_key, etag, size_bytes)
            digest = self._copied(descriptor, source_key, size_bytes, dest)
            self._check_version(descriptor, source_key, etag, size_bytes)
        except OSError as error:
            dest.unlink(missing_ok=True)
            raise translate_os_error(error, f"The folder {dest.parent}", dest.parent) from error
        except BaseException:
            dest.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        return digest

    # Listing

    def _resumed(self, after: str | None) -> Iterator[_Found]:
        paused, self._paused = self._paused, None
        if paused is not None and paused[0] == after and time.monotonic() - paused[1] < _PAUSE_S:
            return paused[2]  # a folder of a million names is read once for all its pages
        return self._walk(tuple(unquote_to_bytes(after).split(b"/")) if after else ())

    def _walk(self, after: _Parts) -> Iterator[_Found]:
        """All objects behind ``after``; folders that lie wholly before it are not read."""
        try:
            top = self._names((), after)
        except OSError as error:
            raise self._failure(error, "") from error
        pending: list[tuple[_Parts, Iterator[bytes]]] = [((), iter(top))]
        while pending:  # not recursive: a path may have 2000 components
            folder, names = pending[-1]
            name = next(names, None)
            if name is None:
                pending.pop()
                continue
            parts = (*folder, name)
            try:
                status = os.lstat(self._path(parts))
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG and parts > after:
                    yield parts, self._too_deep(parts)
                continue  # otherwise it was removed while listing
            if stat.S_ISDIR(status.st_mode):
                found, below = self._entered(parts, status, after)
                pending.append((parts, iter(below)))
            else:
                found = self._visited(parts, status)
            if found is not None and parts > after:
                yield parts, found

    def _visited(self, parts: _Parts, status: os.stat_result) -> InboxObject | None:
        """What is to be listed for something other than a folder."""
        if self._ignore.has_file(os.fsdecode(parts[-1])):
            return None
        found, settled = self._examined(parts, status)
        return found if settled else None

    def _entered(
        self, parts: _Parts, status: os.stat_result, after: _Parts
    ) -> tuple[InboxObject | None, Sequence[bytes]]:
        """What is to be listed for a folder itself, and the names in it that are to be visited."""
        if self._path(parts) in self._exclude or self._ignore.has_folder(os.fsdecode(parts[-1])):
            return None, ()
        try:
            below = self._names(parts, after)
            # Whether it is empty matters only when it is met, not when a listing goes on inside of it.
            if not below and parts > after and _is_media_name(parts[-1]) and self._settled(status):
                return _problem(parts, status, ReasonCode.NOT_A_FILE, _EMPTY_FOLDER), ()
        except (FileNotFoundError, NotADirectoryError):
            return None, ()  # removed while listing
        except OSError:
            # It must not hide the other folders.
            return _problem(parts, status, ReasonCode.NOT_A_FILE, _UNREADABLE_FOLDER, "-unreadable"), ()
        return None, below

    def _names(self, folder: _Parts, after: _Parts) -> Sequence[bytes]:
        """Names in a folder that are not before ``after``, sorted by their bytes."""
        path = self._path(folder) or b"/"
        names = sorted(os.listdir(path))  # noqa: PTH208 - Path cannot hold the bytes of every name
        if not os.access(path, os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if len(after) > len(folder) and after[: len(folder)] == folder:
            return [name for name in names if name >= after[len(folder)]]
        return names

    def _settled(self, *statuses: os.stat_result) -> bool:
        if self._settle_s <= 0:
            return True
        now = time.time()
        # Both stamps: a copy that keeps the old mtime still has a new ctime.
        stamps = [stamp for status in statuses for stamp in (status.st_mtime, status.st_ctime)]
        return not any(-_CLOCK_SKEW_S <= now - stamp < self._settle_s for stamp in stamps)

    def _examined(self, parts: _Parts, status: os.stat_result) -> tuple[InboxObject, bool]:
        """What something other than a folder is, and whether it has settled."""
        if stat.S_ISLNK(status.st_mode):
            return self._examined_link(parts, status)
        if not stat.S_ISREG(status.st_mode):
            return _problem(parts, status, ReasonCode.NOT_A_FILE, _SPECIAL_FILE), True
        return self._examined_file(parts, self._path(parts), status), self._settled(status)

    def _examined_link(self, parts: _Parts, link: os.stat_result) -> tuple[InboxObject, bool]:
        settled = self._settled(link)
        try:
            target = os.path.realpath(self._path(parts), strict=True)
            status = os.lstat(target)
        except OSError as error:
            reasons = {errno.ELOOP: ReasonCode.SYMLINK_LOOP, errno.EACCES: ReasonCode.SYMLINK_OUTSIDE_INBOX}
            return _problem(parts, link, reasons.get(error.errno or 0, ReasonCode.SYMLINK_BROKEN)), settled
        if target != self._root and not self._inside(target):
            return _problem(parts, link, ReasonCode.SYMLINK_OUTSIDE_INBOX), settled
        if stat.S_ISDIR(status.st_mode):
            return _problem(parts, link, ReasonCode.SYMLINK_TO_FOLDER), settled
        if not stat.S_ISREG(status.st_mode):
            return _problem(parts, link, ReasonCode.NOT_A_FILE, _SPECIAL_FILE), settled
        return self._examined_file(parts, target, status), self._settled(link, status)

    def _examined_file(self, parts: _Parts, path: bytes, status: os.stat_result) -> InboxObject:
        source_key, is_utf8 = _key_of_parts(parts)
        if not is_utf8:
            return _problem(parts, status, ReasonCode.NAME_NOT_UTF8)
        if not os.access(path, os.R_OK):
            # A mark in the etag, because chmod changes neither time nor size: readable, it is a new version.
            return _problem(parts, status, ReasonCode.NOT_A_FILE, _UNREADABLE_FILE, "-unreadable")
        return InboxObject(source_key, etag_of(status), status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))

    def _too_deep(self, parts: _Parts) -> InboxObject:
        # Its status cannot be had by path; its folder's stands in.
        return _problem(parts, os.lstat(self._path(parts[:-1])), ReasonCode.NAME_TOO_LONG)

    # Reading

    def _open(self, source_key: str) -> int:
        """Descriptor of a regular file below the root; no component is followed after it was resolved and checked."""
        parts = parts_of_key(source_key)
        if parts is None:
            raise gone(source_key)
        target = os.path.realpath(self._path(parts), strict=True)
        if not self._inside(target):
            raise superseded(source_key)
        *folders, name = target[len(self._root) + 1 :].split(b"/")
        into = os.open(self._root or b"/", FOLDER_FLAGS)
        try:
            for folder in folders:
                deeper = os.open(folder, FOLDER_FLAGS, dir_fd=into)
                os.close(into)
                into = deeper
            # Looked at first: opening a device or pipe can have effects of its own.
            if not stat.S_ISREG(os.stat(name, dir_fd=into, follow_symlinks=False).st_mode):
                raise superseded(source_key)
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=into)
        finally:
            os.close(into)

    @staticmethod
    def _check_version(descriptor: int, source_key: str, etag: str, size_bytes: int) -> None:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or etag_of(status) != etag or status.st_size != size_bytes:
            raise superseded(source_key)

    def _copied(self, descriptor: int, source_key: str, size_bytes: int, dest: Path) -> str:
        digest = hashlib.sha256()
        copied = 0
        with dest.open("wb") as target:
            while chunk := self._read(descriptor, source_key):
                copied += len(chunk)
                if copied > size_bytes:
                    raise superseded(source_key)
                digest.update(chunk)
                target.write(chunk)
        if copied != size_bytes:
            raise superseded(source_key)
        return digest.hexdigest()

    def _read(self, descriptor: int, source_key: str) -> bytes:
        try:
            return os.read(descriptor, READ_CHUNK_BYTES)
        except OSError as error:  # told apart from an error of the disk that is written
            raise self._failure(error, source_key) from error

    # Paths and errors

    def _path(self, parts: _Parts) -> bytes:
        return b"/".join((self._root, *parts))

    def _inside(self, path: bytes) -> bool:
        if not path.startswith(self._root + b"/"):
            return False
        return not any(path == folder or path.startswith(folder + b"/") for folder in self._exclude)

    def _failure(self, error: OSError, source_key: str) -> StorageError:
        """What an error of the operating system means; ``source_key`` "" is the inbox itself."""
        root = self._shown_root
        if not root.exists():
            return StoreMissing(f"The inbox folder {root} does not exist. Create it or pass another path.")
        if not root.is_dir():
            return StoreMissing(f"The inbox {root} is a file. Pass the folder that it lies in.")
        if not source_key:
            if error.errno == errno.EACCES:
                return StoreDenied(f"The inbox folder {root} cannot be read. Fix its permissions or pass another path.")
            return translate_os_error(error, f"The inbox folder {root}", root)
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return gone(source_key)
        if error.errno == errno.ELOOP:
            return superseded(source_key)
        return translate_os_error(error, f"The upload {printable(source_key)}", root)


FOLDER_FLAGS = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
"""How a folder is opened on the way down to a file: links are not followed."""


def etag_of(status: os.stat_result) -> str:
    """Version mark of a file: time of its last change and its length."""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def _key_of_parts(parts: _Parts) -> tuple[str, bool]:
    """Source key, and whether the names are UTF-8; if not, the key is for people and cannot be fetched."""
    path = b"/".join(parts)
    try:
        return path.decode("utf-8"), True
    except UnicodeDecodeError:
        return path.decode("utf-8", "backslashreplace"), False


def parts_of_key(source_key: str) -> _Parts | None:
    """Path components of a key; ``None`` when no listing can have made it."""
    with suppress(UnicodeEncodeError):
        parts = tuple(source_key.encode("utf-8").split(b"/"))
        if b"\0" not in b"".join(parts) and not {b"", b".", b".."}.intersection(parts):
            return parts
    return None


def _is_media_name(name: bytes) -> bool:
    return os.path.splitext(name)[1].lower() in _MEDIA_EXTENSIONS  # noqa: PTH122 - bytes


def _problem(
    parts: _Parts, status: os.stat_result, reason: ReasonCode, message: str | None = None, etag_suffix: str = ""
) -> InboxObject:
    size_bytes = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return InboxObject(
        source_key=_key_of_parts(parts)[0],
        etag=etag_of(status) + etag_suffix,
        size_bytes=size_bytes,
        modified_at=datetime.fromtimestamp(status.st_mtime, UTC),
        problem=reason,
        problem_message=message or _PROBLEMS[reason],
    )
