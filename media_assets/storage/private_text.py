"""Texts for logs and event logs: without owners, names of files, signatures and secrets of addresses.

What a text of this project may hold is known: keys of the library, keys of uploads, addresses. Media ids stay: they are
the partition keys, and nobody could look into anything without them.
"""

import logging
import re
from collections.abc import Iterable

from media_assets.storage import keys

HIDDEN = "…"

_FOLDERS_OF_OWNERS = (
    keys.ORIGINALS_FOLDER, keys.QUARANTINE_FOLDER, keys.REVIEWS_FOLDER, keys.PEOPLE_EDITS,
    f"{keys.CONSENTS_FOLDER}/records",
)  # fmt: skip
_OWNER = re.compile(rf"\b({'|'.join(map(re.escape, _FOLDERS_OF_OWNERS))})/[^/\s'\"]+")
_COPY = re.compile(rf"\b{keys.SHAREABLE_FOLDER}/[0-9a-f]{{12}}/[0-9a-f]{{32}}/")
_USER = re.compile(r"(\w+://)[^/\s@]+@")
# Signatures, tokens and positions are all in queries.
_QUERY = re.compile(r"(\w+://[^\s?#'\"<>]+)\?[^\s'\"<>)]+")
_ESCAPED_QUERY = re.compile(r"(?i)([?&](?:x-amz-[a-z-]+|signature|sig|token|awsaccesskeyid)=)[^\s&'\"<>)]+")


def without_names(text: str, names: Iterable[str] = ()) -> str:
    """Return a text for a log: owners in keys, queries and users of addresses, and the given names are left out.

    Args:
        text: A message.
        names: Keys of uploads, owners, paths: what else the message may hold.
    """
    for name in sorted(names, key=len, reverse=True):
        if name:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", HIDDEN, text)  # an owner may be called "in"
    text = _OWNER.sub(rf"\1/{HIDDEN}", text)
    text = _COPY.sub(f"{keys.SHAREABLE_FOLDER}/{HIDDEN}/", text)
    text = _QUERY.sub(rf"\1?{HIDDEN}", _USER.sub(rf"\1{HIDDEN}@", text))
    return _ESCAPED_QUERY.sub(rf"\1{HIDDEN}", text)


def keep_logs_private() -> None:
    """Let every log record of this process, of all libraries in it, pass through :func:`without_names`.

    Doing it again changes nothing.
    """
    made = logging.getLogRecordFactory()
    if isinstance(made, _PrivateRecords):
        return
    logging.setLogRecordFactory(_PrivateRecords(made))


class _PrivateRecords:
    """A factory of log records. A filter would see only what is logged by one logger, none of its descendants."""

    def __init__(self, made: object) -> None:
        self._made = made

    def __call__(self, *args: object, **kwargs: object) -> logging.LogRecord:
        record: logging.LogRecord = self._made(*args, **kwargs)  # type: ignore[operator]
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # arguments that do not fit: the handler reports it
            return record
        private = without_names(message)
        if private != message:
            record.msg, record.args = private, ()
        if record.exc_info and record.exc_info[0] is not None:
            # Formatters take the text that is there.
            record.exc_text = without_names(logging.Formatter().formatException(record.exc_info))
        return record
