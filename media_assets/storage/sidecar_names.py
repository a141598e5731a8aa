"""Which uploads are sidecars, and which media files they belong to: decided by names alone.

Pure functions over source keys. Here is the grammar of XMP and Google Takeout names; what the ledger does with it is in
``ledger_sidecars``, what a sidecar says is read by ``media``. Nothing here looks at content.
"""

import hashlib
import re
import unicodedata

_TAKEOUT_CHARS = 46
"""Google Takeout cuts the name of a JSON file to this many characters, before ``.json`` and its counter."""

_SUPPLEMENT = "supplemental-metadata"
_COUNTER = re.compile(r"(?P<rest>.+)(?P<counter>\([0-9]{1,5}\))", re.DOTALL)
_EXTENSION = re.compile(r"(?P<stem>.+)(?P<extension>\.[A-Za-z0-9]{1,8})", re.DOTALL)

# What the names of photos and videos end with: only a JSON file that is named after one of these is Takeout's.
_MEDIA_EXTENSIONS = frozenset(
    (
        *(".apng", ".avif", ".avifs", ".bmp", ".gif", ".heic", ".heics", ".heif", ".heifs", ".hif", ".ico", ".j2k"),
        *(".jfif", ".jp2", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".jxl", ".mpo", ".png", ".psd", ".tif", ".tiff"),
        *(".webp", ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".mrw", ".nef", ".nrw"),
        *(".orf", ".pef", ".raf", ".raw", ".rw2", ".sr2", ".srw", ".x3f"),
        *(".3g2", ".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp", ".mp4", ".mpe", ".mpeg"),
        *(".mpg", ".mts", ".mv", ".ogv", ".qt", ".ts", ".webm", ".wmv"),
    )
)


def is_sidecar(source_key: str) -> bool:
    """Return whether an upload is a sidecar by its name.

    That are ``*.xmp``, and JSON files named as Google Takeout names them: after a media file (``a.jpg.json``,
    ``a.jpg.supplemental-metadata.json``, cut to 46 characters, with a counter before ``.json``). ``package.json`` is
    none, and neither are names without anything before their extension.
    """
    name = source_key.rpartition("/")[2]
    lowered = name.lower()
    if lowered.endswith(".xmp"):
        return len(name) > len(".xmp")
    if not lowered.endswith(".json"):
        return False
    base, _ = _without_counter(unicodedata.normalize("NFC", name)[: -len(".json")])
    parts = _EXTENSION.fullmatch(_without_supplement(base))
    return len(base) == _TAKEOUT_CHARS or (parts is not None and parts["extension"].lower() in _MEDIA_EXTENSIONS)


def sidecar_rank(source_key: str) -> int:
    """Return how much a sidecar is trusted among those of one file, 0 most.

    XMP of exactly this file (0) before XMP of all files of the stem (1) before Takeout (2).
    """
    stem, dot, extension = source_key.rpartition("/")[2].rpartition(".")
    if dot and extension.lower() == "json":
        return 2
    parts = _EXTENSION.fullmatch(stem)
    return 0 if parts is not None and parts["extension"].lower() in _MEDIA_EXTENSIONS else 1


def sidecar_keys(source_key: str) -> frozenset[str]:
    """Return the match keys of a sidecar: it belongs to each upload of which one of the :func:`media_keys` is equal.

    Args:
        source_key: Key of an upload for which :func:`is_sidecar` is true.

    Returns:
        Strings of 32 hex digits. Letter case counts in the folder and the stem, not in the extension; composed and
        decomposed accents are the same.
    """
    folder, name = _split(source_key)
    if name.lower().endswith(".xmp"):
        base = name[: -len(".xmp")]
        return frozenset({_key("name", folder, base), _key("stem", folder, base)})
    base, counter = _without_counter(name[: -len(".json")])
    return frozenset({_takeout_key(folder, base, counter)})


def media_keys(source_key: str) -> frozenset[str]:
    """Return the match keys of an upload that is no sidecar; see :func:`sidecar_keys`."""
    folder, name = _split(source_key)
    parts = _EXTENSION.fullmatch(name)
    stem, extension = (parts["stem"], parts["extension"]) if parts is not None else (name, "")
    found = {_key("name", folder, name), _takeout_key(folder, name, "")}
    if extension:
        found.add(_key("stem", folder, stem))
    # Takeout puts the counter of "a(1).jpg" behind the extension: "a.jpg(1).json".
    rest, counter = _without_counter(stem)
    if counter:
        found.add(_takeout_key(folder, rest + extension, counter))
    return frozenset(found)


def _split(source_key: str) -> tuple[str, str]:
    folder, _, name = unicodedata.normalize("NFC", source_key).rpartition("/")
    return folder, name


def _takeout_key(folder: str, base: str, counter: str) -> str:
    """Equal for a media file's name and for the name of its JSON file, which may be cut anywhere in the supplement."""
    return _key("name", folder, _without_supplement(base[:_TAKEOUT_CHARS]), counter)


def _without_counter(base: str) -> tuple[str, str]:
    match = _COUNTER.fullmatch(base)
    return (match["rest"], match["counter"]) if match is not None else (base, "")


def _without_supplement(base: str) -> str:
    """Take ``.supplemental-metadata`` away, or what a cut has left of it: at least the dot."""
    rest, dot, last = base.rpartition(".")
    return rest if dot and rest and _SUPPLEMENT.startswith(last) else base


def _key(kind: str, folder: str, base: str, counter: str = "") -> str:
    # Hashed: the names of a local folder may be longer than what a database can index.
    parts = _EXTENSION.fullmatch(base)
    name = f"{parts['stem']}{parts['extension'].lower()}" if parts is not None else base
    return hashlib.sha256("\0".join((kind, folder, name, counter)).encode()).hexdigest()[:32]
