"""The error tree of the storage layer: what went wrong with storage, a ledger or the catalog, for people.

    StorageError
    ├── StoreUnreachable    network, 5xx, throttling, time-outs; the only retryable one
    ├── StoreDenied         wrong credentials or missing rights
    ├── StoreMissing        the bucket or folder does not exist
    ├── StoreFull           no space left, or the quota is used up
    ├── ObjectMissing       the store is there, the object is not
    ├── PreconditionFailed  the object is another version now
    ├── LedgerError         the ledger of seen uploads
    └── CatalogError        tables, catalog and queries over them

Errors of the libraries below (obstore, botocore, OSError) never leave ``storage/``. A bad media file is no error of
this tree: see ``media.errors``.
"""

from typing import ClassVar


class StorageError(Exception):
    """Root of the errors that the storage layer raises. All of them survive pickling.

    Attributes:
        message: One or two sentences for people; ends with the next action. Never holds a secret.
        retryable: Class attribute: the same call may succeed later without anybody doing anything.
    """

    retryable: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class StoreUnreachable(StorageError):  # noqa: N818 - the names are the vocabulary of the user's problem
    """The store did not answer, or answered that it cannot now (network, 5xx, throttling, time-out)."""

    retryable = True


class StoreDenied(StorageError):  # noqa: N818
    """The store refused: wrong credentials, or credentials without the right."""


class StoreMissing(StorageError):  # noqa: N818
    """The bucket or folder does not exist, or is no folder."""


class StoreFull(StorageError):  # noqa: N818
    """No space left on the device, or the quota is used up (ENOSPC, EDQUOT, HTTP 507)."""


class ObjectMissing(StorageError):  # noqa: N818
    """The object does not exist (any more).

    Attributes:
        key: The key that was asked for, as the caller wrote it.
    """

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.args = (message, key)  # what pickle passes to __init__
        self.key = key


class PreconditionFailed(StorageError):  # noqa: N818
    """The object is not the version that was asked for: it was overwritten in the meantime.

    Attributes:
        key: The key that was asked for, as the caller wrote it.
    """

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.args = (message, key)  # what pickle passes to __init__
        self.key = key


class LedgerError(StorageError):
    """The ledger of seen uploads cannot be read or written."""


class CatalogError(StorageError):
    """A table part, the catalog or a query over it is not usable."""
