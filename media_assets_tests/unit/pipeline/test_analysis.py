"""Runs of op ``analyze`` without models: what is asked, what is written, and what is left to be done.

``fake_models`` stands in for the processes that run models.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from media_assets.models.findings import PictureFindings
from media_assets.pipeline.analysis import run_analysis
from media_assets.pipeline.analysis_outcomes import AnalysisOutcome
from media_assets.pipeline.analysis_pool import AssetFindings, LookItem
from media_assets.pipeline.analysis_selection import select_analysis
from media_assets.pipeline.library import Library
from media_assets.pipeline.selection import RunIdentity
from media_assets.pipeline.staleness import freshness_of
from media_assets.storage import catalog, keys
from media_assets_tests import fake_models
from media_assets_tests.conftest import Drop, MakeLibrary
from media_assets_tests.fake_models import Pool, found
from media_assets_tests.pictures import jpeg
from media_assets_tests.unit.pipeline.batches import Ingest

pytestmark = pytest.mark.usefixtures("_shared_decoder")


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    return fake_models.install(monkeypatch)


def analyze(
    library: Library, run_id: str, assets: Sequence[str], *source_keys: str, only_missing: bool = False
) -> list[AnalysisOutcome]:
    run = RunIdentity(run_id, run_id)
    ids = [keys.media_id(key) for key in source_keys]
    items = select_analysis(library.ledger, ids, assets, run, only_missing=only_missing).items
    return [outcome for chunk in run_analysis(library, items, run) for outcome in chunk.outcomes]


def rows(library: Library, table: str) -> list[dict[str, Any]]:
    library.compact()
    return list(catalog.read_current(library.store, table).to_pylist())


@pytest.fixture
def two(library: Library, drop: Drop, ingest: Ingest) -> Iterator[Library]:
    """A library with two pictures, one of which is wide: 96 x 48 px."""
    drop({"ann/a.jpg": jpeg(1, (96, 48)), "ben/b.jpg": jpeg(2)})
    ingest(library)
    yield library


def test_boxes_are_scaled_to_the_upright_original(two: Library, pool: Pool) -> None:
    analyze(two, "r1", ["objects"], "ann/a.jpg")
    (row,) = rows(two, "objects")
    assert (row["label"], row["score"], row["object_index"], row["frame_s"]) == ("dog", 0.75, 0, None)
    assert [row[f"{edge}_px"] for edge in ("x_min", "y_min", "x_max", "y_max")] == [0.0, 0.0, 48.0, 24.0]
    assert row["model"].startswith("nanodet-g@")
    assert row["input_version"] == two.ledger.entries([row["media_id"]])[row["media_id"]].sha256


def test_every_asset_has_rows_of_its_own(two: Library, pool: Pool) -> None:
    analyze(two, "r1", ["embeddings", "scenes", "safety", "texts"], "ann/a.jpg", "ben/b.jpg")
    assert [row["dim"] for row in rows(two, "embeddings")] == [2, 2]
    scenes = rows(two, "scenes")
    assert [(row["rank"], row["label"], row["caption"]) for row in scenes[:2]] == [
        (1, "beach", "a beach"),
        (2, "pier", None),
    ]
    assert {(row["flagged"], row["level"]) for row in rows(two, "safety")} == {(True, "sensitive")}
    assert rows(two, "texts") == []


def test_files_are_looked_at_together_up_to_the_size_of_a_batch(
    make_library: MakeLibrary, drop: Drop, ingest: Ingest, pool: Pool
) -> None:
    library = make_library(analysis_batch=3)
    names = [f"{number}.jpg" for number in range(8)]
    drop({name: jpeg(number) for number, name in enumerate(names)})
    ingest(library)
    outcomes = analyze(library, "r1", ["safety"], *names)
    assert [len(task) for task in pool.asked] == [3, 3, 2]
    assert [outcome.item.entry.source_key for outcome in outcomes] == names


def test_faces_are_encoded_only_where_the_owner_consented(
    make_library: MakeLibrary, drop: Drop, ingest: Ingest, pool: Pool
) -> None:
    library = make_library(recognition_owners=("ann",))
    drop({"ann/a.jpg": jpeg(1), "ben/b.jpg": jpeg(2)})
    ingest(library)
    analyze(library, "r1", ["faces"], "ann/a.jpg", "ben/b.jpg")
    found_faces = {row["owner"]: row for row in rows(library, "faces")}
    assert found_faces["ann"]["embedding"] == [0.5, 0.25]
    assert found_faces["ann"]["embedding_metric"] == "euclidean"
    assert found_faces["ben"]["embedding"] is None
    assert found_faces["ben"]["embedding_model"] is None


def test_a_consent_makes_the_faces_of_its_owner_out_of_date(
    make_library: MakeLibrary, drop: Drop, ingest: Ingest, pool: Pool
) -> None:
    library = make_library()
    drop({"ann/a.jpg": jpeg(1), "ben/b.jpg": jpeg(2)})
    ingest(library)
    analyze(library, "r1", ["faces", "objects"], "ann/a.jpg", "ben/b.jpg")
    consenting = make_library(recognition_owners=("ann",))
    assert dict(freshness_of(consenting, "faces")) == {
        keys.media_id("ann/a.jpg"): "out_of_date",
        keys.media_id("ben/b.jpg"): "current",
    }
    assert set(dict(freshness_of(consenting, "objects")).values()) == {"current"}


def test_an_asset_that_fails_costs_itself_and_is_left_to_be_done(two: Library, pool: Pool) -> None:
    def answer(asset: str, item: LookItem) -> AssetFindings:
        return AssetFindings(error="out of memory") if asset == "objects" else found(asset, item)

    pool.answer = answer
    outcomes = analyze(two, "r1", ["objects", "safety"], "ann/a.jpg", "ben/b.jpg")
    assert [dict(outcome.failed) for outcome in outcomes] == [{"objects": "out of memory"}] * 2
    assert len(rows(two, "safety")) == 2
    assert rows(two, "objects") == []
    lacking = two.ledger.unanalyzed(["objects", "safety"])
    assert set(map(frozenset, lacking.values())) == {frozenset({"objects"})}
    assert two.ledger.unanalyzed(["objects", "safety"], never_tried=True) == {}


def test_a_picture_that_kills_in_several_runs_is_not_tried_again(two: Library, pool: Pool) -> None:
    """Where the model works with other pictures; before that, model or machine may be to blame."""

    def kills(asset: str, item: LookItem) -> AssetFindings:
        return AssetFindings(error="It ended.", has_killed=True) if asset == "objects" else found(asset, item)

    pool.answer = kills
    for n in range(4):
        (outcome,) = analyze(two, f"r{n}", ["objects", "safety"], "ben/b.jpg")
        assert (outcome.killed, outcome.given_up) == ({"objects"}, frozenset())
    pool.answer = found
    analyze(two, "another", ["objects"], "ann/a.jpg")
    pool.answer = kills
    (outcome,) = analyze(two, "last", ["objects"], "ben/b.jpg")
    assert outcome.given_up == {"objects"}
    assert "is not tried again" in outcome.failed["objects"]
    assert two.ledger.unanalyzed(["objects"]) == {}


def test_one_run_is_not_enough_to_give_a_picture_up(two: Library, pool: Pool) -> None:
    analyze(two, "well", ["objects"], "ann/a.jpg")
    pool.answer = lambda asset, item: AssetFindings(error="It ended.", has_killed=True)
    for n in range(2):
        (outcome,) = analyze(two, f"r{n}", ["objects"], "ben/b.jpg")
        assert outcome.given_up == frozenset()
    assert list(two.ledger.unanalyzed(["objects"])) == [keys.media_id("ben/b.jpg")]


def test_a_model_that_cannot_be_loaded_is_asked_once(
    make_library: MakeLibrary, drop: Drop, ingest: Ingest, pool: Pool
) -> None:
    library = make_library(analysis_batch=1)
    names = [f"{number}.jpg" for number in range(6)]
    drop({name: jpeg(number) for number, name in enumerate(names)})
    ingest(library)
    message = "Model x is missing. Fetch it with: media-assets models pull x"
    pool.answer = lambda asset, item: AssetFindings(error=message, is_model_error=True)
    outcomes = analyze(library, "r1", ["objects"], *names)
    assert {tuple(outcome.failed.items()) for outcome in outcomes} == {(("objects", message),)}
    # Those that were on their way when the first answer came, and no more.
    assert len(pool.asked) < len(names)


def test_what_was_found_before_is_removed_when_nothing_is_found_now(two: Library, pool: Pool) -> None:
    analyze(two, "r1", ["objects"], "ann/a.jpg", "ben/b.jpg")
    assert len(rows(two, "objects")) == 2
    pool.answer = lambda asset, item: AssetFindings(found=(PictureFindings(),))
    analyze(two, "r2", ["objects"], "ann/a.jpg")
    assert [row["owner"] for row in rows(two, "objects")] == ["ben"]


def test_a_retry_of_a_run_does_only_what_is_left(two: Library, pool: Pool) -> None:
    analyze(two, "r1", ["objects"], "ann/a.jpg")
    again = select_analysis(
        two.ledger,
        [keys.media_id("ann/a.jpg"), keys.media_id("ben/b.jpg")],
        ["objects", "safety"],
        RunIdentity("r2", "r1"),
        only_missing=False,
    )
    assert {item.entry.source_key: item.assets for item in again.items} == {
        "ann/a.jpg": {"safety"},
        "ben/b.jpg": {"objects", "safety"},
    }


def test_a_new_run_does_everything_again_unless_it_wants_what_is_missing(two: Library, pool: Pool) -> None:
    analyze(two, "r1", ["objects"], "ann/a.jpg")
    assert len(analyze(two, "r2", ["objects"], "ann/a.jpg", "ben/b.jpg", only_missing=True)) == 1
    assert len(analyze(two, "r3", ["objects"], "ann/a.jpg", "ben/b.jpg")) == 2


def test_a_new_version_of_a_file_is_analysed_again(library: Library, drop: Drop, ingest: Ingest, pool: Pool) -> None:
    drop({"a.jpg": jpeg(1)})
    ingest(library)
    analyze(library, "r1", ["objects"], "a.jpg")
    assert library.ledger.unanalyzed(["objects"]) == {}
    drop({"a.jpg": jpeg(2, (64, 64))})
    ingest(library)
    assert library.ledger.unanalyzed(["objects"]) == {keys.media_id("a.jpg"): {"objects"}}


def test_a_preview_that_is_gone_is_named_with_the_command_that_makes_it(two: Library, pool: Pool) -> None:
    key = two.ledger.previews([keys.media_id("ann/a.jpg")])[keys.media_id("ann/a.jpg")].preview_key
    two.store.delete(key)
    first, second = analyze(two, "r1", ["objects"], "ann/a.jpg", "ben/b.jpg")
    assert "media-assets reprocess --asset thumbnails --all" in first.failed["objects"]
    assert list(second.made) == ["objects"]


def test_a_file_without_a_preview_is_said_to_have_none(
    library: Library, drop: Drop, ingest: Ingest, pool: Pool
) -> None:
    drop({"a.jpg": jpeg(1)})
    ingest(library, ["original"])
    selection = select_analysis(
        library.ledger, [keys.media_id("a.jpg")], ["objects"], RunIdentity("r", "r"), only_missing=True
    )
    assert selection.without_preview == (keys.media_id("a.jpg"),)
    assert selection.items == ()


def test_originals_are_not_read(two: Library, pool: Pool) -> None:
    for entry in two.ledger.entries([keys.media_id("ann/a.jpg"), keys.media_id("ben/b.jpg")]).values():
        assert entry.original_key is not None
        two.store.delete(entry.original_key)
    outcomes = analyze(two, "r1", ["objects", "faces"], "ann/a.jpg", "ben/b.jpg")
    assert all(set(outcome.made) == {"objects", "faces"} for outcome in outcomes)


def test_other_parameters_make_only_their_asset_out_of_date(make_library: MakeLibrary, pool: Pool) -> None:
    from media_assets.pipeline.assets import ANALYZE_ASSETS, code_version
    from media_assets.pipeline.recipe import recipe_of

    before = recipe_of(make_library().settings)
    after = dataclasses.replace(before, vision=dataclasses.replace(before.vision, faces_threshold=0.55))
    changed = {asset for asset in ANALYZE_ASSETS if code_version(asset, before) != code_version(asset, after)}
    assert changed == {"faces"}
