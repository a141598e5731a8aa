"""Opening a library that must be there already, for commands that only look."""

from media_assets.commands.output import EXIT_USAGE, UserError
from media_assets.pipeline.library import Library
from media_assets.settings import Settings


def open_existing(settings: Settings) -> Library:
    """Open a library without creating anything.

    Raises:
        UserError: There is no library at this place.
    """
    if settings.is_local and not settings.state_dir.is_dir():
        raise UserError(
            f"There is no library at {settings.library_url}. Name it with --library, or make one: "
            "media-assets process PATH --library DIR",
            EXIT_USAGE,
        )
    return Library(settings)
