"""What was erased and must not come in again, beyond the life of a ledger: the certificates hold it."""

from media_assets.pipeline.library import Library
from media_assets.storage.erasure_records import certificates, replace_certificate


def restore_refusals(library: Library) -> int:
    """Let a new ledger refuse what the certificates of the library say; return how many versions of uploads.

    Call it before an inbox is listed.

    Raises:
        StorageError: A certificate or the ledger cannot be read or written.
    """
    restored = 0
    for certificate in certificates(library.store):
        library.ledger.refuse(certificate.refused, certificate.erasure_id)
        restored += len(certificate.refused)
    return restored


def lift_refusals(library: Library, erasure_id: str) -> int:
    """Let uploads come in again that an erasure has refused; return how many versions.

    Raises:
        StorageError: A certificate or the ledger cannot be read or written.
    """
    # The certificate first: a ledger that is made again must not refuse what was lifted.
    for certificate in certificates(library.store):
        if certificate.erasure_id == erasure_id:
            replace_certificate(library.store, certificate.model_copy(update={"refused": ()}))
    return library.ledger.lift_refusals(erasure_id)
