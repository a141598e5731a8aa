"""Assets ``people`` and ``near_duplicates`` as Dagster runs them."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import pytest

from media_assets.defs.assets.near_duplicates import near_duplicates
from media_assets.defs.assets.people import people
from media_assets.pipeline.library import Library
from media_assets.storage.tables import PartWriter
from media_assets_tests.conftest import MakeLibrary
from media_assets_tests.unit.pipeline.analysed import Analysed, looks
from media_assets_tests.unit.storage.table_rows import row


@pytest.fixture
def analysed(make_library: MakeLibrary) -> Analysed:
    return Analysed(make_library(recognition_owners=("alice",)))


def materialize(asset: dg.AssetsDefinition, library: Library, **config: Any) -> dg.ExecuteInProcessResult:
    ops = {"ops": {asset.op.name: {"config": config}}} if config else {}
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            [asset], instance=instance, resources={"library": library}, run_config=ops | quiet, raise_on_error=False
        )


def shown(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    return str(failure.step_failure_data.user_failure_data.description)


def verdict(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (check,) = result.get_asset_check_evaluations()
    return check


def pictures(shots: Sequence[int], folder: str = "alice") -> dict[str, list[Any]]:
    return {f"{folder}/{shot}.jpg": [looks(1, shot)] for shot in shots}


def test_people_are_counted_and_the_check_passes(analysed: Analysed) -> None:
    analysed.faces(pictures(range(3)) | pictures(range(2), "bob"))
    result = materialize(people, analysed.library, anew=True)
    assert result.success
    assert shown(result) == {
        "people": 1,
        "named_people": 0,
        "faces": 3,
        "faces_left_out": 0,
        "files_written": 3,
        "files_removed": 0,
        "owners_without_consent": 1,
    }
    assert (verdict(result).check_name, verdict(result).passed) == ("one_owner_per_person", True)


def test_a_person_of_two_owners_fails_the_check(analysed: Analysed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media_assets.defs.assets.people.update_people", _report_of_nothing)
    for owner in ("alice", "bob"):
        PartWriter(analysed.library.store, f"run-{owner}").append(
            "people", "2026-05", [row("people", f"{owner}-000000000000", owner=owner, person_id="p-1")]
        )
    analysed.library.compact()
    result = materialize(people, analysed.library)
    assert not verdict(result).passed
    assert verdict(result).metadata["people"].value == ["p-1"]


def _report_of_nothing(library: Library, run_id: str, *, anew: bool) -> Any:
    from media_assets.pipeline.people.update import PeopleReport

    return PeopleReport(0, 0, 0, 0, 0, 0, 0)


def test_people_wait_for_a_run_that_groups_them(analysed: Analysed) -> None:
    with analysed.library.ledger.lease("people", "somebody else"):
        result = materialize(people, analysed.library)
    assert not result.success
    assert failure_of(result) == "Another process is computing people. Wait for it and try again."


def test_a_model_that_the_registry_does_not_know_fails_with_its_name(analysed: Analysed) -> None:
    analysed.faces(pictures(range(2)), embedding_model="unheard-of@1")
    result = materialize(people, analysed.library)
    assert not result.success
    assert failure_of(result) == "There is no model 'unheard-of'. List them with: media-assets models list"


def test_near_duplicates_are_counted_and_the_check_passes(analysed: Analysed) -> None:
    for name, sha256 in (("a", "1"), ("b", "1"), ("c", "2"), ("d", "3")):
        facts = {"sha256": sha256, "media_type": "image"}
        analysed.write("files", {f"alice/{name}.jpg": [facts]})
        analysed.write("appearance", {f"alice/{name}.jpg": [{"phash": 2**64 - 1 if name == "d" else 0, "dhash": 0}]})
    result = materialize(near_duplicates, analysed.library)
    assert result.success
    assert shown(result) == {
        "groups": 1,
        "files": 3,
        "by_sha256": 1,
        "by_phash": 1,
        "files_written": 3,
        "files_removed": 0,
    }
    assert (verdict(result).check_name, verdict(result).passed) == ("whole_groups", True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"representative_media_id": "c-000000000000"},  # is not among them
        {"owner": "bob"},
        {"method": None},  # two representatives
    ],
)
def test_a_broken_group_fails_the_check(
    analysed: Analysed, wrong: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    from media_assets.pipeline.near_duplicates import NearDuplicatesReport

    monkeypatch.setattr(
        "media_assets.defs.assets.near_duplicates.update_near_duplicates",
        lambda library, run_id: NearDuplicatesReport(0, 0, {}, 0, 0),
    )
    group = {"group_id": "g-1", "representative_media_id": "a-000000000000", "owner": "alice"}
    members = [
        row("near_duplicates", "a-000000000000", **group),
        row("near_duplicates", "b-000000000000", **(group | {"method": "phash"} | wrong)),
    ]
    PartWriter(analysed.library.store, "run").append("near_duplicates", "2026-05", members)
    analysed.library.compact()
    result = materialize(near_duplicates, analysed.library)
    assert not verdict(result).passed
    assert verdict(result).metadata["groups"].value == ["g-1"]


def test_a_damaged_table_fails_the_run_with_its_name(analysed: Analysed) -> None:
    analysed.write("files", {"alice/a.jpg": [{}]})
    (part,) = [one.key for one in analysed.library.store.list("tables/files")]
    analysed.library.store.put_bytes(part, b"no parquet")
    result = materialize(near_duplicates, analysed.library)
    assert not result.success
    assert part in failure_of(result)
