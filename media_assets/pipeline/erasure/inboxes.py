"""Uploads of erased files that still lie in an inbox, or where they were moved to after they were ingested.

An inbox is the user's own: nothing is deleted there unless it was asked for. What is left is counted, and refused.
"""

from dataclasses import dataclass, field

from media_assets.pipeline.library import Library, store_options
from media_assets.storage.erasure_records import ErasedUpload, ErasurePlan
from media_assets.storage.errors import ObjectMissing, PreconditionFailed, StorageError
from media_assets.storage.inbox_departures import done_names, open_departures
from media_assets.storage.ledger_refusals import refusal_mark
from media_assets.storage.objects import ObjectStore, open_store


@dataclass
class InboxLeft:
    """What became of the uploads.

    Attributes:
        deleted: Uploads that were deleted.
        left: Uploads that are left, in an inbox or where they were moved to.
        lifted: Marks of versions that are gone: the same file may be uploaded again.
    """

    deleted: int = 0
    left: int = 0
    lifted: list[str] = field(default_factory=list)


def leave_inboxes(library: Library, plan: ErasurePlan, *, delete: bool) -> InboxLeft:
    """Delete the uploads of a plan, or count them.

    Only the very version that was erased is touched: a newer one is another upload.

    Raises:
        StorageError: An inbox that is there cannot be written.
    """
    result = InboxLeft()
    settings = library.settings
    done = open_store(settings.inbox_done_url, store_options(settings)) if settings.after_ingest == "move" else None
    for upload in plan.uploads:
        found = _moved(done, upload)
        if done is not None and found is not None:
            if delete:
                done.delete(found)
                result.deleted += 1
            else:
                result.left += 1
        if not _is_there(library, upload):
            result.lifted += [_mark(upload)] if delete else []
        elif not delete:
            result.left += 1
        else:
            try:
                way_out = open_departures(upload.inbox, None, store_options(settings))
                way_out.leave(upload.source_key, upload.etag, upload.size_bytes, upload.sha256 or "")
                result.deleted += 1
            except (ObjectMissing, PreconditionFailed):
                pass
            result.lifted.append(_mark(upload))
    return result


def _mark(upload: ErasedUpload) -> str:
    return refusal_mark(upload.source_key, upload.etag, upload.size_bytes)


def _is_there(library: Library, upload: ErasedUpload) -> bool:
    try:
        found = library.inbox(upload.inbox).head(upload.source_key)
    except StorageError:
        return False  # the inbox is gone, or away: what it may hold is refused when it comes back
    return found is not None and (found.etag, found.size_bytes) == (upload.etag, upload.size_bytes)


def _moved(done: ObjectStore | None, upload: ErasedUpload) -> str | None:
    """Key of the upload where it was moved to."""
    if done is None or upload.sha256 is None:
        return None
    for name in done_names(upload.source_key, upload.sha256):
        try:
            if done.exists(name) and done.sha256(name) == upload.sha256:
                return name
        except (ValueError, ObjectMissing):
            continue  # a name that no store can hold was never moved
    return None
