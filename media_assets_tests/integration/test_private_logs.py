"""What Dagster keeps of a whole ``media-assets process``, byte by byte: no owner, file name, place or picture."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from media_assets.demo.camera_exif import Camera, Place, Shot, exif_bytes
from media_assets.demo.photos import Photo, load_photo
from media_assets.pipeline.library import Library
from media_assets.settings import Settings
from media_assets.storage import catalog
from media_assets_tests.integration.test_incremental import cli_environment, run_cli

pytestmark = pytest.mark.integration

OWNER, NAME, ARTIST = "zanzibarella", "Kim & Lee at home", "Photographer Quux"
PICTURE = "data:image"
# In no point in time, which has a colon or digits before its seconds.
POSITION = re.compile(rb"(?<![:\d])(48\.208|16\.373)")


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """A portrait that was taken in Vienna, and a file that is refused."""
    folder = tmp_path / "pictures" / OWNER
    folder.mkdir(parents=True)
    shot = Shot(
        Camera("Canon", "EOS R6"), datetime(2024, 5, 17, 12, 0, tzinfo=UTC), 0.01, 4.0, 100, 50.0, 50,
        place=Place(48.2082, 16.3738, 170.0),
    )  # fmt: skip
    load_photo(Photo.ASTRONAUT).save(folder / f"{NAME}.jpg", "JPEG", exif=exif_bytes(shot, artist=ARTIST))
    (folder / f"{NAME} broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    return folder.parent


def _kept_by_dagster(tmp_path: Path, inbox: Path, ui_previews: str) -> dict[str, bytes]:
    """Process the inbox; return the files of Dagster's home, without the ledger, which is no log."""
    library = tmp_path / f"library-{ui_previews}"
    env = cli_environment(tmp_path / "home", MEDIA_ASSETS_ANALYZE="true", MEDIA_ASSETS_UI_PREVIEWS=ui_previews)
    done = run_cli("process", inbox, "--library", library, env=env, timeout_s=400)
    assert done.returncode in (0, 1), done.stderr
    opened = Library(Settings(library=str(library)))
    try:
        (metadata,) = catalog.read_current(opened.store, "metadata").to_pylist()
        assert (metadata["place_country_code"], metadata["creator"]) == ("AT", ARTIST)
        assert catalog.row_count(opened.store, "faces") == 1
        city = str(metadata["place_city"])
        home = opened.settings.state_dir
    finally:
        opened.close()
    files = [path for path in home.rglob("*") if path.is_file() and not path.name.startswith("ledger.db")]
    found = {str(path.relative_to(home)): path.read_bytes() for path in files}
    assert sum(content.count(b"ASSET_MATERIALIZATION") for content in found.values()) > 10
    found["the place"] = city.encode()
    return found


def test_the_records_of_runs_name_nobody_and_show_nothing_where_previews_are_off(tmp_path: Path, inbox: Path) -> None:
    kept = _kept_by_dagster(tmp_path, inbox, "off")
    telling = [kept.pop("the place").decode(), OWNER, NAME, ARTIST, PICTURE]
    assert {
        (path, word) for path, content in kept.items() for word in telling if word.lower().encode() in content.lower()
    } == set()
    assert [path for path, content in kept.items() if POSITION.search(content)] == []


def test_with_previews_on_pictures_and_keys_are_shown_and_places_and_authors_are_not(
    tmp_path: Path, inbox: Path
) -> None:
    kept = _kept_by_dagster(tmp_path, inbox, "on")
    city = kept.pop("the place")
    everything = b"\n".join(kept.values())
    assert PICTURE.encode() in everything
    assert f"{OWNER}/{NAME}.jpg".encode() in everything
    assert city not in everything
    assert ARTIST.encode() not in everything
    assert POSITION.search(everything) is None
