"""All sources of metadata of one file, read and merged into the fields of ``Metadata``.

Lives here: which reader reads what, and the merge. Must not: parse (the readers do), order sources (``trust.py`` does),
decode pixels.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from media_assets.media.claims import Claims
from media_assets.media.exif import ExifData
from media_assets.media.exif_claims import exif_claims
from media_assets.media.iptc import iptc_claims
from media_assets.media.limits import MAX_SIDECAR_BYTES
from media_assets.media.picture_text import text_claims
from media_assets.media.tags import tags_to_json
from media_assets.media.takeout import takeout_claims
from media_assets.media.timezones import zone_at
from media_assets.media.trust import SOURCES, merge_fields, merge_time
from media_assets.media.xmp import xmp_claims
from media_assets.media.xmp_packet import is_packet


def picture_claims(
    exif: ExifData, xmp: bytes | None, iptc: bytes | None, text: Mapping[str, str], notes: list[str]
) -> tuple[Claims, ...]:
    """Return what the blocks of metadata inside a picture say.

    Args:
        exif: EXIF directories.
        xmp: XMP packet, or ``None``.
        iptc: Raw IPTC-IIM datasets, or ``None``.
        text: Text chunks of a PNG and comments of a GIF or JPEG, by keyword.
        notes: Gets a sentence for everything that is damaged or impossible.
    """
    found = (
        exif_claims(exif, notes),
        xmp_claims(xmp, notes) if xmp else None,
        iptc_claims(iptc, notes) if iptc else None,
        text_claims(text) if text else None,
    )
    return tuple(claims for claims in found if claims is not None)


def sidecar_claims(paths: Sequence[Path], notes: list[str]) -> tuple[Claims, ...]:
    """Return what sidecar files say: XMP packets and Google Takeout's JSON, told apart by their content.

    Args:
        paths: Local copies, the most trusted first; their names do not matter.
        notes: Gets a sentence for a file that is too large, cannot be read, or is neither.
    """
    claims: list[Claims] = []
    for path in paths:
        try:
            with path.open("rb") as file:
                data = file.read(MAX_SIDECAR_BYTES + 1)
        except OSError:
            notes.append("A sidecar file cannot be read and was ignored.")
            continue
        if len(data) > MAX_SIDECAR_BYTES:
            notes.append("A sidecar file is larger than 1 MiB and was ignored.")
        elif is_packet(data):
            found = xmp_claims(data, notes, source="sidecar_xmp")
            claims += [] if found is None else [found]
        elif data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            claims += takeout_claims(data, notes)
        else:
            notes.append("A sidecar file is neither XMP nor Google Takeout JSON and was ignored.")
    return tuple(claims)


def describe(claims: Sequence[Claims], notes: list[str], *, now: datetime | None = None) -> dict[str, Any]:
    """Return the fields of :class:`~media_assets.media.records.Metadata` that all sources together give, by name.

    Only fields with a value are in it. ``captured_at_source`` names the tag that gave the wall time and, behind a plus,
    what gave its offset (:func:`media_assets.media.trust.merge_time`).

    Args:
        claims: What the sources say, in any order; of one source the more trusted first.
        notes: Gets a sentence for every time that is impossible, and when not all tags fit.
        now: Aware time of the reading, for dates in the future; the clock's by default.
    """
    fields = merge_fields(claims)
    latitude, longitude = fields.get("latitude_deg"), fields.get("longitude_deg")
    zone = None if latitude is None or longitude is None else zone_at(latitude, longitude)
    moment = merge_time(claims, gps_at=fields.get("gps_at"), zone=zone, now=now or datetime.now(UTC), notes=notes)
    if moment is not None:
        fields["captured_at"] = moment.utc
        fields["captured_at_local"] = moment.local
        fields["utc_offset_minutes"] = moment.utc_offset_minutes
        fields["captured_at_source"] = moment.source
    fields["timezone"] = zone
    fields["tags_json"] = tags_to_json(_all_tags(claims), notes)
    return {name: value for name, value in fields.items() if value is not None}


def _all_tags(claims: Sequence[Claims]) -> dict[str, str]:
    """Return the tags of all sources, those of the sources that ``SOURCES`` lists first before the others."""
    rank = {source: place for place, source in enumerate(SOURCES)}
    tags: dict[str, str] = {}
    for claim in sorted(claims, key=lambda claim: rank.get(claim.source, len(rank))):
        for name, value in claim.tags.items():
            tags.setdefault(name, value)
    return tags
