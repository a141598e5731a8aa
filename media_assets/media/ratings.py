"""Ratings of pictures: stars of XMP, per cent of Windows.

Lives here: the scales and their conversion. Must not: know where a rating is stored.
"""

from media_assets.media.exif import number_of

_PERCENT_STEPS = ((99, 5), (75, 4), (50, 3), (25, 2), (1, 1))  # what Windows writes for each number of stars


def rating_from_stars(value: object) -> int | None:
    """Return ``xmp:Rating`` as -1 (rejected) or 1 to 5 stars; ``None`` without one: 0 means "not rated" there."""
    number = number_of(value)
    if number is None or not -1 <= number <= 5:
        return None
    return round(number) or None


def rating_from_percent(value: object) -> int | None:
    """Return stars of ``MicrosoftPhoto:Rating`` (0 to 99 per cent), or ``None`` when there is none."""
    number = number_of(value)
    if number is None or not 0 < number <= 100:
        return None
    return next((stars for least, stars in _PERCENT_STEPS if number >= least), None)
