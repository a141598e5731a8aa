"""Files copied into the inbox of a running service become partitions, rows and objects; bad ones become rejects."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from media_assets.demo.sample_library import SampleFile
from media_assets.media.resize import RENDITION_SIZES
from media_assets.pipeline.assets import ANALYZE_ASSETS, INGEST_ASSETS, PER_FILE_ASSETS, SHAREABLE
from media_assets_tests.e2e.serving import Serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_ASSETS = """
{ assetNodes {
    assetKey { path }
    partitionStats { numPartitions numMaterialized numFailed numMaterializing }
    assetPartitionStatuses { ... on DefaultPartitionStatuses { materializedPartitions unmaterializedPartitions } }
    assetChecksOrError { ... on AssetChecks { checks {
      name
      executionForLatestMaterialization { status evaluation { success severity metadataEntries {
        label ... on IntMetadataEntry { intValue }
      } } }
    } } }
} }"""


_STALENESS = """
query ($asset: AssetKeyInput!) { assetNodeOrError(assetKey: $asset) { ... on AssetNode { staleStatusByPartition } } }"""


def _assets(serving: Serving) -> dict[str, Mapping[str, Any]]:
    return {node["assetKey"]["path"][-1]: node for node in serving.graphql(_ASSETS)["assetNodes"]}


def test_every_file_is_processed(serving: Serving, samples: Sequence[SampleFile], accepted: list[SampleFile]) -> None:
    status = serving.command("status")

    refused = len(samples) - len(accepted)
    assert status["files"] == {"accepted": len(accepted), "rejected": refused}
    assert set(status["batches"]) == {"done"}
    assert status["last_full_sweep_at"] is not None
    # Web versions come on top of the thumbnails; how many there are depends on the files.
    assert status["catalog_rows"].pop("renditions") > len(accepted) * len(RENDITION_SIZES)
    expected = {**dict.fromkeys(("files", "metadata", "appearance"), len(accepted)), "rejected": refused}
    filled = {table: count for table, count in status["catalog_rows"].items() if count}
    assert filled.pop("near_duplicates", 0) >= 0  # some samples are alike
    # Nobody consented to publication, which a sensor notes file by file.
    assert filled.pop("skipped", 0) <= len(accepted)
    assert filled == expected
    # Frames of videos come on top.
    kinds = "kind not like 'frame%'"
    made = serving.command("query", f"select count(*) n from renditions where asset = 'thumbnails' and {kinds}")
    assert made[0]["n"] == len(accepted) * len(RENDITION_SIZES)
    rows = serving.command("query", "select source_key from files")
    assert {row["source_key"] for row in rows} == {sample.name for sample in accepted}


def test_bad_files_are_rejected_with_their_reasons(serving: Serving, rejected: list[SampleFile]) -> None:
    rows = {row["source_key"]: row for row in serving.command("rejected")}

    assert {name: row["reason_code"] for name, row in rows.items()} == {
        sample.name: str(sample.reason_code) for sample in rejected
    }
    assert {"truncated", "unsupported_type", "empty_file"} == {row["reason_code"] for row in rows.values()}
    for row in rows.values():
        assert row["message"].rstrip(".").split(". ")[-1].startswith("Upload"), "the message names no next action"


def test_every_run_is_green_and_covers_a_range(serving: Serving, samples: Sequence[SampleFile]) -> None:
    by_job: dict[str, list[Mapping[str, Any]]] = {}
    for run in serving.runs():
        assert run["status"] == "SUCCESS", run
        by_job.setdefault(run["jobName"], []).append(run)

    assert set(by_job) == {"ingest_job", "groups_job", "catalog_job"}
    assert len(by_job["ingest_job"]) < len(samples) / 4
    for run in by_job["ingest_job"]:
        assert run["tags"]["dagster/asset_partition_range_start"]
        assert run["tags"]["dagster/asset_partition_range_end"]
        assert run["tags"]["dagster/sensor_name"] == "inbox_sensor"


def test_accepted_files_are_materialized_and_refused_ones_have_no_partition(
    serving: Serving, accepted: list[SampleFile], media_ids: dict[str, str]
) -> None:
    assets = _assets(serving)

    assert set(assets) == {*PER_FILE_ASSETS, "catalog", "people", "near_duplicates"}
    for name in INGEST_ASSETS:
        partitions = assets[name]["assetPartitionStatuses"]
        assert set(partitions["materializedPartitions"]) == {media_ids[sample.name] for sample in accepted}
        assert partitions["unmaterializedPartitions"] == []
        assert assets[name]["partitionStats"] == {
            "numPartitions": len(accepted),
            "numMaterialized": len(accepted),
            "numFailed": 0,
            "numMaterializing": 0,
        }


def test_nothing_is_called_out_of_sync(serving: Serving, accepted: list[SampleFile]) -> None:
    for name in INGEST_ASSETS:
        node = serving.graphql(_STALENESS, asset={"path": [name]})["assetNodeOrError"]
        assert Counter(node["staleStatusByPartition"]) == {"FRESH": len(accepted)}


def test_asset_checks_have_results(serving: Serving, samples: Sequence[SampleFile], rejected: list[SampleFile]) -> None:
    results: dict[str, Mapping[str, Any]] = {}
    for name, node in _assets(serving).items():
        if name in ANALYZE_ASSETS or name == SHAREABLE:  # not asked for here
            continue
        for check in node["assetChecksOrError"].get("checks", []):
            assert check["executionForLatestMaterialization"] is not None, check
            results[check["name"]] = check["executionForLatestMaterialization"]

    assert set(results) == {
        *("decodable", "checksum_matches", "dimensions_match", "web_version_fits"),
        *("plausible_time", "plausible_position", "one_row_per_key", "one_owner_per_person", "whole_groups"),
    }
    warning = results.pop("decodable")["evaluation"]
    assert (warning["success"], warning["severity"]) == (False, "WARN")
    counted = {entry["label"]: entry.get("intValue") for entry in warning["metadataEntries"]}
    assert (counted["checked"], counted["not_passed"]) == (len(samples), len(rejected))
    for name, result in results.items():
        assert result["status"] == "SUCCEEDED", name
        assert result["evaluation"]["success"], name


def test_doctor_finds_nothing_wrong(serving: Serving) -> None:
    findings = serving.command("doctor", "--deep")

    assert {finding["check"] for finding in findings} >= {"storage", "catalog", "consistency", "codecs", "inbox"}
    # What the kernel or the container refuses to decoders is theirs to say.
    assert [one for one in findings if one["state"] != "ok" and one["check"] != "isolation"] == []
