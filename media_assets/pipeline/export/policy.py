"""What becomes of each column of each table in an analyst's copy: the one place where that is decided.

A column without a decision is never exported: ``rules_of`` refuses the table, and so does a test.
"""

from collections.abc import Mapping
from typing import Literal

from media_assets.storage.columns import Table

Privacy = Literal["exact", "city", "country", "none"]
PRIVACY: tuple[Privacy, ...] = ("exact", "city", "country", "none")
"""How exactly places are told, the most telling first."""

Times = Literal["exact", "day", "month", "year"]
TIMES: tuple[Times, ...] = ("exact", "day", "month", "year")
"""How exactly points in time are told."""

Rule = Literal[
    "keep", "drop", "file", "owner", "run", "version", "group", "time", "local_time", "zone", "fix", "place", "size",
    "seconds", "rounded", "common",
]  # fmt: skip
RULES: Mapping[Rule, str] = {
    "keep": "As it is.",
    "drop": "Left out.",
    "file": "Pseudonym of a file, the same in all tables of this copy.",
    "owner": "Pseudonym of an owner.",
    "run": "Pseudonym of a run.",
    "version": "Pseudonym of a version of bytes.",
    "group": "Pseudonym of a group.",
    "time": "Cut to what option --times says, with --privacy country and none to the day at least.",
    "local_time": "Cut to what option --times says.",
    "zone": "With --privacy exact and city only: an offset from UTC tells where on Earth.",
    "fix": "With --privacy exact only.",
    "place": "As option --privacy says: exact, the centre of the city or the country, or left out.",
    "size": "Rounded to two digits: exact lengths find the original again.",
    "seconds": "Rounded to whole seconds, 1 at least: exact durations find the original again.",
    "rounded": "Rounded to two decimals: exact measures find the original again.",
    "common": "Kept where at least as many files as option --k says have the same; else null: rare values tell.",
}
"""Every rule, in words."""

_COMMON: Mapping[str, Rule] = {
    "media_id": "file", "owner": "owner", "input_version": "version", "code_version": "keep", "model": "keep",
    "run_id": "run", "computed_at": "time",
}  # fmt: skip
_BOX: Mapping[str, Rule] = dict.fromkeys(("x_min_px", "y_min_px", "x_max_px", "y_max_px"), "keep")

LEFT_OUT: Mapping[str, str] = {
    "embeddings": "Vectors of pictures: they find the same picture elsewhere, and can be turned back into its content.",
    "people": "Who is seen with whom tells who people are, without any name.",
    "consents": "What owners said, and who recorded it.",
    "reviews": "What reviewers said, and who they are.",
}
"""Tables that no copy has, and why."""

COLUMNS: Mapping[str, Mapping[str, Rule]] = {
    "files": {
        **_COMMON,
        "source_key": "drop", "file_name": "drop", "sha256": "drop", "size_bytes": "size", "media_type": "keep",
        "mime_type": "keep", "format": "keep", "width_px": "keep", "height_px": "keep", "orientation": "keep",
        "duration_s": "seconds", "frame_count": "drop", "duplicate_of": "file", "original_path": "drop",
        "received_at": "time", "etag": "drop", "status": "keep",
    },
    "metadata": {
        **_COMMON,
        "captured_at": "zone", "captured_at_local": "local_time", "utc_offset_minutes": "zone",
        "captured_at_source": "keep",
        "camera_make": "common", "camera_model": "common", "lens_make": "common", "lens_model": "common",
        "software": "common",
        "iso": "keep", "f_number": "keep", "exposure_time_s": "keep", "focal_length_mm": "keep",
        "focal_length_35mm_mm": "keep", "flash_fired": "keep", "white_balance": "common", "metering_mode": "common",
        "exposure_program": "common",
        "latitude_deg": "place", "longitude_deg": "place", "altitude_m": "fix", "gps_at": "fix", "timezone": "zone",
        "place_city": "place", "place_region": "place", "place_country_code": "place",
        "title": "drop", "description": "drop", "keywords": "drop", "rating": "keep", "creator": "drop",
        "copyright": "drop",
        "color_space": "common", "has_icc_profile": "keep", "icc_profile_name": "common", "bit_depth": "keep",
        "has_alpha": "keep", "is_animated": "keep", "live_photo_id": "drop", "is_motion_photo": "keep",
        "pair_media_id": "file", "container": "keep", "video_codec": "keep", "audio_codec": "keep",
        "frame_rate_fps": "rounded", "bit_rate_bps": "size", "rotation_deg": "keep", "pixel_format": "keep",
        "color_transfer": "keep", "audio_channels": "keep", "sample_rate_hz": "keep", "tags_json": "drop",
        "warnings": "drop",
    },
    "renditions": {
        **_COMMON,
        "kind": "keep", "path": "drop", "public_url": "drop", "format": "keep", "width_px": "keep",
        "height_px": "keep", "size_bytes": "size", "crop_x_px": "keep", "crop_y_px": "keep", "crop_width_px": "keep",
        "crop_height_px": "keep", "crop_reason": "keep", "ssim": "rounded", "asset": "keep", "quality": "keep",
        "thumbhash": "drop", "duration_s": "seconds", "frame_s": "keep",
    },
    "appearance": {
        **_COMMON,
        "dominant_colors": "drop", "brightness": "rounded", "saturation": "rounded", "color_temperature": "size",
        "blur_score": "rounded", "noise_score": "rounded", "contrast": "rounded", "exposure": "rounded",
        "quality_score": "rounded", "phash": "drop", "dhash": "drop",
    },
    "objects": {
        **_COMMON, **_BOX,
        "frame_s": "keep", "object_index": "keep", "label": "keep", "score": "rounded",
    },
    "faces": {
        **_COMMON, **_BOX,
        "frame_s": "keep", "face_index": "keep", "score": "rounded", "landmarks": "drop", "embedding": "drop",
        "embedding_model": "drop", "embedding_metric": "drop", "face_size_px": "keep", "face_sharpness": "rounded",
        "face_yaw_deg": "rounded", "face_pitch_deg": "rounded", "face_roll_deg": "rounded", "face_quality": "rounded",
    },
    "scenes": {
        **_COMMON,
        "frame_s": "keep", "rank": "keep", "label": "keep", "score": "rounded", "caption": "drop",
        "caption_source": "drop",
    },
    "texts": {
        **_COMMON, **_BOX,
        "frame_s": "keep", "text_index": "keep", "text": "drop", "score": "rounded", "polygon": "drop",
    },
    "safety": {
        **_COMMON,
        "frame_s": "keep", "category": "keep", "score": "rounded", "flagged": "keep", "level": "keep",
    },
    "near_duplicates": {
        **_COMMON,
        "group_id": "group", "representative_media_id": "file", "distance": "keep", "method": "keep",
    },
    "shareable": {
        **_COMMON,
        "state": "keep", "reason": "keep", "path": "drop", "format": "keep", "mime_type": "keep", "width_px": "keep",
        "height_px": "keep", "duration_s": "seconds", "size_bytes": "size", "sha256": "drop", "phash": "drop",
        "phash_distance": "keep", "style": "keep", "faces_covered": "keep", "texts_covered": "keep",
        "faces_left": "keep", "tags_left": "keep", "rounds": "keep", "verified_with": "keep", "covers": "drop",
        "has_audio": "keep",
        # Rounded already, and by another rule: to round it again would name a place that nobody was at.
        "location_level": "drop", "latitude_deg": "drop", "longitude_deg": "drop", "place_city": "drop",
        "place_country_code": "drop",
    },
    "skipped": {**_COMMON, "asset": "keep", "purpose": "keep", "reason": "keep"},
    "rejected": {
        **_COMMON,
        "source_key": "drop", "sha256": "drop", "size_bytes": "size", "stage": "keep", "reason_code": "keep",
        "permanent": "keep", "message": "drop", "tool_version": "keep", "attempts": "keep", "first_seen_at": "time",
        "last_seen_at": "time", "etag": "drop",
    },
}  # fmt: skip
"""The rule of each column of the tables that are exported."""


class UndecidedColumnError(Exception):
    """A table or a column has no rule: nobody has thought about it, so that it must not leave the library."""


def rules_of(table: Table) -> Mapping[str, Rule] | None:
    """Return the rule of each column of a table, in its order; ``None``: the table is left out.

    Raises:
        UndecidedColumnError: A column or the table has no rule.
    """
    if table.name in LEFT_OUT:
        return None
    rules = COLUMNS.get(table.name, {})
    undecided = [column.name for column in table.columns if column.name not in rules]
    if undecided:
        raise UndecidedColumnError(
            f"Column {table.name}.{undecided[0]} has no rule for exports. Decide in "
            "media_assets/pipeline/export/policy.py."
        )
    return {column.name: rules[column.name] for column in table.columns}


def is_kept(rule: Rule, privacy: Privacy) -> bool:
    """Return whether a column with this rule is in a copy; of those with rule ``place``, only some may be."""
    kept_until = {"drop": -1, "fix": 0, "zone": 1, "place": 2}.get(rule, len(PRIVACY))
    return PRIVACY.index(privacy) <= kept_until


def times_of(rule: Rule, times: Times, privacy: Privacy) -> Times:
    """Return how exactly a time is told.

    Without a place, points in time are cut to days: beside the wall time of a picture, the minute of its upload would
    tell the offset from UTC.
    """
    if rule == "time" and privacy in ("country", "none"):
        return TIMES[max(TIMES.index(times), TIMES.index("day"))]
    return times
