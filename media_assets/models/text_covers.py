"""Covers of telling texts, from what a model read."""

from collections.abc import Sequence

from media_assets.media.covers import grown_polygon, scaled_polygon
from media_assets.media.sensitive_text import sensitive_kinds, sensitive_places
from media_assets.models.protect_records import Cover, ReadText

_MARGIN_SHARE = 0.15  # of the height of a line


def text_covers(texts: Sequence[ReadText], scale: tuple[float, float], *, frame_s: float | None) -> list[Cover]:
    """Return the covers of those texts that tell who somebody is.

    Args:
        texts: What was read in a picture or frame, in pixels of the upright original.
        scale: Pixels of the copy to one of the original: x and y.
        frame_s: When, in a video.
    """
    covers = []
    for at in sensitive_places([one.text for one in texts], [one.box for one in texts]):
        text = texts[at]
        margin = _MARGIN_SHARE * (text.box[3] - text.box[1])
        kinds = sensitive_kinds(text.text)
        polygon = scaled_polygon(grown_polygon(text.polygon, margin), *scale)
        covers.append(Cover("text", frame_s, polygon, f"text:{kinds[0] if kinds else 'part'}"))
    return covers
