"""Metadata without what tells the place: for files whose owners do not consent to it."""

import json
import re
from dataclasses import replace

from media_assets.media.records import Metadata

POSITION_FIELDS = ("latitude_deg", "longitude_deg", "altitude_m", "gps_at", "timezone")
"""Fields of the record, and columns of table ``metadata``, that a position decides."""

# Names of exiftool's groups and tags: EXIF 3.0 section 4.6.7 (GPS), IPTC-IIM 2:90-2:101, IPTC Extension Location*,
# QuickTime com.apple.quicktime.location.*, XMP-photoshop City, State, Country, Takeout geoData.
_TELLS_PLACE = re.compile(
    r"gps|geo|locat|latitude|longitude|altitude|coordinate|\bcity\b|city$|country|province|state$|sublocation|place|position|xyz",
    re.IGNORECASE,
)


def without_position_tags(tags_json: str | None) -> str | None:
    """Return the JSON object of ``tags_json`` without tags that tell a place; ``None`` if none is left."""
    if tags_json is None:
        return None
    tags: dict[str, str] = json.loads(tags_json)
    kept = {name: value for name, value in tags.items() if _TELLS_PLACE.search(name) is None}
    return json.dumps(kept, ensure_ascii=False) if kept else None


def without_position(metadata: Metadata) -> Metadata:
    """Return the record without position, its time, its zone, and tags and warnings that tell of them."""
    warnings = tuple(
        one for one in metadata.warnings or () if _TELLS_PLACE.search(one) is None and "position" not in one
    )
    return replace(
        metadata,
        **dict.fromkeys(POSITION_FIELDS),
        tags_json=without_position_tags(metadata.tags_json),
        warnings=warnings or None,
    )
