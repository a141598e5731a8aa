"""The assets of op ``ingest``: their names, their tables, and the code version that decides their results.

Names and versions only. The Dagster specs are made from these in ``defs.assets.ingest``.
"""

import hashlib
import json
from dataclasses import asdict

from media_assets.media.encode import JPEG_QUALITY, JPEG_SUBSAMPLING
from media_assets.media.resize import RENDITION_SIZES

ORIGINAL = "original"
METADATA = "metadata"
THUMBNAILS = "thumbnails"

INGEST_ASSETS = (ORIGINAL, METADATA, THUMBNAILS)

TABLE_OF = {ORIGINAL: "files", METADATA: "metadata", THUMBNAILS: "renditions"}
REJECTED_TABLE = "rejected"

# Raise a number when the result of the asset changes for the same file and the same settings.
_ALGORITHM = {ORIGINAL: 1, METADATA: 1, THUMBNAILS: 1}
_SETTINGS: dict[str, object] = {
    ORIGINAL: None,
    METADATA: None,
    THUMBNAILS: {
        "sizes": [asdict(size) for size in RENDITION_SIZES],
        "jpeg_quality": JPEG_QUALITY,
        "jpeg_subsampling": JPEG_SUBSAMPLING,
    },
}


def code_version(asset: str) -> str:
    """Return the version of what computes ``asset``: algorithm number and a hash of its settings."""
    settings = json.dumps(_SETTINGS[asset], sort_keys=True)
    return f"{_ALGORITHM[asset]}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"


def data_version(asset: str, input_version: str) -> str:
    """Return the Dagster data version of a result: what it was made from and by which code.

    The original *is* its bytes, whatever code stored them.
    """
    return input_version[:32] if asset == ORIGINAL else f"{input_version[:16]}.{code_version(asset)}"
