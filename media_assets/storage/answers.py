"""What a refusal of an object-store server means for the user: HTTP status and S3 error code to ``storage.errors``.

Shared by the store (obstore) and the S3 inbox (boto3), so that one mistake has one wording. Only status and code come
in: the raw text of an answer can hold access keys and signatures.
"""

from media_assets.storage.errors import (
    ObjectMissing,
    PreconditionFailed,
    StorageError,
    StoreDenied,
    StoreFull,
    StoreMissing,
    StoreUnreachable,
)

_WRONG_REGION = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage"})
_BUSY = frozenset({"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "TooManyRequests"})
_NO_BUCKET = frozenset({"NoSuchBucket", "InvalidBucketName"})
_DENIED_HINTS = {
    "InvalidAccessKeyId": "The access key is not known there. Correct AWS_ACCESS_KEY_ID.",
    "SignatureDoesNotMatch": "The secret key is wrong. Correct AWS_SECRET_ACCESS_KEY.",
    "RequestTimeTooSkewed": "The clock of this computer is wrong. Set it.",
    "ExpiredToken": "The session has expired. Log in again.",
    "InvalidObjectState": "The object is archived. Restore it from the archive first.",
}
_DENIED_HINT = "Check the access key, the secret key and the rights they have on the bucket."


def error_of_answer(url: str, key: str, status: int, code: str, *, about_bucket: bool = False) -> StorageError:
    """The error that an answer other than success stands for.

    Args:
        url: The store, without secrets.
        key: The object that was asked for; "" for the store as a whole.
        status: HTTP status.
        code: S3 error code out of the body; "" where the answer had no body (HEAD) or none was given.
        about_bucket: A 404 without a code is about the bucket, because the object need not exist (a write, a listing).
    """
    said = f"(HTTP {status}{' ' + code if code else ''})"
    if code in _WRONG_REGION or status == 301:
        return StoreMissing(
            f"The bucket of {url} is in another region {said}. Set the region of the bucket, then repeat."
        )
    if code in _FULL or status == 507:
        return StoreFull(f"The store {url} has no room left {said}. Free space or raise its quota, then repeat.")
    if code in _NO_BUCKET or (status == 404 and about_bucket):
        return StoreMissing(
            f"The bucket of {url} does not exist {said}. Create it, or correct the URL or the endpoint."
        )
    if status == 412:
        return PreconditionFailed(f"The object {key!a} in {url} is another version now. List it again.", key)
    if status == 404:
        return ObjectMissing(f"{url} has no object {key!a}. Run the assets again that should have made it.", key)
    if status in (401, 403):
        return StoreDenied(f"The store {url} refused access {said}. {_DENIED_HINTS.get(code, _DENIED_HINT)}")
    if status >= 500 or status in (408, 429) or code in _BUSY:
        return unreachable(url, said)
    return StorageError(f"The store {url} refused the request {said}. Check its settings, then repeat.")


def unreachable(url: str, said: str = "") -> StoreUnreachable:
    """No answer, or one that asks to come back later."""
    said = f" {said}" if said else ""
    return StoreUnreachable(
        f"The store {url} does not answer{said}. Check the endpoint, the network and the server, then repeat."
    )


def no_credentials(url: str) -> StoreDenied:
    """Nothing to log in with was found anywhere."""
    return StoreDenied(
        f"No credentials for {url} were found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, then repeat."
    )
