"""The inbox: what uploaders put down, listed in pages and fetched by version.

What lives here: the interface, its records and :func:`open_inbox`. Not here: which versions were seen (``ledger``) and
what is done with them (``pipeline``). Nothing in an inbox is ever changed by these classes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import translate
from pathlib import Path
from typing import Protocol

from media_assets.media.errors import ContentError, ReasonCode
from media_assets.storage.errors import ObjectMissing, PreconditionFailed, StorageError
from media_assets.storage.objects import StoreOptions, check_url, folder_of_url

DEFAULT_IGNORE: tuple[str, ...] = (
    ".DS_Store",  # macOS Finder: how a folder was shown
    "._*",  # macOS: resource forks on foreign disks; "._IMG_1.jpg" is no picture
    "Thumbs.db",  # Windows Explorer: thumbnails
    "desktop.ini",  # Windows Explorer: how a folder is shown
    "*.part",  # unfinished downloads: Firefox, wget, many FTP servers
    "*.crdownload",  # unfinished downloads: Chrome
    "*.tmp",  # unfinished copies of many programs, which rename at the end
    ".~*",  # lock and temporary files: LibreOffice, Dropbox and others
    ".*.depart",  # ``inbox_departures`` while it takes a file out of the inbox
    ".*.??????",  # rsync while it copies: .IMG_1.jpg.aB3xY9
)
"""Files that are no uploads: what operating systems strew about, and uploads that are still under way."""


@dataclass(frozen=True)
class InboxObject:
    r"""One version of one upload. Its identity is ``(source_key, etag, size_bytes)``.

    Attributes:
        source_key: Key below the inbox root, "/"-separated. Bytes that are not UTF-8 are shown as ``\xff``.
        etag: Version mark without quotes; opaque.
        size_bytes: Length; 0 for what is no file.
        modified_at: Last change as the store tells it, aware UTC. For people only: nothing is decided by it.
        problem: Why this cannot be processed, known without reading it; ``None`` for a proper file.
        problem_message: For people, ends with the next action; present exactly when ``problem`` is.
    """

    source_key: str
    etag: str
    size_bytes: int
    modified_at: datetime
    problem: ReasonCode | None = None
    problem_message: str | None = None


@dataclass(frozen=True)
class Page:
    """One step of a listing.

    Attributes:
        objects: What was found, in the order of the inbox; may be empty even when more follows.
        position: Where to go on, printable ASCII or a key; ``None`` when the end was reached.
    """

    objects: tuple[InboxObject, ...]
    position: str | None


class Inbox(Protocol):
    """A place where uploads arrive. All methods raise errors of ``storage.errors`` unless said otherwise.

    Attributes:
        url: Normalised identity of the inbox, without secrets: the ledger keeps one sweep for each.
    """

    url: str

    def list(self, after: str | None, limit: int) -> Page:
        """At most ``limit`` objects that follow ``after``.

        A whole sweep from ``None`` to the end gives every object that was there all the time (and has settled) once.

        Args:
            after: ``position`` of the page before, also of another process; ``None`` begins anew.
            limit: Greatest length of the page, at least 1.
        """

    def fetch(self, source_key: str, etag: str, size_bytes: int, dest: Path, max_bytes: int) -> str:
        """Copy exactly this version of an upload into the file ``dest``; on an error no file is left there.

        Args:
            source_key: As listed.
            etag: As listed.
            size_bytes: As listed.
            dest: File to write; its folder exists.
            max_bytes: Greatest length that is accepted.

        Returns:
            SHA-256 of what was written, 64 lower-case hex digits.

        Raises:
            ObjectMissing: The upload is gone.
            PreconditionFailed: It is another version now, which the listing will report by itself.
            ContentError: It is longer than ``max_bytes`` (reason ``too_many_bytes``, stage ``inbox``).
        """

    def head(self, source_key: str) -> InboxObject | None:
        """What is there under this key now, settled or not; ``None`` when there is nothing."""


def open_inbox(
    url: str,
    options: StoreOptions,
    *,
    settle_s: float,
    ignore: Sequence[str] = DEFAULT_IGNORE,
    exclude: Sequence[Path] = (),
    exclude_urls: Sequence[str] = (),
) -> Inbox:
    """Open the inbox at ``url``; whether it exists is found out by the first listing.

    Args:
        url: A folder path, ``file:///folder`` or ``s3://bucket[/prefix]``.
        options: How to reach a bucket.
        settle_s: A file of a folder is listed when it was left alone for this many seconds (0: at once). Not used for
            S3, where an upload appears whole or not at all.
        ignore: ``fnmatch`` patterns, matched against base names with letter case; a pattern that ends with "/" is for
            folders, any other one for files.
        exclude: Folders inside a local inbox that are not part of it, for example the library.
        exclude_urls: The same for an inbox in a bucket: ``s3://bucket/prefix``.

    Raises:
        StorageError: The URL is not usable, or boto3 is not installed for an S3 inbox.
    """
    folder = folder_of_url(url)
    if folder is not None:
        from media_assets.storage.inbox_local import LocalInbox

        return LocalInbox(folder, settle_s=settle_s, ignore=ignore, exclude=exclude)
    url = check_url(url)
    if not url.startswith("s3://"):
        raise StorageError("This kind of inbox is not supported. Pass a folder or s3://bucket/prefix.")

    from media_assets.storage.inbox_s3 import S3Inbox

    return S3Inbox(url, options, ignore=ignore, exclude=exclude_urls)


class IgnoreRules:
    """Patterns of what is left out, compiled once: a listing asks for every name.

    Args:
        patterns: As in :func:`open_inbox`.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._files = _compiled([pattern for pattern in patterns if not pattern.endswith("/")])
        self._folders = _compiled([pattern[:-1] for pattern in patterns if pattern.endswith("/")])

    def has_file(self, name: str) -> bool:
        """Whether a file of this base name is left out."""
        return self._files is not None and self._files.match(name) is not None

    def has_folder(self, name: str) -> bool:
        """Whether a folder of this name is left out with everything in it."""
        return self._folders is not None and self._folders.match(name) is not None

    def has_path(self, source_key: str) -> bool:
        """Whether the file with this key is left out, by its own name or by a folder's."""
        *folders, name = source_key.split("/")
        return self.has_file(name) or any(self.has_folder(folder) for folder in folders)


def _compiled(patterns: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(translate(pattern) for pattern in patterns)) if patterns else None


def too_many_bytes(max_bytes: int) -> ContentError:
    """The rejection of an upload that is longer than the limit."""
    return ContentError(
        ReasonCode.TOO_MANY_BYTES,
        f"The file is larger than the limit of {max_bytes:,} bytes. Upload a smaller one or raise the limit.",
        "inbox",
    )


def printable(text: str) -> str:
    """A name as it may stand in a message: control characters and the like are escaped, letters of all scripts stay."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def superseded(source_key: str) -> PreconditionFailed:
    """The error for an upload that is not the listed version any more."""
    return PreconditionFailed(
        f"The upload {printable(source_key)} was changed after it was listed. "
        "Wait for the next listing, which reports the new version.",
        source_key,
    )


def gone(source_key: str) -> ObjectMissing:
    """The error for an upload that was removed after it was listed."""
    return ObjectMissing(
        f"The upload {printable(source_key)} is gone from the inbox. Upload it again to have it processed.", source_key
    )
