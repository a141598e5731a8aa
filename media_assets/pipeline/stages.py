"""The stages that one file passes through: fetch, extract, store.

Each stage is a function of one file that may run in any thread. Order, chunks, rows and the ledger are the business of
``batch.py``. A content error ends as a rejected outcome, an infrastructure error as a failed one; nothing else is
swallowed.
"""

import contextlib
import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from media_assets.media.errors import DECODER_DEATHS, ContentError, ReasonCode, ScratchError
from media_assets.media.records import MediaResult
from media_assets.pipeline.assets import APPEARANCE, METADATA, OPTIMIZED, ORIGINAL, THUMBNAILS
from media_assets.pipeline.library import Library
from media_assets.pipeline.outcomes import FileOutcome, StoredRendition
from media_assets.pipeline.retries import with_retries
from media_assets.pipeline.selection import WorkItem
from media_assets.pipeline.sidecars import NO_SIDECARS, FetchedSidecars, fetch_sidecars
from media_assets.pipeline.workers import Task, VideoTask, WorkerPool
from media_assets.storage import keys
from media_assets.storage.errors import ObjectMissing, PreconditionFailed, StorageError

_UI_PICTURE_KIND = "thumb_150"
_NOT_MEASURED = ContentError(
    ReasonCode.DECODER_CRASHED, "How it looks could not be measured; its metadata.warnings say why.", "render"
)
_EXTENSION = re.compile(r"\.([A-Za-z0-9]{1,8})$")


class OriginalDamagedError(Exception):
    """A stored original is not what was stored; the message says which and what to do."""


@dataclass(frozen=True)
class Extracted:
    """A file that was read and decoded; its bytes wait in ``folder`` to be stored.

    Attributes:
        item: The work.
        folder: Spool folder of this file; removed when the file is finished.
        sha256: Of the bytes, ``None`` when they were not read.
        result: What the decoder found, ``None`` when it was rejected.
        error: Why it was rejected.
        sidecars: Its sidecars.
        given_up: Assets that cannot be made of this sound file, and why.
    """

    item: WorkItem
    folder: Path
    sha256: str | None = None
    result: MediaResult | None = None
    error: ContentError | None = None
    sidecars: FetchedSidecars = NO_SIDECARS
    given_up: Mapping[str, ContentError] = field(default_factory=dict)

    @property
    def source_file(self) -> Path:
        """The local copy of the file."""
        return self.folder / "source"

    @property
    def scratch(self) -> Path:
        """Where the renditions are."""
        return self.folder / "out"


def _refused_unread(item: WorkItem, max_bytes: int) -> ContentError | None:
    """Reasons to reject that need no byte of the file."""
    entry = item.entry
    if entry.problem is not None and entry.problem != ReasonCode.RUN_KILLED:
        return ContentError(ReasonCode(entry.problem), entry.problem_message or "Replace the file.", "inbox")
    if entry.size_bytes == 0:
        return ContentError(ReasonCode.EMPTY_FILE, "The file is empty. Upload it again.", "inbox")
    if entry.size_bytes > max_bytes:
        return ContentError(
            ReasonCode.TOO_MANY_BYTES,
            f"The file has {entry.size_bytes} bytes, the limit is {max_bytes}. Raise the setting max_video_bytes "
            "if files of this size are expected.",
            "inbox",
        )
    return None


def _condemned(library: Library, extracted: Extracted, max_bytes: int) -> Extracted | FileOutcome:
    """Copy a file that killed its process (``bisect``), for the quarantine, and look no further into it.

    Its bytes are not kept where copying it ended a process too.
    """
    item, entry = extracted.item, extracted.item.entry
    error = ContentError(ReasonCode.RUN_KILLED, entry.problem_message or "Upload a sound copy.", "ingest")
    suspicion = library.ledger.suspicion(entry.batch_id) if entry.batch_id is not None else None
    if suspicion is not None and suspicion.is_untouchable:
        return replace(extracted, error=error)
    extracted.folder.mkdir(parents=True)
    sha256 = with_retries(lambda: _fetch(library, item, extracted.source_file, max_bytes))
    return replace(extracted, sha256=sha256, error=error)


def _fetch(library: Library, item: WorkItem, target: Path, max_bytes: int) -> str:
    """Copy the file to ``target`` and return its SHA-256 (hex)."""
    entry = item.entry
    if item.source == "inbox":
        return library.inbox(entry.inbox).fetch(entry.source_key, entry.etag, entry.size_bytes, target, max_bytes)
    assert entry.original_key is not None  # noqa: S101 - select_work chose this source because there is one
    library.store.get_to_file(entry.original_key, target)
    with target.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != entry.sha256:
        raise OriginalDamagedError(
            f"The stored original {entry.original_key} has other bytes than were stored. Restore it from a backup, "
            "or upload the file again."
        )
    return sha256


def fetch_and_extract(library: Library, pool: WorkerPool, spool: Path, item: WorkItem) -> Extracted | FileOutcome:
    """Read a file once, hash it on the way, and have it decoded once for everything that is asked.

    Returns:
        What was found (or why the file is rejected), or the final outcome if there is nothing to store.
    """
    settings, entry = library.settings, item.entry
    folder = spool / entry.media_id
    extracted = Extracted(item, folder)
    max_bytes = max(settings.max_image_bytes, settings.max_video_bytes)
    if item.source == "inbox" and (error := _refused_unread(item, max_bytes)) is not None:
        return Extracted(item, folder, error=error)
    try:
        if item.source == "inbox" and entry.problem == ReasonCode.RUN_KILLED:
            return _condemned(library, extracted, max_bytes)
        extracted.scratch.mkdir(parents=True)
        sha256 = with_retries(lambda: _fetch(library, item, extracted.source_file, max_bytes))
        sidecars = fetch_sidecars(library, item.sidecars, folder)
    except (ObjectMissing, PreconditionFailed) as error:
        discard(extracted)
        if item.source == "original":
            return _failed(item, f"{error} Upload the file again.")
        # An overwritten upload is another one, which the next listing finds.
        return FileOutcome(entry, item.assets, "gone", item.source, message=str(error))
    except ContentError as error:
        return Extracted(item, folder, error=error)
    except (StorageError, OriginalDamagedError, OSError) as error:
        discard(extracted)
        return _failed(item, str(error))
    task = Task(
        path=extracted.source_file,
        scratch=extracted.scratch,
        file_name=entry.source_key.rsplit("/", 1)[-1],
        metadata=METADATA in item.assets or _needs_capture_month(item),
        renditions=THUMBNAILS in item.assets,
        optimized=OPTIMIZED in item.assets,
        appearance=APPEARANCE in item.assets,
        sidecars=sidecars.paths,
    )
    try:
        result, given_up = _decode(library, pool, item, task)
        if task.appearance and result.appearance is None:
            given_up = {**given_up, APPEARANCE: _NOT_MEASURED}
        result = _noted(result, sidecars.notes)
    except ContentError as error:
        return Extracted(item, folder, sha256=sha256, error=error, sidecars=sidecars)
    except ScratchError as error:
        discard(extracted)
        return _failed(item, f"{error} Free space in {spool.parent} and run again.")
    except Exception as error:
        discard(extracted)
        return _failed(item, str(error) or type(error).__name__)
    return Extracted(item, folder, sha256=sha256, result=result, sidecars=sidecars, given_up=given_up)


def _decode(
    library: Library, pool: WorkerPool, item: WorkItem, task: Task
) -> tuple[MediaResult, Mapping[str, ContentError]]:
    """Have a file decoded; a sound file whose web version cannot be made is still a sound file.

    The web renditions of a video take a task of their own, because they may take hours and all cores.

    Returns:
        What was found, and the assets that had to be given up.
    """
    try:
        result = pool.submit(task).result()
    except ContentError as error:
        if not task.optimized or error.reason not in DECODER_DEATHS:
            raise
        return pool.submit(replace(task, optimized=False)).result(), {OPTIMIZED: error}
    if not task.optimized or result.facts.media_type != "video":
        return result, {}
    tell = library.on_progress
    try:
        video = VideoTask(task.path, task.scratch)
        made = pool.submit_video(video, tell and partial(tell, item.entry.media_id)).result()
    except ContentError as error:
        return result, {OPTIMIZED: error}
    return replace(result, optimized=made.renditions, optimized_notes=made.notes), {}


def _noted(result: MediaResult, notes: tuple[str, ...]) -> MediaResult:
    """Add what the run has to say to the oddities that the decoder found."""
    if not notes:
        return result
    warnings = (*notes, *result.warnings)
    metadata = None if result.metadata is None else replace(result.metadata, warnings=warnings)
    return replace(result, metadata=metadata, warnings=warnings)


def _needs_capture_month(item: WorkItem) -> bool:
    """The key of a new original carries the month of capture."""
    return ORIGINAL in item.assets and item.source == "inbox"


def _failed(item: WorkItem, message: str) -> FileOutcome:
    return FileOutcome(item.entry, item.assets, "failed", item.source, message=message)


def original_key(extracted: Extracted) -> str:
    """Return the key under which the bytes would be stored, were they the first of their owner.

    The month is that of capture (local wall time), else that of receipt.
    """
    assert extracted.result is not None  # noqa: S101 - callers store sound files only
    assert extracted.sha256 is not None  # noqa: S101 - sound files were read
    entry, metadata = extracted.item.entry, extracted.result.metadata
    captured = metadata.captured_at_local if metadata is not None else None
    month = keys.month_of(captured or entry.seen_at)
    return keys.original_key(entry.owner, month, extracted.sha256, extracted.result.facts.extension)


def store_sound(library: Library, extracted: Extracted, first: tuple[str, str] | None) -> FileOutcome:
    """Store original and renditions of a sound file.

    Args:
        library: Where to store.
        extracted: The file.
        first: Media id and key of the first file with these bytes, if ``original`` was asked for.
    """
    item, entry = extracted.item, extracted.item.entry
    assert extracted.result is not None  # noqa: S101 - callers checked
    assert extracted.sha256 is not None  # noqa: S101 - callers checked
    sha256 = extracted.sha256
    size_bytes = extracted.source_file.stat().st_size
    try:
        key, duplicate_of, verified = entry.original_key, None, item.source == "original"
        if first is not None:
            first_id, key = first
            duplicate_of = first_id if first_id != entry.media_id else None
        renditions = tuple(_store_renditions(library, extracted, sha256))
        if first is not None and item.source == "inbox":
            verified = _store_original(library, first[1], extracted.source_file, sha256)
    except (StorageError, OriginalDamagedError, OSError) as error:
        return _failed(item, str(error))
    finally:
        discard(extracted)
    return FileOutcome(
        entry,
        item.assets - extracted.given_up.keys(),
        "materialized",
        item.source,
        sha256=sha256,
        size_bytes=size_bytes,
        result=extracted.result,
        original_key=key,
        duplicate_of=duplicate_of,
        renditions=renditions,
        verified=verified,
        sidecars=extracted.sidecars.uses,
        given_up=extracted.given_up,
    )


def _store_original(library: Library, key: str, source: Path, sha256: str) -> bool:
    """Store the bytes once and read them back; return whether they were compared.

    A remote store compares a checksum while it receives the upload, so that reading back is not needed.
    """
    store, size = library.store, source.stat().st_size
    local = store.local_path(key) is not None
    there = with_retries(lambda: store.head(key))
    read_back = local and library.settings.verify_originals
    if there is not None and there.size_bytes == size and not (read_back and store.sha256(key) != sha256):
        return read_back or not local
    with_retries(lambda: store.put_file(key, source, consume=local))
    if not read_back:
        return not local
    if store.sha256(key) != sha256:
        raise OriginalDamagedError(
            f"{key} reads back with other bytes than were written. Check the disk of the library."
        )
    return True


def _store_renditions(library: Library, extracted: Extracted, sha256: str) -> list[StoredRendition]:
    assert extracted.result is not None  # noqa: S101 - callers checked
    result, stored = extracted.result, []
    made = [(THUMBNAILS, one) for one in result.renditions] + [(OPTIMIZED, one) for one in result.optimized]
    for asset, rendition in made:
        path = extracted.scratch / rendition.file_name
        key = keys.rendition_key(sha256, rendition.kind, path.suffix[1:])
        data = path.read_bytes() if rendition.kind == _UI_PICTURE_KIND else None
        with_retries(lambda key=key, path=path: library.store.put_file(key, path))  # type: ignore[misc]
        stored.append(StoredRendition(asset, key, library.store.public_url(key), rendition, data))
    return stored


def quarantine(library: Library, extracted: Extracted) -> FileOutcome:
    """Keep the bytes of a rejected file for inspection, if they were read."""
    item, entry = extracted.item, extracted.item.entry
    key = None
    try:
        if extracted.sha256 is not None:
            match = _EXTENSION.search(entry.source_key)
            extension = match.group(1).lower() if match else "bin"
            key = keys.quarantine_key(entry.owner, entry.media_id, extracted.sha256, extension)
            source = extracted.source_file
            with_retries(lambda: library.store.put_file(key, source))
    except (StorageError, OSError) as error:
        return _failed(item, str(error))
    finally:
        discard(extracted)
    return FileOutcome(
        entry,
        item.assets,
        "rejected",
        item.source,
        sha256=extracted.sha256,
        error=extracted.error,
        message=extracted.error.message if extracted.error else None,
        quarantine_key=key,
        sidecars=extracted.sidecars.uses,
    )


def discard(extracted: Extracted) -> None:
    """Remove the spool folder of a file."""
    with contextlib.suppress(OSError):  # what is left is removed with the spool of the run
        shutil.rmtree(extracted.folder, ignore_errors=True)
