"""How copies that may leave the library are made: the choices of an installation, as its code version sees them."""

from dataclasses import dataclass
from typing import Literal

from media_assets.models.protect_records import ProtectOptions
from media_assets.models.protect_version import protect_version

Style = Literal["solid", "pixelate", "blur"]
LocationLevel = Literal["exact", "city", "country", "none"]


@dataclass(frozen=True)
class SharingRecipe:
    """The choices of an installation. Two equal recipes give copies with the same covers.

    Attributes:
        style: How faces and texts are covered.
        longest_px: Longest side of a copy; ``None``: that of the original.
        keep_audio: Whether copies of videos have sound.
        cover_texts: Whether texts that identify are covered.
        jpeg_quality: Of pictures, 1-100.
        location: How exactly table ``shareable`` tells where a picture was taken.
    """

    style: Style = "solid"
    longest_px: int | None = None
    keep_audio: bool = False
    cover_texts: bool = True
    jpeg_quality: int = 92
    location: LocationLevel = "none"

    def options(self) -> ProtectOptions:
        """Return what the process that covers is told."""
        return ProtectOptions(
            style=self.style,
            longest_px=self.longest_px,
            keep_audio=self.keep_audio,
            cover_texts=self.cover_texts,
            jpeg_quality=self.jpeg_quality,
        )

    def decides(self) -> dict[str, object]:
        """Return what decides a copy besides the file: the code version of ``shareable`` depends on it."""
        return {"protect": protect_version(self.options()), "location": self.location}
