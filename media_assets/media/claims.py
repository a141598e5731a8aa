"""What one source says of a file, before the sources are weighed against each other.

Lives here: the record that every reader of metadata returns. Must not: read, merge or guess; the order of trust is in
``trust.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from media_assets.media.timestamps import CaptureTime


@dataclass(frozen=True)
class Claims:
    """The values that one source carries, each already checked for its own range and cleaned.

    Attributes:
        source: Name of the source, one of those that ``trust.SOURCES`` lists: ``exif``, ``xmp``, ``iptc``,
            ``quicktime``, ``matroska``, ``sidecar_xmp``, ``takeout``, ``file_name`` and so on.
        fields: Fields of :class:`~media_assets.media.records.Metadata` by name, without those of the capture time;
            only those that the source has.
        times: Capture times that the source gives, the most trusted first.
        tags: Everything else that the source carries, as text, by a name with its group (``Exif.SceneType``,
            ``XMP-crs.Contrast``); becomes ``tags_json``.
    """

    source: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    times: tuple[CaptureTime, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
