"""A full disk is no fault of the picture: writing renditions fails as ScratchError, never as a content error."""

from pathlib import Path

import pytest
from PIL import Image

from media_assets.media.encode import write_renditions
from media_assets.media.errors import ScratchError

_FULL = Path("/dev/full")  # Linux: every write to it ends with "no space left on device"


@pytest.mark.skipif(not _FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("kind", ["preview", "thumb_1200", "thumb_150"])
def test_no_space_for_a_rendition(tmp_path: Path, kind: str) -> None:
    (tmp_path / f"{kind}.jpg").symlink_to(_FULL)
    picture = Image.effect_noise((400, 300), 60).convert("RGB")
    with pytest.raises(ScratchError):
        write_renditions(picture, picture.size, tmp_path)


def test_no_folder_for_renditions(tmp_path: Path) -> None:
    with pytest.raises(ScratchError):
        write_renditions(Image.new("RGB", (40, 30)), (40, 30), tmp_path / "gone")
