import subprocess
import sys

import dagster as dg
import pytest

from media_assets.defs.build import build_definitions
from media_assets.pipeline.assets import (
    ANALYZE_ASSETS,
    INGEST_ASSETS,
    PER_FILE_ASSETS,
    PROTECT_ASSETS,
    code_version,
    data_version,
)


def test_the_code_location_loads_and_runs_could_be_launched() -> None:
    """In a process of its own: what a code server does at its start, with no library there."""
    code = "import dagster as dg; from media_assets.definitions import defs; dg.Definitions.validate_loadable(defs)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_code_location_consists_of() -> None:
    """Changing one of these names breaks what users and their instances refer to."""
    definitions = build_definitions()
    graph = definitions.resolve_asset_graph()
    specs = {key: graph.get(key) for key in graph.get_all_asset_keys()}
    assert {
        key.to_user_string(): {
            "deps": sorted(dep.to_user_string() for dep in node.parent_keys),
            "group": node.group_name,
            "partitioned": node.is_partitioned,
        }
        for key, node in specs.items()
    } == {
        "original": {"deps": [], "group": "ingest", "partitioned": True},
        "metadata": {"deps": ["original"], "group": "ingest", "partitioned": True},
        "thumbnails": {"deps": ["original"], "group": "ingest", "partitioned": True},
        "optimized": {"deps": ["original"], "group": "ingest", "partitioned": True},
        "appearance": {"deps": ["original"], "group": "ingest", "partitioned": True},
        **{
            name: {"deps": ["thumbnails"], "group": "analyze", "partitioned": True}
            for name in ("embeddings", "objects", "faces", "scenes", "texts", "safety")
        },
        "shareable": {"deps": ["faces", "original", "texts"], "group": "protect", "partitioned": True},
        "people": {"deps": ["faces"], "group": "catalog", "partitioned": False},
        "near_duplicates": {
            "deps": ["appearance", "embeddings", "original"],
            "group": "catalog",
            "partitioned": False,
        },
        "catalog": {
            "deps": sorted(PER_FILE_ASSETS),
            "group": "catalog",
            "partitioned": False,
        },
    }
    assert sorted((key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys) == [
        ("catalog", "one_row_per_key"),
        ("embeddings", "vectors_have_length_one"),
        ("faces", "faces_inside"),
        ("metadata", "plausible_position"),
        ("metadata", "plausible_time"),
        ("near_duplicates", "whole_groups"),
        ("objects", "objects_inside"),
        ("optimized", "web_version_fits"),
        ("original", "checksum_matches"),
        ("original", "decodable"),
        ("people", "one_owner_per_person"),
        ("safety", "nothing_to_review"),
        ("shareable", "no_face_left"),
        ("shareable", "no_metadata_left"),
        ("texts", "texts_inside"),
        ("thumbnails", "dimensions_match"),
    ]
    jobs = {job.name for job in definitions.resolve_all_job_defs() if not job.name.startswith("__")}
    assert jobs == {"ingest_job", "analyze_job", "protect_job", "groups_job", "catalog_job", "privacy_job"}
    assert {
        sensor.name: (
            sensor.job_name if sensor.targets else None,
            sensor.minimum_interval_seconds,
            sensor.default_status,
        )
        for sensor in definitions.sensors or ()
        if isinstance(sensor, dg.SensorDefinition)
    } == {
        "analysis_sensor": ("analyze_job", 10, dg.DefaultSensorStatus.RUNNING),
        "protect_sensor": ("protect_job", 10, dg.DefaultSensorStatus.RUNNING),
        "privacy_sensor": ("privacy_job", 30, dg.DefaultSensorStatus.RUNNING),
        "groups_sensor": ("groups_job", 10, dg.DefaultSensorStatus.RUNNING),
        "states_sensor": (None, 30, dg.DefaultSensorStatus.RUNNING),
        "departures_sensor": (None, 10, dg.DefaultSensorStatus.STOPPED),
        "inbox_events_sensor": (None, 10, dg.DefaultSensorStatus.STOPPED),
        "retention_sensor": (None, 600, dg.DefaultSensorStatus.RUNNING),
        "inbox_sensor": ("ingest_job", 10, dg.DefaultSensorStatus.RUNNING),
        "catalog_sensor": ("catalog_job", 10, dg.DefaultSensorStatus.RUNNING),
    }


def test_every_asset_and_check_says_what_it_is() -> None:
    graph = build_definitions().resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        description = graph.get(key).description
        assert description is not None, key
        assert description.endswith("."), key
    for check in graph.asset_check_keys:
        assert graph.get_check_spec(check).description


def test_a_backfill_is_split_into_ranged_runs() -> None:
    graph = build_definitions().resolve_asset_graph()
    for asset in PER_FILE_ASSETS:
        policy = graph.get(dg.AssetKey(asset)).backfill_policy
        assert policy is not None
        assert policy.max_partitions_per_run == 256


def test_assets_can_be_selected_one_by_one() -> None:
    definitions = build_definitions()
    for asset, job in [
        *((asset, "ingest_job") for asset in INGEST_ASSETS),
        *((asset, "analyze_job") for asset in ANALYZE_ASSETS),
        *((asset, "protect_job") for asset in PROTECT_ASSETS),
    ]:
        subset = definitions.resolve_job_def(job).get_subset(asset_selection={dg.AssetKey(asset)})
        selected = subset.asset_layer.selected_asset_keys
        assert selected == {dg.AssetKey(asset)}


def test_versions_depend_on_the_asset_and_on_the_bytes() -> None:
    versions = {asset: code_version(asset) for asset in PER_FILE_ASSETS}
    assert versions["thumbnails"] != versions["metadata"]
    assert len(set(versions.values())) == len(PER_FILE_ASSETS)
    assert data_version("metadata", "a" * 64) == f"{'a' * 16}.{versions['metadata']}"
    assert data_version("original", "a" * 64) == "a" * 32  # it is its bytes, whatever code stored them


def test_a_wrong_setting_fails_the_loading_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_ASSETS_BATCH_MAX_FILES", "0")
    with pytest.raises(Exception, match=r"Setting batch_max_files: .* MEDIA_ASSETS_BATCH_MAX_FILES\."):
        build_definitions()
