"""What models found is seen in the UI: drawn on the preview of a partition, and as a table beside it.

Last of the files of this folder: the others count what there is without an analysis.
"""

import base64
import io

import pytest
from PIL import Image
from playwright.sync_api import expect

from media_assets.models.vision_recipe import FACES, SCENES
from media_assets_tests.e2e.serving import Serving
from media_assets_tests.e2e.ui import Ui

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PORTRAIT = "bob/launch/crew.jpg"


@pytest.fixture(scope="module")
def analysed(serving: Serving) -> Serving:
    """The samples, with faces and scenes."""
    done = serving.command("reprocess", "--asset", FACES, "--asset", SCENES, "--stale", timeout_s=600)
    assert done["failures"] == []
    assert done["files"][FACES] == done["files"][SCENES] > 10
    return serving


def test_every_file_has_scenes_and_the_portrait_has_a_face(analysed: Serving, media_ids: dict[str, str]) -> None:
    (row,) = analysed.command(
        "query",
        "select count(*) n, max(score) score, max(x_max_px - x_min_px) width, count(embedding) encoded from faces "
        f"where media_id = '{media_ids[PORTRAIT]}'",
    )
    assert row["n"] == 1
    assert row["score"] > 0.9
    assert 100 < row["width"] < 500  # of 1024
    assert row["encoded"] == 0  # nobody consented
    (counts,) = analysed.command("query", "select count(distinct media_id) n, max(rank) ranks from scenes")
    assert counts["ranks"] == 5
    (files,) = analysed.command("query", "select count(*) n from files")
    assert counts["n"] == files["n"]
    assert analysed.command("stale")[FACES] == {"current": files["n"]}
    assert analysed.command("query", "select count(*) n from people") == [{"n": 0}]


def test_a_partition_shows_its_faces_drawn_on_the_preview(ui: Ui, analysed: Serving, media_ids: dict[str, str]) -> None:
    ui.open(f"/assets/{FACES}?view=partitions&partition={media_ids[PORTRAIT]}")
    picture = ui.page.locator("img[src^='data:image/webp;base64,']")
    link = ui.page.get_by_text("[Show Markdown]").first
    expect(picture.or_(link).first).to_be_visible()
    if not picture.count():
        link.click()
    expect(picture).to_be_visible()
    drawn = Image.open(io.BytesIO(base64.b64decode((picture.get_attribute("src") or "").partition(",")[2])))
    assert max(drawn.size) <= 480
    ui.picture("partition_faces.png")


def test_a_partition_shows_its_labels_as_a_table(ui: Ui, analysed: Serving, media_ids: dict[str, str]) -> None:
    ui.open(f"/assets/{SCENES}?view=partitions&partition={media_ids[PORTRAIT]}")
    expect(ui.page.get_by_text("efficientnet-lite0@0.1.0").first).to_be_visible()
    ui.picture("partition_scenes.png")
