"""What decides the results of the per-file assets besides the files: the settings that code versions depend on."""

from dataclasses import dataclass, field

from media_assets.media.rendering import RenderOptions
from media_assets.models.vision_recipe import VisionRecipe
from media_assets.pipeline.analysis_recipe import vision_recipe_of
from media_assets.pipeline.sharing_recipe import SharingRecipe
from media_assets.settings import Settings


@dataclass(frozen=True)
class Recipe:
    """How results are made. Two equal recipes give equal results for the same bytes.

    Attributes:
        geocoder: Setting ``geocoder``; it counts for ``metadata``.
        rendering: It counts for ``thumbnails`` and ``optimized``.
        vision: It counts for the assets of op ``analyze``.
        sharing: It counts for ``shareable``.
    """

    geocoder: str = "offline"
    rendering: RenderOptions = field(default_factory=RenderOptions)
    vision: VisionRecipe = field(default_factory=VisionRecipe)
    sharing: SharingRecipe = field(default_factory=SharingRecipe)


DEFAULT_RECIPE = Recipe()
"""The recipe of the default settings."""


def recipe_of(settings: Settings) -> Recipe:
    """Return the recipe of an installation.

    Raises:
        ModelError: The settings name a model that does not exist.
    """
    return Recipe(
        geocoder=settings.geocoder,
        rendering=settings.rendering,
        vision=vision_recipe_of(settings),
        sharing=SharingRecipe(
            style=settings.share_style,
            longest_px=settings.share_longest_px,
            keep_audio=settings.share_keep_audio,
            cover_texts=settings.share_cover_texts,
            jpeg_quality=settings.share_jpeg_quality,
            location=settings.share_location,
        ),
    )
