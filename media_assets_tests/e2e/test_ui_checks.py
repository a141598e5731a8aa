"""The UI shows the verdicts of the asset checks: on the page of each partition, and summed up for the run."""

import re

import pytest
from playwright.sync_api import expect

from media_assets.pipeline.assets import METADATA, OPTIMIZED, ORIGINAL, THUMBNAILS
from media_assets_tests.e2e.ui import Ui

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PHOTO = "bob/Grüße aus München/DSC_4711.JPG"


@pytest.mark.parametrize(
    ("asset", "checks"),
    [
        (ORIGINAL, ("decodable", "checksum_matches")),
        (METADATA, ("plausible_time", "plausible_position")),
        (THUMBNAILS, ("dimensions_match",)),
        (OPTIMIZED, ("web_version_fits",)),
    ],
)
def test_a_partition_shows_the_verdicts_of_its_checks(
    ui: Ui, media_ids: dict[str, str], asset: str, checks: tuple[str, ...]
) -> None:
    ui.open(f"/assets/{asset}?view=partitions&partition={media_ids[PHOTO]}")

    for check in checks:
        expect(ui.page.get_by_text(f"{check}: passed")).to_be_visible()


def test_the_checks_of_a_run_count_the_files_that_did_not_pass(ui: Ui) -> None:
    ui.open(f"/assets/{ORIGINAL}?view=checks&checkDetail=decodable")
    ui.page.get_by_text("Execution history").click()
    ui.settle()

    refused = ui.page.get_by_text(re.compile(r"^[1-9]\d* of \d+ files did not pass\.$"))
    expect(refused.first).to_be_visible()
