"""The one grammar of keys: media ids (partition keys), owners and every key of the library (DESIGN.md section 7).

Pure functions over strings; nothing here touches a store. No other module builds or takes apart a key. Every argument
is checked, because keys become paths: anything outside the grammar raises ``ValueError``.
"""

import hashlib
import re
import unicodedata
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import NamedTuple

DEFAULT_OWNER = "default"
"""Owner of the files that lie directly in the inbox, in no folder."""

TABLES_FOLDER = "tables"
"""Folder of the parts of all tables."""

ORIGINALS_FOLDER, RENDITIONS_FOLDER, QUARANTINE_FOLDER = "originals", "renditions", "quarantine"
"""Folders of accepted bytes, of what is made from them, and of rejected bytes."""

PEOPLE_EDITS = "people/edits"
"""Folder of the edits of people, by owner."""

CONSENTS_FOLDER = "consents"
CONSENTS_APPLIED = "consents/applied.json"
"""What owners said to which use of their pictures; see ``consents``."""

REVIEWS_FOLDER = "reviews"
"""Folder of what people decided about publication, by owner and file."""

SHAREABLE_FOLDER = "shareable"
"""Folder of the copies that may leave the library."""

ERASURES_FOLDER = "erasures"
"""Folder of the certificates of erasures."""

ERASURES_BEGUN = f"{ERASURES_FOLDER}/begun"
"""Folder of the plans of erasures that go on."""

_SLUG_CHARS = 40
_ID_HASH_DIGITS = 12
_OWNER_HASH_DIGITS = 12

_NOT_SLUG = re.compile(r"[^a-z0-9_]+")
_OWNER_AS_IT_IS = re.compile(r"[A-Za-z0-9_-]{1,40}")
_LOOKS_HASHED = re.compile(rf".*-[0-9a-f]{{{_OWNER_HASH_DIGITS}}}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_EXTENSION = re.compile(r"[a-z0-9]{1,8}")
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_TABLE = re.compile(r"[a-z][a-z0-9_]{0,62}")
_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")
_RUN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKEN = re.compile(r"[0-9a-f]{8}")
_SHARE_TOKEN = re.compile(r"[0-9a-f]{32}")
_ERASURE = re.compile(r"[0-9a-f]{12}")
_NEUTRAL_NAME = re.compile(r"(?:picture|video)\.[a-z0-9]{1,8}")
_MEDIA_ID = re.compile(rf"[a-z0-9_-]{{1,{_SLUG_CHARS}}}-[0-9a-f]{{{_ID_HASH_DIGITS}}}")
_PART_KEY = re.compile(
    rf"tables/(?P<table>{_TABLE.pattern})/month=(?P<month>{_MONTH.pattern})"
    rf"/(?P<run>{_RUN.pattern})-(?P<n>0|[1-9][0-9]{{0,8}})(?P<removed>\.removed)?\.parquet"
)
_MAX_PART_NUMBER = 999_999_999


class PartKey(NamedTuple):
    """A key of ``tables/``, taken apart.

    Attributes:
        table: Table name.
        month: Month of ingestion, ``yyyy-mm``.
        run_id: The run that wrote the part.
        n: Number of the part within its run and table, from 0.
        removed: The part lists removed media ids (tombstones) instead of rows.
    """

    table: str
    month: str
    run_id: str
    n: int
    removed: bool


def media_id(source_key: str) -> str:
    """Partition key of the upload at ``source_key``: ``{slug}-{hash}``.

    The slug is for the eye, the hash (12 hex digits of the SHA-256 of the key's UTF-8) identifies. Nothing is
    normalised before hashing: composed and decomposed accents, and letter case, make different ids.

    Args:
        source_key: Key of the upload below the inbox root, "/"-separated; not empty.

    Returns:
        1-40 characters of ``[a-z0-9_-]``, a dash, 12 hex digits: the same for every re-upload under this key.

    Raises:
        ValueError: ``source_key`` is empty or cannot be written as UTF-8.
    """
    digest = _hex_digest(source_key, "source_key")[:_ID_HASH_DIGITS]
    return f"{_slug(PurePosixPath(source_key).stem, _SLUG_CHARS, 'media')}-{digest}"


def owner_of(source_key: str) -> str:
    """Owner of an upload: the first folder of its key, as written.

    Args:
        source_key: Key of the upload below the inbox root, "/"-separated.

    Returns:
        The first folder, or ``default`` for a file that lies in no (named) folder.
    """
    folder, slash, _ = source_key.partition("/")
    return folder if slash and folder else DEFAULT_OWNER


def owner_segment(owner: str) -> str:
    """Path segment that stands for an owner; two owners never share one.

    Args:
        owner: Owner as :func:`owner_of` returns it. Do not pass a segment: it would be mapped once more.

    Returns:
        ``owner`` itself when it is 1-40 characters of ``[A-Za-z0-9_-]`` and does not look like a mapped name,
        else up to 40 characters of slug, a dash and 12 hex digits of the name's SHA-256.

    Raises:
        ValueError: ``owner`` is empty or cannot be written as UTF-8.
    """
    if _OWNER_AS_IT_IS.fullmatch(owner) and not _LOOKS_HASHED.fullmatch(owner):
        return owner
    digest = _hex_digest(owner, "owner")[:_OWNER_HASH_DIGITS]
    return f"{_slug(owner, _SLUG_CHARS, 'owner')}-{digest}"


def month_of(moment: datetime) -> str:
    """Month of a point in time, ``yyyy-mm``: in UTC when it is aware, as written when it is naive wall time."""
    moment = moment.astimezone(UTC) if moment.tzinfo is not None else moment
    return f"{moment.year:04d}-{moment.month:02d}"


def original_key(owner: str, month: str, sha256: str, ext: str) -> str:
    """Key of a stored original: ``originals/<owner>/<yyyy>/<mm>/<sha256>.<ext>``.

    Args:
        owner: Owner as :func:`owner_of` returns it (mapped here).
        month: Month of capture or receipt, ``yyyy-mm``.
        sha256: Of the bytes, 64 lower-case hex digits.
        ext: Canonical extension by content, without the dot.

    Raises:
        ValueError: An argument is outside the grammar.
    """
    year, _, month_number = _check(_MONTH, month, "month", "yyyy-mm").partition("-")
    return f"originals/{owner_segment(owner)}/{year}/{month_number}/{_content_name(sha256, ext)}"


def rendition_key(sha256: str, kind: str, ext: str) -> str:
    """Key of a rendition: ``renditions/<sha256[:2]>/<sha256>/<kind>.<ext>``.

    Args:
        sha256: Of the original's bytes, 64 lower-case hex digits.
        kind: ``thumb_150``, ``preview`` and so on.
        ext: Extension without the dot.

    Raises:
        ValueError: An argument is outside the grammar.
    """
    _check(_SHA256, sha256, "sha256", "64 lower-case hex digits")
    _check(_KIND, kind, "kind", "a lower-case word")
    _check(_EXTENSION, ext, "ext", "1-8 of a-z and 0-9")
    return f"renditions/{sha256[:2]}/{sha256}/{kind}.{ext}"


def quarantine_key(owner: str, media_id: str, sha256: str, ext: str) -> str:
    """Key of rejected bytes: ``quarantine/<owner>/<media_id>/<sha256>.<ext>``.

    Args:
        owner: Owner as :func:`owner_of` returns it (mapped here).
        media_id: As :func:`media_id` returns it.
        sha256: Of the bytes, 64 lower-case hex digits.
        ext: Extension without the dot; ``bin`` where the content tells nothing.

    Raises:
        ValueError: An argument is outside the grammar.
    """
    _check(_MEDIA_ID, media_id, "media_id", "{slug}-{12 hex digits}")
    return f"quarantine/{owner_segment(owner)}/{media_id}/{_content_name(sha256, ext)}"


def rendition_folder(sha256: str) -> str:
    """Folder of the renditions of an original: ``renditions/<sha256[:2]>/<sha256>``.

    Raises:
        ValueError: ``sha256`` is outside the grammar.
    """
    return rendition_key(sha256, "any", "any").rpartition("/")[0]


def originals_folder(owner: str) -> str:
    """Folder of the originals of an owner, as :func:`owner_of` returns it: ``originals/<owner>``."""
    return f"{ORIGINALS_FOLDER}/{owner_segment(owner)}"


def quarantine_folder(owner: str) -> str:
    """Folder of the rejected bytes of an owner, as :func:`owner_of` returns it: ``quarantine/<owner>``."""
    return f"{QUARANTINE_FOLDER}/{owner_segment(owner)}"


def is_sha256(text: str) -> bool:
    """Whether a text is a SHA-256: 64 lower-case hex digits."""
    return _SHA256.fullmatch(text) is not None


def content_of(key: str) -> str | None:
    """SHA-256 that a key is named after: of an original, of rejected bytes, of a rendition; ``None`` for others."""
    folder, _, rest = key.partition("/")
    name = rest.split("/")[-2] if folder == RENDITIONS_FOLDER and rest.count("/") >= 2 else PurePosixPath(rest).stem
    named = folder in (ORIGINALS_FOLDER, QUARANTINE_FOLDER, RENDITIONS_FOLDER) and _SHA256.fullmatch(name)
    return name if named else None


def shareable_folder(owner: str) -> str:
    """Folder of the copies of an owner's files: ``shareable/<12 hex digits>``, which do not show the name.

    Args:
        owner: Owner as :func:`owner_of` returns it. Who guesses a name can test the guess: it is a pseudonym.
    """
    digest = hashlib.sha256(b"shareable\x00" + owner.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{SHAREABLE_FOLDER}/{digest[:_OWNER_HASH_DIGITS]}"


def shareable_key(owner: str, token: str, name: str) -> str:
    """Key of a copy that may leave the library: ``shareable/<12 hex digits>/<token>/<picture or video>.<ext>``.

    Args:
        owner: Owner as :func:`owner_of` returns it (hashed here).
        token: 32 hex digits, random for each copy, so that nobody finds one by guessing.
        name: ``picture.<ext>`` or ``video.<ext>``.

    Raises:
        ValueError: An argument is outside the grammar.
    """
    _check(_SHARE_TOKEN, token, "token", "32 lower-case hex digits")
    _check(_NEUTRAL_NAME, name, "name", "picture.<ext> or video.<ext>")
    return f"{shareable_folder(owner)}/{token}/{name}"


def part_key(table: str, month: str, run_id: str, n: int) -> str:
    """Key of one append-only part: ``tables/<table>/month=<yyyy-mm>/<run>-<n>.parquet``.

    Args:
        table: Table name.
        month: Month of ingestion, ``yyyy-mm``.
        run_id: The run that writes, 1-64 of letters, digits, ``_`` and ``-`` (a UUID fits).
        n: Number of the part within the run and table, 0 to 999,999,999.

    Raises:
        ValueError: An argument is outside the grammar.
    """
    _check(_RUN, run_id, "run_id", "1-64 letters, digits, _ and -")
    if not 0 <= n <= _MAX_PART_NUMBER:
        raise ValueError(f"n is {n}; expected 0 to {_MAX_PART_NUMBER}")
    return f"tables/{_table_month(table, month)}/{run_id}-{n}.parquet"


def removed_part_key(table: str, month: str, run_id: str, n: int) -> str:
    """Key of a part of tombstones: like :func:`part_key`, with the suffix ``.removed.parquet``."""
    return part_key(table, month, run_id, n).removesuffix(".parquet") + ".removed.parquet"


def parse_part_key(key: str) -> PartKey | None:
    """Take a key of :func:`part_key` or :func:`removed_part_key` apart; ``None`` for any other key."""
    match = _PART_KEY.fullmatch(key)
    if match is None:
        return None
    return PartKey(match["table"], match["month"], match["run"], int(match["n"]), match["removed"] is not None)


def catalog_key(table: str, month: str, version: str) -> str:
    """Key of a compacted file: ``catalog/<table>/month=<yyyy-mm>/<version>.parquet``.

    Args:
        table: Table name.
        month: Month of ingestion, ``yyyy-mm``.
        version: Name of the compaction, 1-64 of letters, digits, ``_`` and ``-``; never reused.

    Raises:
        ValueError: An argument is outside the grammar.
    """
    _check(_RUN, version, "version", "1-64 letters, digits, _ and -")
    return f"catalog/{_table_month(table, month)}/{version}.parquet"


def catalog_manifest_key(table: str) -> str:
    """Key of the manifest that names a table's current files: ``catalog/<table>/CURRENT.json``."""
    return f"catalog/{_check(_TABLE, table, 'table', 'a lower-case word')}/CURRENT.json"


def people_edits_folder(owner: str) -> str:
    """Folder of what people said about the people of an owner: ``people/edits/<owner>``.

    Args:
        owner: Owner as :func:`owner_of` returns it (mapped here).
    """
    return f"{PEOPLE_EDITS}/{owner_segment(owner)}"


def people_edit_key(owner: str, moment: datetime, token: str) -> str:
    """Key of one edit: ``people/edits/<owner>/<utc-timestamp>-<hex>.json``. Sorted keys are in the order of time.

    Args:
        owner: Owner as :func:`owner_of` returns it (mapped here).
        moment: When it was recorded, aware.
        token: 8 hex digits that tell edits of one microsecond apart.

    Raises:
        ValueError: An argument is outside the grammar.
    """
    if moment.tzinfo is None:
        raise ValueError("moment is naive; expected an aware time")
    _check(_TOKEN, token, "token", "8 lower-case hex digits")
    return f"{people_edits_folder(owner)}/{moment.astimezone(UTC):%Y%m%dT%H%M%S%fZ}-{token}.json"


def consents_folder(owner: str) -> str:
    """Folder of what was said in the name of an owner: ``consents/records/<owner>``.

    Args:
        owner: Owner as :func:`owner_of` returns it (mapped here).
    """
    return f"{CONSENTS_FOLDER}/records/{owner_segment(owner)}"


def consent_key(owner: str, moment: datetime, token: str) -> str:
    """Key of one record: ``consents/records/<owner>/<utc-timestamp>-<hex>.json``. Sorted keys are in order of time.

    Args:
        owner: Owner as :func:`owner_of` returns it (mapped here).
        moment: When it was recorded, aware.
        token: 8 hex digits that tell records of one microsecond apart.

    Raises:
        ValueError: An argument is outside the grammar.
    """
    if moment.tzinfo is None:
        raise ValueError("moment is naive; expected an aware time")
    _check(_TOKEN, token, "token", "8 lower-case hex digits")
    return f"{consents_folder(owner)}/{moment.astimezone(UTC):%Y%m%dT%H%M%S%fZ}-{token}.json"


def reviews_folder(owner: str, media_id: str | None = None) -> str:
    """Folder of what was decided about the files of an owner, or about one: ``reviews/<owner>[/<media id>]``.

    Args:
        owner: Owner as :func:`owner_of` returns it (mapped here).
        media_id: As :func:`media_id` returns it; ``None``: all of the owner.

    Raises:
        ValueError: An argument is outside the grammar.
    """
    folder = f"{REVIEWS_FOLDER}/{owner_segment(owner)}"
    return folder if media_id is None else f"{folder}/{_check(_MEDIA_ID, media_id, 'media_id', 'a media id')}"


def review_key(owner: str, media_id: str, moment: datetime, token: str) -> str:
    """Key of one decision: ``reviews/<owner>/<media id>/<utc-timestamp>-<hex>.json``.

    Args:
        owner: Owner as :func:`owner_of` returns it (mapped here).
        media_id: As :func:`media_id` returns it.
        moment: When it was recorded, aware.
        token: 8 hex digits that tell decisions of one microsecond apart.

    Raises:
        ValueError: An argument is outside the grammar.
    """
    if moment.tzinfo is None:
        raise ValueError("moment is naive; expected an aware time")
    _check(_TOKEN, token, "token", "8 lower-case hex digits")
    return f"{reviews_folder(owner, media_id)}/{moment.astimezone(UTC):%Y%m%dT%H%M%S%fZ}-{token}.json"


def erasure_key(erasure_id: str) -> str:
    """Key of the certificate of an erasure, which has 12 hex digits: ``erasures/<id>.json``."""
    return f"{ERASURES_FOLDER}/{_check(_ERASURE, erasure_id, 'erasure_id', '12 lower-case hex digits')}.json"


def erasure_plan_key(erasure_id: str) -> str:
    """Key of the plan of an erasure while it goes on: ``erasures/begun/<id>.json``."""
    return f"{ERASURES_BEGUN}/{_check(_ERASURE, erasure_id, 'erasure_id', '12 lower-case hex digits')}.json"


def _check(grammar: re.Pattern[str], value: str, name: str, expected: str) -> str:
    if grammar.fullmatch(value) is None:
        raise ValueError(f"{name} is {value!r}; expected {expected}")
    return value


def _content_name(sha256: str, ext: str) -> str:
    _check(_SHA256, sha256, "sha256", "64 lower-case hex digits")
    return f"{sha256}.{_check(_EXTENSION, ext, 'ext', '1-8 of a-z and 0-9')}"


def _table_month(table: str, month: str) -> str:
    _check(_TABLE, table, "table", "a lower-case word")
    return f"{table}/month={_check(_MONTH, month, 'month', 'yyyy-mm')}"


def _hex_digest(text: str, name: str) -> str:
    if not text:
        raise ValueError(f"{name} is empty")
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{name} is {text!a}, which is not valid Unicode") from None
    return hashlib.sha256(data).hexdigest()


def _slug(text: str, length: int, fallback: str) -> str:
    """Fold to ASCII: "Été 2024 (1)" -> "ete-2024-1"."""
    decomposed = unicodedata.normalize("NFKD", text)
    folded = "".join(char for char in decomposed if not unicodedata.combining(char)).casefold()
    return _NOT_SLUG.sub("-", folded).strip("-")[:length].rstrip("-") or fallback
