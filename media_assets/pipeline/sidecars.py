"""Fetching the sidecars of a media file beside its local copy.

Which sidecars a file has is in ``storage.ledger_sidecars``; what they say is read by ``media`` in a decoder process.
"""

import contextlib
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from media_assets.media.errors import ContentError
from media_assets.media.limits import MAX_SIDECAR_BYTES
from media_assets.pipeline.assets import REJECTED_TABLE
from media_assets.pipeline.library import Library
from media_assets.pipeline.retries import with_retries
from media_assets.storage.errors import ObjectMissing, PreconditionFailed
from media_assets.storage.inbox import printable
from media_assets.storage.ledger_schema import MediaEntry, SidecarUse
from media_assets.storage.tables import PartWriter

MAX_SIDECARS = 4
"""Sidecars of one file that are read; the most trusted ones."""


@dataclass(frozen=True)
class FetchedSidecars:
    """The sidecars of one file.

    Attributes:
        paths: Local copies under neutral names, the most trusted first.
        uses: One for each sidecar that the ledger names, read or not: it need not be asked for again.
        notes: Why sidecars were not read, for people.
    """

    paths: tuple[Path, ...] = ()
    uses: tuple[SidecarUse, ...] = ()
    notes: tuple[str, ...] = ()


NO_SIDECARS = FetchedSidecars()


def fetch_sidecars(library: Library, sidecars: Sequence[MediaEntry], folder: Path) -> FetchedSidecars:
    """Copy sidecars into ``folder``. What is gone or was overwritten is left out: the next listing tells of it.

    Raises:
        StorageError: The inbox cannot be read now; the file has to be tried again.
        OSError: ``folder`` cannot be written.
    """
    paths: list[Path] = []
    uses: list[SidecarUse] = []
    notes: list[str] = []
    for at, sidecar in enumerate(sidecars):
        sha256 = None
        name = printable(sidecar.source_key.rpartition("/")[2])
        if at >= MAX_SIDECARS:
            notes.append(f"The file has more than {MAX_SIDECARS} sidecars; {name} was not read. Remove some of them.")
        elif sidecar.size_bytes > MAX_SIDECAR_BYTES:
            notes.append(f"The sidecar {name} is larger than {MAX_SIDECAR_BYTES} bytes and was not read.")
        else:
            path = folder / f"sidecar-{at}"
            with contextlib.suppress(ObjectMissing, PreconditionFailed, ContentError):
                sha256 = _fetch(library, sidecar, path)
                paths.append(path)
        uses.append(SidecarUse(sidecar.media_id, sidecar.etag, sidecar.size_bytes, sha256))
    return FetchedSidecars(tuple(paths), tuple(uses), tuple(notes))


def _fetch(library: Library, sidecar: MediaEntry, path: Path) -> str:
    inbox = library.inbox(sidecar.inbox)
    return with_retries(
        lambda: inbox.fetch(sidecar.source_key, sidecar.etag, sidecar.size_bytes, path, MAX_SIDECAR_BYTES)
    )


def clear_rejections(library: Library, writer: PartWriter, inboxes: Collection[str]) -> None:
    """Remove sidecars from table ``rejected`` that came when they were not known as such yet.

    Raises:
        StorageError: Ledger or tables cannot be written.
    """
    for inbox in inboxes:
        months: dict[str, list[str]] = defaultdict(list)
        for sidecar in library.ledger.once_rejected_sidecars(inbox):
            months[sidecar.month].append(sidecar.media_id)
        for month, media_ids in months.items():
            writer.remove(REJECTED_TABLE, month, media_ids, datetime.now(UTC))
            library.ledger.clear_rejections(media_ids)
