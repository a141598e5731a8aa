"""The object store on obstore: S3 and compatible servers, Google, Azure, and memory for tests.

What lives here: the client's settings and the map from obstore's errors to ``storage.errors``. A server's answer is
reduced to status and error code before it is shown, because the raw text can hold keys and signatures.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, MemoryStore, S3Store, from_url

from media_assets.storage.answers import error_of_answer, no_credentials, unreachable
from media_assets.storage.errors import ObjectMissing, StorageError, StoreDenied
from media_assets.storage.objects import (
    ENDPOINT_VARIABLES,
    READ_CHUNK_BYTES,
    ObjectInfo,
    ObjectStore,
    StoreOptions,
    check_key,
    check_prefix,
)
from media_assets.storage.objects_local import translate_os_error

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, RetryConfig, S3Config

_Engine = S3Store | GCSStore | AzureStore | MemoryStore

# Retries end 8 s after the first try, a connection gets 3 s: a wrong endpoint fails within 11 s.
_RETRIES: "RetryConfig" = {
    "max_retries": 5,
    "retry_timeout": timedelta(seconds=8),
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=3), "base": 2},
}
_CONNECT_TIMEOUT = "3s"
# A server that accepts and then says nothing. Small requests give up early; an upload of a part over a slow line may
# take long before the answer comes.
_CONTROL_READ_TIMEOUT = "10s"
_TRANSFER_READ_TIMEOUT = "120s"
_NO_TOTAL_TIMEOUT = "1d"  # obstore's default would end every download after 30 s
_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 4

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9.]+)</Code>")
_INSTANCE_METADATA = ("169.254.169.254", "metadata.google.internal", "[fd00:ec2::254]")
_CONTENT_TYPES = {
    "avi": "video/x-msvideo",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "gif": "image/gif",
    "heic": "image/heic",
    "html": "text/html; charset=utf-8",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "mkv": "video/x-matroska",
    "mov": "video/quicktime",
    "mp4": "video/mp4",
    "parquet": "application/vnd.apache.parquet",
    "png": "image/png",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "webm": "video/webm",
    "webp": "image/webp",
}


def open_remote_store(url: str, options: StoreOptions) -> "RemoteObjectStore":
    """Open a store that is no local folder. No request is made yet.

    Args:
        url: As ``objects.check_url`` normalised it.
        options: How to reach it.

    Raises:
        StorageError: The scheme or a setting is not usable.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "memory":
        engine = MemoryStore()
        return RemoteObjectStore("memory://", options, engine, engine)
    try:
        if scheme in ("s3", "s3a"):
            bucket, _, prefix = rest.partition("/")
            control, transfer = (
                _s3_engine(bucket, prefix, options, timeout)
                for timeout in (_CONTROL_READ_TIMEOUT, _TRANSFER_READ_TIMEOUT)
            )
            return RemoteObjectStore(f"s3://{rest}", options, control, transfer)
        client: ClientConfig = {"connect_timeout": _CONNECT_TIMEOUT, "timeout": _NO_TOTAL_TIMEOUT}
        other = from_url(url, client_options=client, retry_config=_RETRIES)
    except (exceptions.BaseError, ValueError) as error:
        raise StorageError(
            f"The storage URL {url} cannot be opened ({type(error).__name__}). "
            "Write it as a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix."
        ) from None
    if not isinstance(other, GCSStore | AzureStore):
        raise StorageError(f"A store of kind {scheme}:// is not supported. Use a folder, s3://, gs:// or az://.")
    return RemoteObjectStore(url, options, other, other)


def _s3_engine(bucket: str, prefix: str, options: StoreOptions, read_timeout: str) -> S3Store:
    named = (os.environ.get(name) for name in ENDPOINT_VARIABLES)
    endpoint = options.s3_endpoint_url or next((value for value in named if value), None)
    config: S3Config = {"checksum_algorithm": "SHA256"}
    if endpoint:
        # Servers on an address of their own rarely have a DNS name for each bucket.
        config["endpoint"] = endpoint.rstrip("/")
        config["virtual_hosted_style_request"] = False
    if options.s3_region:
        config["region"] = options.s3_region
    if options.s3_access_key_id:
        config["access_key_id"] = options.s3_access_key_id
    if options.s3_secret_access_key:
        config["secret_access_key"] = options.s3_secret_access_key
    client: ClientConfig = {
        "allow_http": bool(endpoint and endpoint.lower().startswith("http://")),
        "connect_timeout": _CONNECT_TIMEOUT,
        "read_timeout": read_timeout,
        "timeout": _NO_TOTAL_TIMEOUT,
    }
    return S3Store(bucket, prefix=prefix or None, config=config, client_options=client, retry_config=_RETRIES)


class RemoteObjectStore(ObjectStore):
    """Objects behind an obstore engine. See :class:`ObjectStore` for the contract."""

    def __init__(self, url: str, options: StoreOptions, control: _Engine, transfer: _Engine) -> None:
        super().__init__(url, options)
        self._control = control
        self._transfer = transfer
        self._bucket_seen = isinstance(control, MemoryStore)

    def put_bytes(self, key: str, data: bytes, *, only_if_absent: bool = False) -> bool:
        """One PUT (multipart above 8 MiB), with If-None-Match where ``only_if_absent``."""
        check_key(key)
        with self._translated(key, writing=True):
            try:
                obstore.put(
                    self._transfer,
                    key,
                    data,
                    attributes=_attributes(key),
                    mode="create" if only_if_absent else "overwrite",
                    chunk_size=_PART_BYTES,
                    max_concurrency=_PARTS_AT_ONCE,
                )
            except exceptions.AlreadyExistsError:
                return False
        return True

    def put_file(self, key: str, path: Path, *, consume: bool = False) -> None:
        """Stream the file, in parts above 8 MiB; ``consume`` removes it after success."""
        check_key(key)
        if not path.is_file():
            raise ObjectMissing(f"There is no file {path.name} to store. Make it again and repeat.", key)
        try:
            # An open file, not the path: obstore's own "not found" could mean the file or the bucket.
            with path.open("rb") as file, self._translated(key, writing=True):
                obstore.put(
                    self._transfer,
                    key,
                    file,
                    attributes=_attributes(key),
                    chunk_size=_PART_BYTES,
                    max_concurrency=_PARTS_AT_ONCE,
                )
        except OSError as error:
            raise translate_os_error(error, f"The file {path}", path) from error
        if consume:
            path.unlink(missing_ok=True)

    def get_bytes(self, key: str) -> bytes:
        """One GET."""
        check_key(key)
        with self._translated(key):
            return bytes(obstore.get(self._transfer, key).bytes())

    def chunks(self, key: str) -> Iterator[bytes]:
        """Stream one GET."""
        check_key(key)
        with self._translated(key):
            for chunk in obstore.get(self._transfer, key).stream(min_chunk_size=READ_CHUNK_BYTES):
                yield bytes(chunk)

    def get_to_file(self, key: str, path: Path) -> None:
        """Stream one GET into the file."""
        chunks = self.chunks(key)
        try:
            with path.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise translate_os_error(error, f"The folder {path.parent}", path.parent) from error
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def head(self, key: str) -> ObjectInfo | None:
        """One HEAD; the first "no such object" also checks that the bucket exists."""
        check_key(key)
        try:
            with self._translated(key):
                info = _info(obstore.head(self._control, key))
        except ObjectMissing:
            self._check_bucket()
            return None
        self._bucket_seen = True
        return info

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Pages of 1000, fetched while they are consumed."""
        folder = check_prefix(prefix)
        with self._translated(folder):
            for batch in obstore.list(self._control, folder or None, chunk_size=1000):
                for meta in batch:
                    yield _info(meta)

    def delete(self, key: str) -> None:
        """One DELETE."""
        check_key(key)
        try:
            with self._translated(key):
                obstore.delete(self._control, key)
        except ObjectMissing:
            self._check_bucket()

    def presigned_url(self, key: str, expires_s: int = 3600) -> str | None:
        """Signed with the store's own credentials; no request is made."""
        super().presigned_url(key, expires_s)
        if isinstance(self._control, MemoryStore):
            return None
        with self._translated(key):
            return obstore.sign(self._control, "GET", key, timedelta(seconds=expires_s))

    def scratch_dir(self) -> Path:
        """A folder of this account in the system's temporary folder."""
        # Below a folder of the user's own: another account must not be able to plant files here.
        folder = Path(tempfile.gettempdir()) / f"media_assets-spool-{os.getuid()}"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            status = folder.lstat()
        except OSError as error:
            raise translate_os_error(error, f"The spool folder {folder}", folder) from error
        if folder.is_symlink() or status.st_uid != os.getuid():
            raise StoreDenied(f"The spool folder {folder} belongs to somebody else. Remove it or set TMPDIR.")
        return folder

    def _check_bucket(self) -> None:
        """Tell "no such object" from "no such bucket", which look the same in the answer to HEAD (no body)."""
        if not self._bucket_seen:
            with self._translated(""):
                next(iter(obstore.list(self._control, "no-such-folder", chunk_size=1)), None)
            self._bucket_seen = True

    @contextmanager
    def _translated(self, key: str, *, writing: bool = False) -> Iterator[None]:
        try:
            yield
        except (exceptions.BaseError, FileNotFoundError) as error:
            # "from None": the original's text can hold access keys and signatures.
            raise translate_store_error(error, self.url, key, writing=writing) from None


def translate_store_error(error: Exception, url: str, key: str, *, writing: bool = False) -> StorageError:
    """The storage error that tells a user what an error of obstore means.

    Args:
        error: What obstore raised. Only its class, HTTP status and error code are used.
        url: The store, without secrets.
        key: The object that was asked for; "" for the store as a whole.
        writing: A write was refused: then "not found" is about the bucket.
    """
    text = str(error)
    if any(host in text for host in _INSTANCE_METADATA):
        return no_credentials(url)  # the last place where obstore looks for them
    if "incorrectly configured region" in text:
        return error_of_answer(url, key, 301, "PermanentRedirect")
    if match := _STATUS.search(text):
        code = _CODE.search(text)
        about_bucket = writing or not key
        return error_of_answer(url, key, int(match[1]), code[1] if code else "", about_bucket=about_bucket)
    if isinstance(error, FileNotFoundError):
        return error_of_answer(url, key, 404, "")
    if isinstance(error, exceptions.GenericError):
        return unreachable(url)
    return StorageError(f"The store {url} cannot do this ({type(error).__name__}). Check its settings, then repeat.")


def _info(meta: "ObjectMeta") -> ObjectInfo:
    etag = meta["e_tag"]
    return ObjectInfo(meta["path"], meta["size"], None if etag is None else etag.strip('"'), meta["last_modified"])


def _attributes(key: str) -> dict[Any, str]:
    """Content type for browsers that follow a presigned URL; the store's own default for anything else."""
    content_type = _CONTENT_TYPES.get(PurePosixPath(key).suffix.removeprefix(".").lower())
    return {} if content_type is None else {"Content-Type": content_type}
