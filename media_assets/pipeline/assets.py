"""The assets of op ``ingest``: their names, their tables, and the code version that decides their results.

Names and versions only. The Dagster specs are made from these in ``defs.assets.ingest``.
"""

import hashlib
import json
from dataclasses import asdict
from functools import cache

from media_assets.media import places
from media_assets.media.encode import JPEG_QUALITY, JPEG_SUBSAMPLING
from media_assets.media.resize import RENDITION_SIZES

ORIGINAL = "original"
METADATA = "metadata"
THUMBNAILS = "thumbnails"

INGEST_ASSETS = (ORIGINAL, METADATA, THUMBNAILS)

TABLE_OF = {ORIGINAL: "files", METADATA: "metadata", THUMBNAILS: "renditions"}
REJECTED_TABLE = "rejected"

# Raise a number when the result of the asset changes for the same file and the same settings.
_ALGORITHM = {ORIGINAL: 2, METADATA: 2, THUMBNAILS: 2}

DEFAULT_GEOCODER = "offline"


def _settings(asset: str, geocoder: str) -> object:
    """What decides the result of ``asset`` besides its algorithm."""
    if asset == THUMBNAILS:
        return {
            "sizes": [asdict(size) for size in RENDITION_SIZES],
            "jpeg_quality": JPEG_QUALITY,
            "jpeg_subsampling": JPEG_SUBSAMPLING,
        }
    if asset == METADATA:
        return {"geocoder": geocoder, "places": places.data_version() if geocoder == "offline" else None}
    return None


@cache
def code_version(asset: str, geocoder: str = DEFAULT_GEOCODER) -> str:
    """Return the version of what computes ``asset``: algorithm number and a hash of its settings.

    Args:
        asset: Name of the asset.
        geocoder: Setting ``geocoder``; it counts for ``metadata`` only, as do the versions of the place data.
    """
    settings = json.dumps(_settings(asset, geocoder), sort_keys=True)
    return f"{_ALGORITHM[asset]}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"


def data_version(asset: str, input_version: str, geocoder: str = DEFAULT_GEOCODER, sidecars: str = "") -> str:
    """Return the Dagster data version of a result: what it was made from and by which code.

    The original *is* its bytes, whatever code stored them.

    Args:
        asset: Name of the asset.
        input_version: SHA-256 of the media file.
        geocoder: See :func:`code_version`.
        sidecars: Version of the sidecars that were read; it counts for ``metadata`` only, "" when there were none.
    """
    if asset == ORIGINAL:
        return input_version[:32]
    made_from = f"{input_version[:16]}+{sidecars}" if sidecars and asset == METADATA else input_version[:16]
    return f"{made_from}.{code_version(asset, geocoder)}"
