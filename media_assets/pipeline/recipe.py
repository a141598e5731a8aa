"""What decides the results of op ``ingest`` besides the files: the settings that code versions depend on."""

from dataclasses import dataclass, field

from media_assets.media.rendering import RenderOptions
from media_assets.settings import Settings


@dataclass(frozen=True)
class Recipe:
    """How results are made. Two equal recipes give equal results for the same bytes.

    Attributes:
        geocoder: Setting ``geocoder``; it counts for ``metadata``.
        rendering: It counts for ``thumbnails`` and ``optimized``.
    """

    geocoder: str = "offline"
    rendering: RenderOptions = field(default_factory=RenderOptions)


DEFAULT_RECIPE = Recipe()
"""The recipe of the default settings."""


def recipe_of(settings: Settings) -> Recipe:
    """Return the recipe of an installation."""
    return Recipe(geocoder=settings.geocoder, rendering=settings.rendering)
