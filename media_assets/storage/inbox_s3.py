"""An inbox in a bucket: S3 and compatible servers, by boto3.

boto3 and not obstore, because uploaders choose the keys: obstore refuses or changes ``a//b``, ``.`` and encoded keys.
A key is only ever sent back to the server; it never becomes a local path.
"""

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from media_assets.media.errors import ReasonCode
from media_assets.storage.answers import error_of_answer, no_credentials, unreachable
from media_assets.storage.errors import ObjectMissing, StorageError
from media_assets.storage.inbox import (
    DEFAULT_IGNORE,
    IgnoreRules,
    InboxObject,
    Page,
    gone,
    superseded,
    too_many_bytes,
)
from media_assets.storage.objects import ENDPOINT_VARIABLES, READ_CHUNK_BYTES, StoreOptions
from media_assets.storage.objects_local import translate_os_error

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PAGE_KEYS = 1000  # the most that S3 gives at once
_PAUSE_S = 60.0
# Three tries of 3 s: a wrong endpoint fails within 15 s.
_CONNECT_TIMEOUT_S = 3
_READ_TIMEOUT_S = 30
_ATTEMPTS = 3
_EMPTY_NAME = "The object's key ends with a slash, so it has no name. Upload it under a key with a name."


class S3Inbox:
    """Uploads below a prefix of a bucket. See :class:`media_assets.storage.inbox.Inbox` for the contract.

    Attributes:
        url: ``s3://bucket/prefix``; the server is not part of it.
    """

    def __init__(
        self,
        url: str,
        options: StoreOptions,
        *,
        ignore: Sequence[str] = DEFAULT_IGNORE,
        exclude: Sequence[str] = (),
    ) -> None:
        self.url = url
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._ignore = IgnoreRules(ignore)
        self._exclude = tuple(one.removeprefix(f"{url}/") + "/" for one in exclude if one.startswith(f"{url}/"))
        self._client = open_client(url, options)
        self._paused: tuple[str, float, str] | None = None

    def list(self, after: str | None, limit: int) -> Page:
        """List on from ``after``; see :meth:`Inbox.list`."""
        objects: list[InboxObject] = []
        start = self._start(after)
        while True:
            with self._translated(""):
                answer = self._client.list_objects_v2(
                    Bucket=self._bucket,
                    Prefix=self._prefix,
                    MaxKeys=min(limit - len(objects), _PAGE_KEYS),
                    **start,
                )
            contents = answer.get("Contents", [])
            for entry in contents:
                after = entry["Key"].removeprefix(self._prefix)
                found = self._examined(after, entry)
                if found is not None:
                    objects.append(found)
            token = answer.get("NextContinuationToken")
            if not answer["IsTruncated"] or not (token or contents):
                return Page(tuple(objects), None)
            if len(objects) >= limit:
                if after is not None and token:
                    self._paused = (after, time.monotonic(), token)
                return Page(tuple(objects), after)
            start = {"ContinuationToken": token} if token else {"StartAfter": f"{self._prefix}{after}"}

    def head(self, source_key: str) -> InboxObject | None:
        """One HEAD; see :meth:`Inbox.head`."""
        try:
            with self._translated(source_key):
                answer = self._client.head_object(Bucket=self._bucket, Key=self._prefix + source_key)
        except ObjectMissing:
            self._check_bucket()
            return None
        return InboxObject(source_key, answer["ETag"].strip('"'), answer["ContentLength"], answer["LastModified"])

    def fetch(self, source_key: str, etag: str, size_bytes: int, dest: Path, max_bytes: int) -> str:
        """Stream one GET with If-Match; see :meth:`Inbox.fetch`."""
        if size_bytes > max_bytes:
            raise too_many_bytes(max_bytes)
        try:
            with self._translated(source_key):
                answer = self._client.get_object(
                    Bucket=self._bucket, Key=self._prefix + source_key, IfMatch=f'"{etag}"'
                )
        except ObjectMissing:
            self._check_bucket()
            raise
        body = answer["Body"]
        if answer["ContentLength"] != size_bytes:
            body.close()
            raise superseded(source_key)
        try:
            digest = hashlib.sha256()
            with dest.open("wb") as target:
                for chunk in self._chunks(body, source_key):
                    digest.update(chunk)
                    target.write(chunk)
        except OSError as error:
            dest.unlink(missing_ok=True)
            raise translate_os_error(error, f"The folder {dest.parent}", dest.parent) from error
        except BaseException:
            dest.unlink(missing_ok=True)
            raise
        finally:
            body.close()
        return digest.hexdigest()

    def nominated(self, bucket: str, key: str) -> InboxObject | None:
        """What an event of the bucket is about, as a listing would show it now; ``None`` when it would not."""
        source_key = key.removeprefix(self._prefix)
        if bucket != self._bucket or not key.startswith(self._prefix) or not source_key or source_key.endswith("/"):
            return None
        return None if self.leaves_out(source_key) else self.head(source_key)

    def leaves_out(self, source_key: str) -> bool:
        """Whether the listing never shows this key."""
        return source_key.startswith(self._exclude) or self._ignore.has_path(source_key)

    def _check_bucket(self) -> None:
        """Tell a missing bucket, which would make every upload look removed. HEAD and SeaweedFS do not say it."""
        with self._translated(""):
            self._client.head_bucket(Bucket=self._bucket)

    def _start(self, after: str | None) -> dict[str, Any]:
        """Where to begin: after the key; in the same process by the server's own token.

        The token is exact everywhere. SeaweedFS skips all of ``d/`` when it is told to start after an object ``d``.
        """
        paused, self._paused = self._paused, None
        if after is None:
            return {}
        if paused is not None and paused[0] == after and time.monotonic() - paused[1] < _PAUSE_S:
            return {"ContinuationToken": paused[2]}
        return {"StartAfter": self._prefix + after}

    def _examined(self, source_key: str, entry: Any) -> InboxObject | None:
        etag, size_bytes = entry["ETag"].strip('"'), entry["Size"]
        if not source_key or source_key.endswith("/"):
            if size_bytes == 0:
                return None  # how consoles show an empty folder
            return InboxObject(
                source_key or "/", etag, size_bytes, entry["LastModified"], ReasonCode.NOT_A_FILE, _EMPTY_NAME
            )
        if self.leaves_out(source_key):
            return None
        return InboxObject(source_key, etag, size_bytes, entry["LastModified"])

    def _chunks(self, body: Any, source_key: str) -> Iterator[bytes]:
        with self._translated(source_key):
            yield from body.iter_chunks(READ_CHUNK_BYTES)

    def _translated(self, source_key: str) -> AbstractContextManager[None]:
        return translated(self.url, source_key)


def open_client(url: str, options: StoreOptions) -> "S3Client":
    """Client for the bucket of ``url``; no connection is made yet.

    Raises:
        StorageError: boto3 is not installed, or the options are not usable.
    """
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise StorageError(
            "An inbox in a bucket needs boto3, which is not installed. Run: pip install 'media_assets[s3]'"
        ) from None
    has_endpoint = options.s3_endpoint_url or any(os.environ.get(name) for name in ENDPOINT_VARIABLES)
    config = Config(
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        max_pool_connections=32,
        # Servers on an address of their own rarely have a DNS name for each bucket.
        s3={"addressing_style": "path"} if has_endpoint else {},
    )
    try:
        # A session of its own: boto3's default one is not safe to create from two threads.
        return boto3.session.Session().client(
            "s3",
            endpoint_url=options.s3_endpoint_url,
            region_name=options.s3_region,
            aws_access_key_id=options.s3_access_key_id,
            aws_secret_access_key=options.s3_secret_access_key,
            config=config,
        )
    except (BotoCoreError, ValueError) as error:
        raise StorageError(
            f"The settings of {url} cannot be used ({type(error).__name__}). "
            "Check the endpoint URL, the region and the AWS profile, then repeat."
        ) from None


@contextmanager
def translated(url: str, source_key: str) -> Iterator[None]:
    """Turn errors of botocore into ``storage.errors``; ``source_key`` "" is the bucket as a whole."""
    from botocore import exceptions

    try:
        yield
    except exceptions.ClientError as error:
        answer: Any = error.response
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code = str(answer.get("Error", {}).get("Code", ""))
        # "from None": the answer's text can hold keys and signatures.
        if source_key and status == 412:
            raise superseded(source_key) from None
        if source_key and status == 404 and code != "NoSuchBucket":
            raise gone(source_key) from None
        code = "" if code.isdigit() else code  # HEAD has no body: botocore repeats the status
        raise error_of_answer(url, source_key, status, code, about_bucket=not source_key) from None
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
        raise no_credentials(url) from None
    except exceptions.ParamValidationError:
        raise StorageError(f"{url} names no possible bucket. Write it as s3://bucket/prefix.") from None
    except (
        exceptions.ConnectionError,
        exceptions.HTTPClientError,
        exceptions.IncompleteReadError,
        exceptions.FlexibleChecksumError,  # bytes were changed on the way
    ):
        raise unreachable(url) from None
    except exceptions.BotoCoreError as error:
        raise StorageError(
            f"The inbox {url} cannot be used ({type(error).__name__}). Check its settings, then repeat."
        ) from None
