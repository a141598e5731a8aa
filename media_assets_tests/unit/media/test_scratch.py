"""A full disk is no fault of the picture: writing renditions fails as ScratchError, never as a content error."""

from pathlib import Path

import pytest
from PIL import Image

from media_assets.media.errors import ScratchError
from media_assets.media.rendering import EXTENSION_OF, PictureFormat, RenderOptions
from media_assets.media.thumbnails import write_thumbnails

_FULL = Path("/dev/full")  # Linux: every write to it ends with "no space left on device"


@pytest.mark.skipif(not _FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("format_name", ["jpeg", "webp", "avif"])
@pytest.mark.parametrize("kind", ["preview", "thumb_1200", "thumb_150"])
def test_no_space_for_a_rendition(tmp_path: Path, kind: str, format_name: PictureFormat) -> None:
    extension = "jpg" if kind == "preview" else EXTENSION_OF[format_name]
    (tmp_path / f"{kind}.{extension}").symlink_to(_FULL)
    picture = Image.effect_noise((400, 300), 60).convert("RGB")
    with pytest.raises(ScratchError, match="No space left"):
        write_thumbnails(picture, picture.size, tmp_path, RenderOptions(thumbnail_format=format_name), None)


def test_no_folder_for_renditions(tmp_path: Path) -> None:
    with pytest.raises(ScratchError):
        write_thumbnails(Image.new("RGB", (40, 30)), (40, 30), tmp_path / "gone", RenderOptions(), None)
