"""The object store: one interface over a local folder, memory, S3 and compatible servers, GCS and Azure.

What lives here: the interface, its options and :func:`open_store`. Not here: the two engines (``objects_local`` on the
file system, ``objects_remote`` on obstore) and the names of objects, which ``keys`` owns alone.
"""

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes, urlsplit

from media_assets.storage.errors import StorageError

SPOOL_FOLDER = ".spool"
"""Folder of a local store for files that are being made; never listed, no key may lie in it."""

READ_CHUNK_BYTES = 1 << 20
"""How much is held in memory while an object is streamed."""

ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
"""Environment variables that name an S3-compatible server, the strongest first."""

_MAX_KEY_BYTES = 1024
_MAX_SEGMENT_BYTES = 255
# Backslash: SeaweedFS turns it into "/". Control characters: obstore refuses them. No key of the grammar has either.
_FORBIDDEN_IN_KEYS = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True)
class ObjectInfo:
    """What a store tells about one object.

    Attributes:
        key: Key below the root of the store.
        size_bytes: Length of the object.
        etag: Version mark without quotes; opaque, comparable for equality within one store only. ``None`` where the
            store has none.
        modified_at: Last change, aware UTC.
    """

    key: str
    size_bytes: int
    etag: str | None
    modified_at: datetime


@dataclass(frozen=True)
class StoreOptions:
    """How to reach a store. ``None`` leaves a value to the environment (``AWS_ENDPOINT_URL``, ``AWS_REGION``, ...).

    Attributes:
        s3_endpoint_url: Of an S3-compatible server, for example ``http://127.0.0.1:9000``; plain http is allowed.
        s3_region: Region of the bucket.
        s3_access_key_id: Access key.
        s3_secret_access_key: Secret key; never shown.
        public_base_url: Where the objects are published (a CDN), without the key.
    """

    s3_endpoint_url: str | None = None
    s3_region: str | None = None
    s3_access_key_id: str | None = None
    s3_secret_access_key: str | None = field(default=None, repr=False)
    public_base_url: str | None = None


class ObjectStore(ABC):
    """A folder tree of objects. Safe to share between threads; writes are atomic, a reader never sees half an object.

    Every method raises errors of ``storage.errors`` only, except ``ValueError`` for a key that no store could hold
    (empty segments, ``.``, ``..``, control characters, a backslash, over 1024 bytes): that is a bug of the caller.

    Attributes:
        url: Normalised address of the store, without secrets.
    """

    def __init__(self, url: str, options: StoreOptions) -> None:
        self.url = url
        self._options = options

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    @abstractmethod
    def put_bytes(self, key: str, data: bytes, *, only_if_absent: bool = False) -> bool:
        """Store ``data`` under ``key``, replacing what is there.

        Args:
            key: Key of the object.
            data: The whole object.
            only_if_absent: Leave an existing object alone. Of several racing writers exactly one wins.

        Returns:
            ``True`` when it was stored; ``False`` when ``only_if_absent`` and the key was taken.
        """

    @abstractmethod
    def put_file(self, key: str, path: Path, *, consume: bool = False) -> None:
        """Store the file at ``path`` under ``key``, replacing what is there; never holds all of it in memory.

        Args:
            key: Key of the object.
            path: A regular file.
            consume: The file is not needed any more: it is moved where that is possible, and is gone after success.

        Raises:
            ObjectMissing: There is no file at ``path``.
        """

    @abstractmethod
    def get_to_file(self, key: str, path: Path) -> None:
        """Stream an object into the file at ``path``, which is replaced; on an error no file is left there.

        Raises:
            ObjectMissing: No such object.
        """

    @abstractmethod
    def get_bytes(self, key: str) -> bytes:
        """Whole content of a (small) object.

        Raises:
            ObjectMissing: No such object.
        """

    @abstractmethod
    def chunks(self, key: str) -> Iterator[bytes]:
        """Content of an object in pieces of about a megabyte.

        Raises:
            ObjectMissing: No such object.
        """

    def sha256(self, key: str) -> str:
        """SHA-256 of an object's content as 64 lower-case hex digits, read from the store in pieces.

        Raises:
            ObjectMissing: No such object.
        """
        digest = hashlib.sha256()
        for chunk in self.chunks(key):
            digest.update(chunk)
        return digest.hexdigest()

    @abstractmethod
    def head(self, key: str) -> ObjectInfo | None:
        """Facts about one object; ``None`` when there is none."""

    def exists(self, key: str) -> bool:
        """Whether there is an object under ``key``."""
        return self.head(key) is not None

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects below a folder, in no promised order.

        Args:
            prefix: A folder, for example ``tables/files``: ``tables/files2/x`` is not below it. "" lists everything.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; an absent one is fine."""

    def public_url(self, key: str) -> str | None:
        """Address for a browser that needs no credentials; ``None`` when there is none."""
        check_key(key)
        base = self._options.public_base_url
        return None if base is None else f"{base.rstrip('/')}/{quote(key)}"

    def presigned_url(self, key: str, expires_s: int = 3600) -> str | None:
        """Address that lets anybody read the object for a while; ``None`` for a local store and for memory.

        Args:
            key: Key of the object; whether it exists is not checked.
            expires_s: Seconds until the address stops working, 1 to 604,800 (the limit of S3).
        """
        check_key(key)
        if not 1 <= expires_s <= 604_800:
            raise ValueError(f"expires_s is {expires_s}; expected 1 to 604800")
        return None

    def local_path(self, key: str) -> Path | None:
        """File that holds the object, for readers that want a path; ``None`` unless the store is a local folder."""
        check_key(key)
        return None

    @abstractmethod
    def scratch_dir(self) -> Path:
        """Folder for files that are being made, on the store's own file system if it has one; created on demand."""


def open_store(url: str, options: StoreOptions | None = None) -> ObjectStore:
    """Open the store at ``url``. A local folder is created; a bucket must exist (found out at the first use).

    Args:
        url: A folder path, ``file:///folder``, ``memory://`` (a new empty store at each call),
            ``s3://bucket[/prefix]``, or what obstore reads for Google (``gs://``) and Azure (``az://``).
        options: How to reach it; ``None`` takes everything from the environment.

    Raises:
        StorageError: The URL is not usable.
        StoreDenied: The folder cannot be written.
        StoreMissing: The path is not a folder.
    """
    options = options or StoreOptions()
    folder = folder_of_url(url)
    if folder is not None:
        from media_assets.storage.objects_local import LocalObjectStore

        return LocalObjectStore(folder, options)

    from media_assets.storage.objects_remote import open_remote_store

    return open_remote_store(check_url(url), options)


def folder_of_url(url: str) -> Path | None:
    """Absolute folder that a path or ``file://`` URL names, symbolic links kept; ``None`` for any other URL.

    Raises:
        StorageError: Empty, or a ``file://`` URL of another machine.
    """
    if not url.strip():
        raise StorageError("The storage address is empty. Pass a folder or a URL such as s3://bucket/prefix.")
    scheme, separator, _ = url.partition("://")
    if not separator or "/" in scheme:
        return Path(url).expanduser().absolute()
    if scheme.lower() != "file":
        return None
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise StorageError("A file URL must name a folder of this machine. Write it as file:///folder/library.")
    return Path(os.fsdecode(unquote_to_bytes(parts.path))).absolute()


def check_url(url: str) -> str:
    """Normalise the URL of a bucket: no trailing slash, and nothing that could carry a secret.

    Raises:
        StorageError: Credentials, a query or a fragment are part of it, or the bucket is missing. The message does
            not repeat the URL, because it may hold a secret.
    """
    if "?" in url or "#" in url or "@" in url.split("://", 1)[1].split("/", 1)[0]:
        raise StorageError(
            "The storage URL carries credentials or a query, which would end up in logs. "
            "Write s3://bucket/prefix and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead."
        )
    scheme, _, rest = url.partition("://")
    rest = rest.strip("/")
    if not rest and scheme != "memory":
        raise StorageError(f"The storage URL {scheme}:// names no bucket. Write it as {scheme}://bucket/prefix.")
    return f"{scheme.lower()}://{rest}"


def check_key(key: str) -> str:
    """Return ``key`` unchanged.

    Raises:
        ValueError: No store could hold it, or it lies in the spool folder.
    """
    if not key or len(key.encode("utf-8")) > _MAX_KEY_BYTES or _FORBIDDEN_IN_KEYS.search(key):
        raise ValueError(f"{key!a} is no object key")
    segments = key.split("/")
    if segments[0] == SPOOL_FOLDER:
        raise ValueError(f"{key!a} lies in the spool folder, which holds no objects")
    for segment in segments:
        if segment in ("", ".", "..") or len(segment.encode("utf-8")) > _MAX_SEGMENT_BYTES:
            raise ValueError(f"{key!a} is no object key: segment {segment!a}")
    return key


def check_prefix(prefix: str) -> str:
    """Like :func:`check_key` for a folder: "" is the root, one trailing slash is dropped."""
    folder = prefix.removesuffix("/")
    return check_key(folder) if folder else ""
