"""Views of an inbox: all of its files under one owner, or one file of it alone.

A view has a URL of its own (the inbox's, then ``#view:`` and its parameters), so that the ledger can name it and
:func:`open_view` can open it again. Listing and reading are the inbox's.
"""

from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlencode

from media_assets.storage.inbox import Inbox, InboxObject, Page

_MARK = "#view:"


def split_view(url: str) -> tuple[str, str | None, str | None]:
    """Return ``(inbox url, owner, file)`` of a URL that may name a view; the last two are ``None`` for an inbox."""
    base, mark, query = url.partition(_MARK)
    fields = parse_qs(query) if mark else {}
    return base, fields.get("owner", [None])[0], fields.get("file", [None])[0]


def view_url(url: str, *, owner: str | None = None, file: str | None = None) -> str:
    """Return the URL of a view of the inbox at ``url``; ``url`` itself when nothing is restricted."""
    fields = {name: value for name, value in (("owner", owner), ("file", file)) if value}
    return f"{url}{_MARK}{urlencode(fields)}" if fields else url


class InboxView:
    """An inbox whose keys lie below ``owner/``, restricted to one file if ``file`` is given.

    Args:
        inbox: The inbox behind it.
        owner: Folder to put in front of every key; ``None`` leaves the keys as they are.
        file: The only key of the inbox to show.
    """

    def __init__(self, inbox: Inbox, owner: str | None, file: str | None) -> None:
        self._inbox = inbox
        self._prefix = f"{owner}/" if owner else ""
        self._file = file
        self.url = view_url(inbox.url, owner=owner, file=file)

    def list(self, after: str | None, limit: int) -> Page:
        """See :meth:`Inbox.list`."""
        if self._file is not None:
            found = self._inbox.head(self._file)
            return Page(() if found is None else (self._shown(found),), None)
        page = self._inbox.list(after, limit)
        return Page(tuple(self._shown(found) for found in page.objects), page.position)

    def fetch(self, source_key: str, etag: str, size_bytes: int, dest: Path, max_bytes: int) -> str:
        """See :meth:`Inbox.fetch`."""
        return self._inbox.fetch(source_key.removeprefix(self._prefix), etag, size_bytes, dest, max_bytes)

    def head(self, source_key: str) -> InboxObject | None:
        """See :meth:`Inbox.head`."""
        found = self._inbox.head(source_key.removeprefix(self._prefix))
        return None if found is None else self._shown(found)

    def _shown(self, found: InboxObject) -> InboxObject:
        return replace(found, source_key=self._prefix + found.source_key)
