"""The UI shows the assets with the counts of their partitions, and the picture of a partition."""

import re

import pytest
from playwright.sync_api import expect

from media_assets.demo.sample_library import SampleFile
from media_assets.models.vision_recipe import FACES
from media_assets.pipeline.assets import ORIGINAL, PER_FILE_ASSETS, THUMBNAILS
from media_assets_tests.e2e.ui import Ui

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_asset_catalog_lists_the_assets_with_their_partition_counts(ui: Ui, accepted: list[SampleFile]) -> None:
    ui.open("/assets")

    for name in (*PER_FILE_ASSETS, "catalog", "people", "near_duplicates"):
        expect(ui.asset_link(name)).to_be_visible()
    partitions = ui.page.get_by_text(f"{len(accepted)} partitions", exact=True)
    expect(partitions).to_have_count(len(PER_FILE_ASSETS))


def test_lineage_graph_shows_the_assets(ui: Ui) -> None:
    ui.open("/asset-groups")
    ui.page.get_by_role("button", name="panel_show_right", exact=True).click()  # the list beside the graph
    ui.page.mouse.click(900, 700, button="right")  # an empty place of the canvas
    ui.page.get_by_role("menuitem", name="Expand all groups").click()
    ui.settle()
    ui.page.get_by_role("button", name="zoom_out", exact=True).click(click_count=8, delay=300)

    # The middle of the graph; what lies beyond the edges of the window is not in the page. All names are in the list.
    for name in (ORIGINAL, THUMBNAILS, FACES, "catalog", "near_duplicates"):
        expect(ui.page.get_by_text(name, exact=True).last).to_be_visible()
    ui.picture("asset_graph.png")


@pytest.mark.parametrize(
    ("name", "image"),
    [("alice/2024 holiday/MVI_0118.mp4", None), ("bob/Grüße aus München/DSC_4711.JPG", "partition_preview.png")],
    ids=["video", "photo"],
)
def test_a_partition_shows_its_preview(
    ui: Ui, media_ids: dict[str, str], accepted: list[SampleFile], name: str, image: str | None,
) -> None:  # fmt: skip
    ui.open("/assets")
    ui.asset_link(THUMBNAILS).click()
    ui.page.get_by_role("tab", name="Partitions").click()
    expect(ui.page.get_by_text(f"Materialized ({len(accepted)})")).to_be_visible()
    expect(ui.page.get_by_text("Missing (0)")).to_be_visible()

    ui.page.get_by_text(media_ids[name], exact=True).first.click()
    expect(ui.page).to_have_url(re.compile(rf"partition={re.escape(media_ids[name])}"))
    picture = ui.page.locator("img[src^='data:image/jpeg;base64,']")
    link = ui.page.get_by_text("[Show Markdown]").first  # Dagster puts longer Markdown into a dialog
    expect(picture.or_(link).first).to_be_visible()
    if not picture.count():
        link.click()

    expect(picture).to_be_visible()
    width_px, height_px = picture.evaluate(
        "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
    )
    assert max(width_px, height_px) == 150
    assert min(width_px, height_px) > 0
    if image is not None:
        ui.picture(image)
