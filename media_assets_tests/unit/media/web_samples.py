"""What the tests of web versions share."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from media_assets.media.extract import extract
from media_assets.media.limits import Limits
from media_assets.media.records import Rendition
from media_assets.media.rendering import RenderOptions


@dataclass(frozen=True)
class WebVersions:
    """What was made of one file."""

    folder: Path
    by_format: dict[str, Rendition]
    notes: tuple[str, ...]

    def data(self, format_name: str) -> bytes:
        """Return the bytes of one web version."""
        return (self.folder / self.by_format[format_name].file_name).read_bytes()

    def pixels(self, format_name: str, mode: str | None = None) -> NDArray[np.uint8]:
        """Return the pixels of one web version."""
        return decoded_pixels(self.data(format_name), mode)


def web_versions(data: bytes, folder: Path, **options: Any) -> WebVersions:
    """Make the web versions of one file through the whole media layer."""
    folder.mkdir(exist_ok=True)
    source = folder / "source"
    source.write_bytes(data)
    result = extract(
        source,
        folder,
        file_name="source",
        metadata=False,
        renditions=False,
        optimized=True,
        options=RenderOptions(**options),
        limits=Limits(),
    )
    for made in result.optimized:
        assert made.kind == "optimized"
        assert (folder / made.file_name).stat().st_size == made.size_bytes
    return WebVersions(folder, {made.format: made for made in result.optimized}, result.warnings)


def decoded_pixels(data: bytes, mode: str | None = None) -> NDArray[np.uint8]:
    """Return the pixels of an encoded picture as Pillow decodes them."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image if mode is None else image.convert(mode))
