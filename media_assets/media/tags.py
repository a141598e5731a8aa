"""Everything that a file says and no column holds: names with their group, as one JSON object.

Lives here: the size limit and the text form. Must not: read files, choose between sources.
"""

import json
from collections.abc import Mapping

from media_assets.media.text import clean_text

MAX_TAGS_JSON_BYTES = 64 * 1024
"""Size limit of ``tags_json``, in UTF-8 bytes."""


def tags_to_json(tags: Mapping[str, str], notes: list[str]) -> str | None:
    """Return tags as a JSON object of strings, at most 64 KiB of UTF-8; ``None`` without any.

    Args:
        tags: Text by name. Values are cleaned; empty ones are left out. The first ones are kept when not all fit.
        notes: Gets a sentence when not all fit.
    """
    found: dict[str, str] = {}
    size = 2
    is_cut = False
    for name, value in tags.items():
        key, text = clean_text(name), clean_text(value)
        if key is None or text is None or key in found:
            continue
        cost = len(json.dumps({key: text}, ensure_ascii=False).encode()) + 2
        if size + cost > MAX_TAGS_JSON_BYTES:
            is_cut = True
            continue
        size += cost
        found[key] = text
    if is_cut:
        notes.append("Some tags are not in tags_json, which would exceed 64 KiB; read them from the original.")
    return json.dumps(found, ensure_ascii=False) if found else None
