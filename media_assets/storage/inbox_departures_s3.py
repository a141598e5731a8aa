"""The way out of an inbox in a bucket. See ``inbox_departures`` for what it promises.

AWS, SeaweedFS and MinIO honour ``If-Match`` on DELETE. A server that ignores it (Ceph RGW answers 204 and deletes) is
asked for the version directly before: what is overwritten within these milliseconds is lost there, so prefer
``after_ingest = "keep"`` on such a server, or switch versioning on.
"""

from typing import TYPE_CHECKING

from media_assets.storage.errors import ObjectMissing, PreconditionFailed, StorageError
from media_assets.storage.inbox import InboxObject, gone, superseded
from media_assets.storage.inbox_departures import done_names
from media_assets.storage.inbox_s3 import open_client, translated
from media_assets.storage.objects import StoreOptions, check_url

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3Departures:
    """The way out of the objects below a prefix.

    Args:
        inbox_url: ``s3://bucket/prefix``.
        done_url: Where objects are moved to, on the same server; ``None`` deletes them.
        options: How to reach it.

    Raises:
        StorageError: The inbox lies in the prefix for what is done.
    """

    def __init__(self, inbox_url: str, done_url: str | None, options: StoreOptions) -> None:
        self._url = check_url(inbox_url)
        self._bucket, self._prefix = _split(self._url)
        self._done = None if done_url is None else _split(check_url(done_url))
        if self._done is not None and self._done[0] == self._bucket and self._prefix.startswith(self._done[1]):
            raise StorageError(
                f"The inbox {inbox_url} lies in {done_url}, so that what is moved there could come back. "
                "Let inbox_done name another prefix."
            )
        self._client: S3Client = open_client(self._url, options)

    def resume(self, source_key: str, etag: str, size_bytes: int, sha256: str) -> None:
        """Nothing to do: a copy that was made already is recognised by :meth:`leave`."""

    def leave(self, source_key: str, etag: str, size_bytes: int, sha256: str) -> None:
        """See :meth:`Departures.leave`."""
        self._check(source_key, etag, size_bytes)
        if self._done is None:
            self._delete(source_key, etag)
            return
        bucket, prefix = self._done
        key, is_new = self._copied(bucket, prefix, source_key, etag, size_bytes, sha256)
        try:
            self._check(source_key, etag, size_bytes)  # after the copy: not every server honours its condition
            self._delete(source_key, etag)
        except (PreconditionFailed, ObjectMissing):
            if is_new:
                with translated(self._url, ""):
                    self._client.delete_object(Bucket=bucket, Key=key)
            raise

    def _copied(
        self, bucket: str, prefix: str, source_key: str, etag: str, size_bytes: int, sha256: str
    ) -> tuple[str, bool]:
        """Copy within the server, in parts above 5 GB; return the key, and whether it was not there before."""
        for name in done_names(source_key, sha256):
            key = prefix + name
            there = self._head(bucket, key, source_key)
            if there is None:
                with translated(self._url, source_key):
                    self._client.copy(
                        {"Bucket": self._bucket, "Key": self._prefix + source_key},
                        bucket,
                        key,
                        ExtraArgs={"CopySourceIfMatch": f'"{etag}"'},
                    )
                there = self._head(bucket, key, source_key)
                if there is None or there.size_bytes != size_bytes:
                    raise StorageError(f"The copy s3://{bucket}/{key} is not whole. It is made again.")
                return key, True
            # Left by a process that died. Copies in parts have another ETag, and get the name that has the checksum.
            if (there.etag, there.size_bytes) == (etag, size_bytes) or (
                name != source_key and there.size_bytes == size_bytes
            ):
                return key, False
        raise StorageError(f"s3://{bucket}/{key} is taken by another object. Move that one away.")

    def _check(self, source_key: str, etag: str, size_bytes: int) -> None:
        found = self._head(self._bucket, self._prefix + source_key, source_key)
        if found is None:
            with translated(self._url, ""):  # a missing bucket would make every upload look gone
                self._client.head_bucket(Bucket=self._bucket)
            raise gone(source_key)
        if (found.etag, found.size_bytes) != (etag, size_bytes):
            raise superseded(source_key)

    def _head(self, bucket: str, key: str, source_key: str) -> InboxObject | None:
        try:
            with translated(self._url, source_key):
                answer = self._client.head_object(Bucket=bucket, Key=key)
        except ObjectMissing:
            return None
        return InboxObject(key, answer["ETag"].strip('"'), answer["ContentLength"], answer["LastModified"])

    def _delete(self, source_key: str, etag: str) -> None:
        with translated(self._url, source_key):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + source_key, IfMatch=f'"{etag}"')


def _split(url: str) -> tuple[str, str]:
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return bucket, f"{prefix}/" if prefix else ""
