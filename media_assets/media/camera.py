"""Settings of the camera, from the tags that EXIF and XMP share by name and code (EXIF 3.0 section 4.6.5, XMP part 2).

Lives here: ranges and code tables. Must not: know how the tags are stored.
"""

from collections.abc import Callable
from typing import Any

from media_assets.media.exif import number_of

METERING_MODES = {
    1: "average",
    2: "center_weighted",
    3: "spot",
    4: "multi_spot",
    5: "pattern",
    6: "partial",
    255: "other",
}
EXPOSURE_PROGRAMS = {
    1: "manual",
    2: "program",
    3: "aperture_priority",
    4: "shutter_priority",
    5: "creative",
    6: "action",
    7: "portrait",
    8: "landscape",
}
WHITE_BALANCES = {0: "auto", 1: "manual"}
COLOR_SPACES = {1: "sRGB", 2: "Adobe RGB", 0xFFFF: "uncalibrated"}

_ISO_UNKNOWN = 65535  # EXIF 3.0 section 4.6.7: PhotographicSensitivity saturates here, another tag has the value
_ISO_TAGS = (
    "ISOSpeedRatings",
    "PhotographicSensitivity",
    "RecommendedExposureIndex",
    "StandardOutputSensitivity",
    "ISOSpeed",
)
_RANGES = {
    "f_number": ("FNumber", 512.0),
    "exposure_time_s": ("ExposureTime", 86_400.0),
    "focal_length_mm": ("FocalLength", 20_000.0),
    "focal_length_35mm_mm": ("FocalLengthIn35mmFilm", 20_000.0),
}

CAMERA_TAGS = frozenset(
    {
        *(name for name, _ in _RANGES.values()), "ISOSpeedRatings", "PhotographicSensitivity", "MeteringMode",
        "ExposureProgram", "WhiteBalance", "ColorSpace", "Flash",
    }
)  # fmt: skip
"""Tags that have a column, by name."""


def camera_settings(find: Callable[[str], object], source: str, notes: list[str]) -> dict[str, Any]:
    """Return the settings as fields of ``Metadata``, only those that are known.

    ``FNumber`` and ``ExposureTime`` are not derived from ``ApertureValue`` and ``ShutterSpeedValue``, which are rounded
    and often wrong.

    Args:
        find: Returns the raw value of a tag by its EXIF name, or ``None``.
        source: For messages, ``EXIF`` or ``XMP``.
        notes: Gets a sentence for every impossible value. A zero says "unknown" and is silent.
    """
    fields: dict[str, Any] = {"iso": _iso(find, source, notes)}
    for field, (tag, high) in _RANGES.items():
        fields[field] = _in_range(tag, find(tag), high, source, notes)
    flash = number_of(find("Flash"))
    fields["flash_fired"] = None if flash is None or not 0 <= flash <= 0xFFFF else bool(int(flash) & 1)
    for field, tag, names in (
        ("white_balance", "WhiteBalance", WHITE_BALANCES),
        ("metering_mode", "MeteringMode", METERING_MODES),
        ("exposure_program", "ExposureProgram", EXPOSURE_PROGRAMS),
        ("color_space", "ColorSpace", COLOR_SPACES),
    ):
        code = number_of(find(tag))
        fields[field] = None if code is None else names.get(int(code))
    return {name: value for name, value in fields.items() if value is not None}


def _iso(find: Callable[[str], object], source: str, notes: list[str]) -> int | None:
    """Return the first known sensitivity; 65535 in one tag means that another one has it."""
    for tag in _ISO_TAGS:
        value = number_of(find(tag))
        if value is not None and value != _ISO_UNKNOWN:
            number = _in_range(tag, value, 10_000_000, source, notes)
            if number is not None and number >= 1:
                return round(number)
    return None


def _in_range(tag: str, value: object, high: float, source: str, notes: list[str]) -> float | None:
    """Return the number when 0 < it <= high."""
    number = number_of(value)
    if number is not None and 0 < number <= high:
        return number
    if value is not None and number != 0:
        notes.append(f"{source} {tag} is not a possible value and was ignored.")
    return None
