"""Pictures and names in Dagster's records, as far as setting ``ui_previews`` lets everybody see them who opens the UI.

The one place where a picture becomes metadata of an event; nothing else puts one there.
"""

import base64
from dataclasses import dataclass
from typing import Literal

import dagster as dg

from media_assets.media.blurred_preview import blurred_preview
from media_assets.settings import Settings


@dataclass(frozen=True)
class UiPreviews:
    """What the UI may show.

    Attributes:
        policy: ``on``; ``blurred``: colours and rough shapes only; ``off``: no pictures. Names of files and what a
            model says of a picture are shown with ``on`` only: they tell as much.
    """

    policy: Literal["on", "blurred", "off"] = "on"

    @property
    def names(self) -> bool:
        """Whether names of files and captions are shown."""
        return self.policy == "on"

    def picture(self, content: bytes, format_name: str, alt: str = "preview") -> dict[str, dg.MetadataValue]:
        """Return the metadata that shows a picture, at a click: the text is long. Nothing where none may be shown.

        Args:
            content: An encoded picture of this project's own making.
            format_name: Its format, as in its MIME type.
            alt: What it is, for whom it is not shown.
        """
        if self.policy == "off":
            return {}
        if self.policy == "blurred":
            content, format_name = blurred_preview(content), "webp"
        encoded = base64.b64encode(content).decode()
        return {"preview": dg.MetadataValue.md(f"![{alt}](data:image/{format_name};base64,{encoded})")}

    def drawn(self, encoded: str | None, alt: str) -> dict[str, dg.MetadataValue]:
        """Return the metadata that shows a WebP picture in base64; nothing for ``None``."""
        return {} if encoded is None else self.picture(base64.b64decode(encoded), "webp", alt)

    def link(self, url: str | None) -> dict[str, dg.MetadataValue]:
        """Return the metadata that shows the picture at a lasting public address; only with ``on``."""
        if not self.names or url is None or not url.startswith("http"):
            return {}
        return {"preview": dg.MetadataValue.md(f"![preview]({url})")}


def ui_previews(settings: Settings) -> UiPreviews:
    """Return what the settings let the UI show."""
    return UiPreviews(settings.ui_previews)
