"""The assets of every media file: their names, their tables, and the code version that decides their results.

Names and versions only. The Dagster specs are made from these in ``defs.assets``.
"""

import hashlib
import json
from dataclasses import asdict
from functools import cache

from media_assets.media import places
from media_assets.media.encode import QUALITY_OF
from media_assets.media.resize import FRAME_LONGEST_PX, RENDITION_SIZES
from media_assets.models.faces import BUNDLED_MODEL
from media_assets.models.vision_recipe import EMBEDDINGS, FACES, OBJECTS, SAFETY, SCENES, TEXTS
from media_assets.pipeline.recipe import DEFAULT_RECIPE, Recipe

ORIGINAL = "original"
METADATA = "metadata"
THUMBNAILS = "thumbnails"
OPTIMIZED = "optimized"
APPEARANCE = "appearance"
SHAREABLE = "shareable"

INGEST_ASSETS = (ORIGINAL, METADATA, THUMBNAILS, OPTIMIZED, APPEARANCE)

TABLE_OF = {
    ORIGINAL: "files",
    METADATA: "metadata",
    THUMBNAILS: "renditions",
    OPTIMIZED: "renditions",
    APPEARANCE: "appearance",
    **{asset: asset for asset in (EMBEDDINGS, OBJECTS, FACES, SCENES, TEXTS, SAFETY)},
    SHAREABLE: "shareable",
}
ANALYZE_ASSETS = (EMBEDDINGS, OBJECTS, FACES, SCENES, TEXTS, SAFETY)
"""The assets of op ``analyze``; each has a table of its own name."""

PROTECT_ASSETS = (SHAREABLE,)
"""The asset of op ``protect``."""

PER_FILE_ASSETS = (*INGEST_ASSETS, *ANALYZE_ASSETS, *PROTECT_ASSETS)
"""Every asset that has a partition for each media file."""

REJECTED_TABLE = "rejected"

RECOGNIZED = "+recognition"
"""What the version of ``faces`` ends with where recognition was allowed."""

UNLOCATED = "+no_location"
"""What the version of ``metadata`` ends with where the position was withheld."""

# Raise a number when the result of the asset changes for the same file and the same settings.
_ALGORITHM = {
    ORIGINAL: 2,
    METADATA: 2,
    THUMBNAILS: 4,
    OPTIMIZED: 1,
    APPEARANCE: 1,
    EMBEDDINGS: 1,
    OBJECTS: 1,
    FACES: 1,
    SCENES: 1,
    TEXTS: 1,
    SAFETY: 1,
    SHAREABLE: 1,
}

_THUMBNAIL_OPTIONS = ("thumbnail_format", "thumbnail_squares", "thumbnail_crop", "background", "video_frames")
_OPTIMIZED_OPTIONS = ("background", "optimized_formats", "optimized_ssim", "animation_format")


def _settings(asset: str, recipe: Recipe) -> object:
    """What decides the result of ``asset`` besides its algorithm."""
    rendering = asdict(recipe.rendering)
    if asset == THUMBNAILS:
        detects = bool(recipe.rendering.thumbnail_squares) and recipe.rendering.thumbnail_crop == "smart"
        return {
            "sizes": [asdict(size) for size in RENDITION_SIZES],
            "frames": FRAME_LONGEST_PX,
            "quality": dict(QUALITY_OF),
            "faces": BUNDLED_MODEL if detects else None,
            **{name: rendering[name] for name in _THUMBNAIL_OPTIONS},
        }
    if asset == OPTIMIZED:
        return {name: rendering[name] for name in _OPTIMIZED_OPTIONS}
    if asset == APPEARANCE:
        return {"background": rendering["background"]}
    if asset == METADATA:
        offline = recipe.geocoder == "offline"
        return {"geocoder": recipe.geocoder, "places": places.data_version() if offline else None}
    if asset in ANALYZE_ASSETS:
        return recipe.vision.decides(asset)
    if asset == SHAREABLE:
        return recipe.sharing.decides()
    return None


@cache
def code_version(asset: str, recipe: Recipe = DEFAULT_RECIPE) -> str:
    """Return the version of what computes ``asset``: algorithm number and a hash of its settings.

    Args:
        asset: Name of the asset.
        recipe: The settings that count; for ``metadata`` so do the versions of the place data.
    """
    settings = json.dumps(_settings(asset, recipe), sort_keys=True)
    return f"{_ALGORITHM[asset]}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"


def ledger_version(asset: str, recipe: Recipe, *, recognizes: bool, locates: bool = True) -> str:
    """Return the version by which the ledger tells whether a result is out of date.

    That of the code, for ``faces`` also whether recognition was allowed, and for ``metadata`` whether the place was: a
    consent that is given or withdrawn makes the results of its owner out of date, and nobody else's.

    Args:
        asset: Name of the asset.
        recipe: See :func:`code_version`.
        recognizes: Whether the owner of the file has consented to recognition.
        locates: Whether the owner lets places be kept.
    """
    version = code_version(asset, recipe)
    if asset == METADATA and not locates:
        return version + UNLOCATED
    return version + (RECOGNIZED if asset == FACES and recognizes else "")


def data_version(asset: str, input_version: str, recipe: Recipe = DEFAULT_RECIPE, sidecars: str = "") -> str:
    """Return the Dagster data version of a result: what it was made from and by which code.

    The original *is* its bytes, whatever code stored them.

    Args:
        asset: Name of the asset.
        input_version: SHA-256 of the media file.
        recipe: See :func:`code_version`.
        sidecars: Version of the sidecars that were read; it counts for ``metadata`` only, "" when there were none.
    """
    if asset == ORIGINAL:
        return input_version[:32]
    made_from = f"{input_version[:16]}+{sidecars}" if sidecars and asset == METADATA else input_version[:16]
    return f"{made_from}.{code_version(asset, recipe)}"
