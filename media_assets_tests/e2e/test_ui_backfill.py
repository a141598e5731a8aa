"""A backfill of ``thumbnails`` over all partitions that is launched in the UI ends green, as ranged runs."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import expect

from media_assets.demo.sample_library import SampleFile
from media_assets.pipeline.assets import THUMBNAILS
from media_assets_tests.e2e.serving import Serving, wait_until
from media_assets_tests.e2e.ui import Ui

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

# The backfill daemon looks every 30 s: to launch the runs, to see their results, and to find that none is left.
_TIMEOUT_S = 300.0

_BACKFILL = """
query ($id: String!) { partitionBackfillOrError(backfillId: $id) { __typename ... on PartitionBackfill {
  status numPartitions
  assetBackfillData { assetBackfillStatuses { ... on AssetPartitionsStatusCounts {
    assetKey { path } numPartitionsTargeted numPartitionsMaterialized numPartitionsFailed
  } } }
  runs(limit: 1000) { id status tags { key value }
    assetMaterializations { assetKey { path } partition } assetSelection { path } }
} } }"""

_PARTITIONS = """
query ($asset: AssetKeyInput!) { assetNodeOrError(assetKey: $asset) { ... on AssetNode {
  assetPartitionStatuses { ... on DefaultPartitionStatuses {
    materializedPartitions failedPartitions unmaterializedPartitions } } } } }"""


def _launch(ui: Ui) -> str:
    """Materialize all partitions of ``thumbnails`` through the dialog; return the id of the backfill."""
    ui.open(f"/assets/{THUMBNAILS}?view=partitions")
    ui.page.get_by_role("button", name="Materialize").first.click()
    dialog = ui.dialog()
    dialog.get_by_role("button", name="All", exact=True).click()
    dialog.get_by_role("button", name="Launch backfill").click()
    view = ui.page.get_by_role("link", name="View", exact=True)
    expect(view).to_be_visible()
    path = view.get_attribute("href")
    assert path is not None
    return path.rsplit("/", 1)[-1]


def _backfill(serving: Serving, backfill_id: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = serving.graphql(_BACKFILL, id=backfill_id)["partitionBackfillOrError"]
    assert found["__typename"] == "PartitionBackfill", found
    return found


def _has_ended(serving: Serving, backfill_id: str) -> bool:
    return str(_backfill(serving, backfill_id)["status"]).startswith(("COMPLETED", "FAILED", "CANCELED"))


@pytest.fixture(scope="module")
def launched(ui: Ui, serving: Serving) -> str:
    backfill_id = _launch(ui)
    wait_until(f"backfill {backfill_id} has ended", partial(_has_ended, serving, backfill_id), _TIMEOUT_S, every_s=3.0)
    return backfill_id


def _check_runs(backfill: Mapping[str, Any], expected: set[str]) -> None:
    """Few ranged runs, all green, that together made exactly the expected partitions, each once."""
    made = []
    assert 0 < len(backfill["runs"]) < len(expected) / 4
    for run in backfill["runs"]:
        tags = {tag["key"]: tag["value"] for tag in run["tags"]}
        assert run["status"] == "SUCCESS", run["id"]
        assert tags["dagster/asset_partition_range_start"] in expected
        assert tags["dagster/asset_partition_range_end"] in expected
        assert "dagster/partition" not in tags
        assert [key["path"] for key in run["assetSelection"]] == [[THUMBNAILS]]
        for event in run["assetMaterializations"]:
            assert event["assetKey"]["path"] == [THUMBNAILS]
            made.append(event["partition"])
    assert sorted(made) == sorted(expected)


def _check_only_accepted(serving: Serving, accepted: set[str]) -> None:
    found = serving.graphql(_PARTITIONS, asset={"path": [THUMBNAILS]})["assetNodeOrError"]["assetPartitionStatuses"]
    assert set(found["materializedPartitions"]) == accepted
    assert found["unmaterializedPartitions"] == []
    assert found["failedPartitions"] == []


def _ids(samples: list[SampleFile], media_ids: Mapping[str, str]) -> set[str]:
    return {media_ids[sample.name] for sample in samples}


def test_backfill_of_all_partitions_ends_green(
    ui: Ui, launched: str, serving: Serving, media_ids: dict[str, str], accepted: list[SampleFile]
) -> None:
    backfill = _backfill(serving, launched)

    assert backfill["status"] == "COMPLETED_SUCCESS"
    assert backfill["numPartitions"] == len(accepted)
    assert len(backfill["runs"]) == 1
    _check_runs(backfill, _ids(accepted, media_ids))
    _check_only_accepted(serving, _ids(accepted, media_ids))

    ui.open(f"/runs/b/{launched}")
    expect(ui.page.get_by_text("100% completed")).to_be_visible()
    ui.page.get_by_role("tab", name="Runs").click()
    expect(ui.page.get_by_text("Success", exact=True)).to_have_count(len(backfill["runs"]))
    expect(ui.page.get_by_text("Succeeded", exact=True)).to_be_visible()
    ui.picture("backfill.png", height_px=720)
    ui.open("/runs")
    ui.page.get_by_text("Show runs within backfills").click()
    expect(ui.page.get_by_text("Success", exact=True)).to_have_count(len(serving.runs()))
    expect(ui.page.get_by_text("Failure", exact=True)).to_have_count(0)
    ui.picture("runs.png")


def test_nothing_is_inconsistent_after_the_backfills(launched: str, serving: Serving) -> None:
    findings = serving.command("doctor", "--deep")

    assert {finding["check"] for finding in findings} >= {"catalog", "consistency"}
    assert [one for one in findings if one["state"] != "ok" and one["check"] != "isolation"] == []
