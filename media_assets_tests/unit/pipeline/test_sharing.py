"""Runs of op ``protect`` without models: who is shared, what is stored, what is held and what is taken back.

``fake_sharing`` stands in for the processes that cover faces, and for owners and reviewers.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from media_assets.pipeline.analysis import run_analysis
from media_assets.pipeline.analysis_selection import select_analysis
from media_assets.pipeline.assets import SHAREABLE
from media_assets.pipeline.library import Library
from media_assets.pipeline.liveness import new_holder
from media_assets.pipeline.recipe import recipe_of
from media_assets.pipeline.selection import RunIdentity
from media_assets.pipeline.sharing import run_sharing
from media_assets.pipeline.sharing_outcomes import SharedOutcome
from media_assets.pipeline.sharing_pool import Covered, CoverTask
from media_assets.pipeline.sharing_rebuild import restore_copies
from media_assets.pipeline.sharing_selection import copies_to_withdraw, files_to_share, select_sharing
from media_assets.pipeline.sharing_withdrawal import withdraw_copies, withdraw_unknown
from media_assets.pipeline.staleness import REPROCESSED, freshness_of
from media_assets.storage import catalog, keys
from media_assets.storage.errors import StoreFull
from media_assets.storage.ledger_copies import SharedCopy
from media_assets.storage.tables import PartWriter
from media_assets_tests import fake_models, fake_sharing
from media_assets_tests.conftest import Drop, MakeLibrary
from media_assets_tests.fake_sharing import Rules, SharingPool
from media_assets_tests.pictures import jpeg
from media_assets_tests.unit.pipeline.batches import Ingest

pytestmark = pytest.mark.usefixtures("_shared_decoder")

ANN, BEN = "ann/a.jpg", "ben/b.jpg"


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> tuple[SharingPool, Rules]:
    fake_models.install(monkeypatch)
    return fake_sharing.install(monkeypatch)


@pytest.fixture
def pool(fakes: tuple[SharingPool, Rules]) -> SharingPool:
    return fakes[0]


@pytest.fixture
def rules(fakes: tuple[SharingPool, Rules]) -> Rules:
    fakes[1].publishers = {"ann"}
    return fakes[1]


def analyse(
    library: Library, *source_keys: str, assets: tuple[str, ...] = ("faces", "texts", "safety"), run_id: str = "look"
) -> None:
    run = RunIdentity(run_id, run_id, recipe=recipe_of(library.settings))
    ids = [keys.media_id(key) for key in source_keys]
    for _ in run_analysis(library, select_analysis(library.ledger, ids, assets, run, only_missing=False).items, run):
        pass


@pytest.fixture
def two(library: Library, drop: Drop, ingest: Ingest, rules: Rules) -> Library:
    """A library with the pictures of two owners, looked at; ann lets hers be published."""
    drop({ANN: jpeg(1, (96, 48)), BEN: jpeg(2)})
    ingest(library)
    analyse(library, ANN, BEN)
    return library


def share(library: Library, run_id: str, *source_keys: str, only_missing: bool = True) -> dict[str, SharedOutcome]:
    run = RunIdentity(run_id, run_id, recipe=recipe_of(library.settings))
    ids = [keys.media_id(key) for key in source_keys]
    items = select_sharing(library, ids, run, only_missing=only_missing).items
    return {one.media_id: one for chunk in run_sharing(library, items, run) for one in chunk.outcomes}


def rows(library: Library) -> dict[str, dict[str, Any]]:
    library.compact()
    return {row["media_id"]: row for row in catalog.read_current(library.store, SHAREABLE).to_pylist()}


def stored(library: Library) -> list[str]:
    return sorted(info.key for info in library.store.list(keys.SHAREABLE_FOLDER))


A, B = keys.media_id(ANN), keys.media_id(BEN)


def test_only_files_of_owners_who_consent_are_shared(two: Library) -> None:
    assert files_to_share(two) == [A]
    made = share(two, "r1", ANN, BEN)
    assert {media_id: one.state for media_id, one in made.items()} == {A: "published", B: "denied"}
    (row,) = rows(two).values()
    assert (row["media_id"], row["state"], row["reason"]) == (A, "published", None)
    assert stored(two) == [row["path"]]
    assert row["path"].startswith(keys.shareable_folder("ann"))
    assert two.store.sha256(row["path"]) == row["sha256"]
    assert (row["location_level"], row["latitude_deg"]) == ("none", None)
    assert files_to_share(two) == []


def test_what_the_analysis_found_is_covered_in_px_of_the_original(two: Library, pool: SharingPool) -> None:
    share(two, "r1", ANN)
    (task,) = pool.asked
    (face,) = task.faces
    # The fake finds (160, 80, 320, 240) in a preview of 1600 x 800; the original has 96 x 48.
    assert face.box == pytest.approx((9.6, 4.8, 19.2, 14.4))
    assert not task.is_video
    (row,) = rows(two).values()
    assert (row["faces_covered"], row["faces_left"], row["verified_with"]) == (1, 0, ["fake@1"])
    assert row["phash_distance"] is not None


def test_nothing_is_made_before_faces_and_texts_are_known(
    library: Library, drop: Drop, ingest: Ingest, rules: Rules, pool: SharingPool
) -> None:
    drop({ANN: jpeg(1)})
    ingest(library)
    analyse(library, ANN, assets=("faces",))
    assert files_to_share(library) == []
    run = RunIdentity("r1", "r1")
    assert select_sharing(library, [A], run, only_missing=False).not_analysed == (A,)
    analyse(library, ANN, assets=("texts",))
    assert files_to_share(library) == [A]
    drop({ANN: jpeg(7)})
    ingest(library)
    assert files_to_share(library) == []  # faces of an older version are boxes in another picture


@pytest.mark.parametrize(
    ("left", "reason"), [({"faces_left": 2}, "faces_left"), ({"tags_left": ("jpeg:APP1 Exif",)}, "tags_left")]
)
def test_a_copy_whose_proof_fails_is_stored_nowhere(
    two: Library, pool: SharingPool, left: dict[str, Any], reason: str
) -> None:
    pool.answer = lambda task: fake_sharing.covered(task, **left)
    made = share(two, "r1", ANN)
    assert (made[A].state, made[A].reason, made[A].key) == ("held", reason, None)
    assert stored(two) == []
    assert two.ledger.copies() == []
    (row,) = rows(two).values()
    assert (row["state"], row["reason"], row["path"]) == ("held", reason, None)
    assert row["faces_left"] == left.get("faces_left", 0)
    assert list(two.store.scratch_dir().iterdir()) == []
    assert files_to_share(two) == []  # the same code would hold it again


def test_reviewers_withhold_and_release(two: Library, rules: Rules) -> None:
    rules.decisions[A] = "waiting"
    assert share(two, "r1", ANN)[A].reason == "review_waiting"
    assert rows(two)[A]["state"] == "withheld"
    assert files_to_share(two) == []
    rules.decisions[A] = "allow"
    assert files_to_share(two) == [A]
    assert share(two, "r2", ANN)[A].state == "published"
    rules.decisions[A] = "block"
    assert withdraw_copies(two) == 1
    assert stored(two) == []
    assert rows(two) == {}
    assert share(two, "r3", ANN)[A].reason == "review_blocked"


def test_texts_that_are_not_read_cannot_be_covered(two: Library, rules: Rules, make_library: MakeLibrary) -> None:
    rules.denied["ann"] = {"text"}
    assert share(two, "r1", ANN)[A].reason == "texts_not_read"
    careless = make_library(share_cover_texts=False)
    assert share(careless, "r2", ANN, only_missing=False)[A].state == "published"


def test_a_withdrawn_consent_withdraws_the_copy(two: Library, rules: Rules) -> None:
    share(two, "r1", ANN)
    assert copies_to_withdraw(two) == []
    rules.publishers.clear()
    assert [one.media_id for one in copies_to_withdraw(two)] == [A]
    assert withdraw_copies(two) == 1
    assert (stored(two), rows(two), two.ledger.copies()) == ([], {}, [])
    rules.publishers = {"ann"}
    assert files_to_share(two) == [A]


def test_a_consent_that_is_withdrawn_while_a_copy_is_made_leaves_nothing(
    two: Library, pool: SharingPool, rules: Rules
) -> None:
    def answer(task: CoverTask) -> Covered:
        rules.publishers.clear()
        return fake_sharing.covered(task)

    pool.answer = answer
    made = share(two, "r1", ANN)
    assert (made[A].state, made[A].reason, made[A].copy) == ("denied", "no_consent", None)
    assert (stored(two), rows(two), two.ledger.copies()) == ([], {}, [])


def test_a_consent_that_is_withdrawn_while_a_copy_is_stored_takes_it_back(
    two: Library, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_file = two.store.put_file

    def put(*args: Any, **kwargs: Any) -> None:
        rules.publishers.clear()  # between the last question and the end of the write
        put_file(*args, **kwargs)

    monkeypatch.setattr(two.store, "put_file", put)
    share(two, "r1", ANN)
    assert (stored(two), two.ledger.copies()) == ([], [])
    assert rows(two) == {}


@pytest.mark.parametrize("step", ["put_file", "append", "record_results", "publish_copies", "delete"])
def test_a_run_that_dies_at_any_step_is_completed(
    two: Library, rules: Rules, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    share(two, "r0", ANN)
    (old,) = stored(two)
    owner: Any = {"put_file": two.store, "append": PartWriter, "delete": two.store}.get(step, two.ledger)

    def die(*_: Any, **__: Any) -> None:
        raise StoreFull("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, die)
        with pytest.raises(StoreFull):
            share(two, "r1", ANN, only_missing=False)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    two.ledger.record_copies([replace(one, at=long_ago) for one in two.ledger.copies()])  # its process is gone
    withdraw_copies(two)
    if files_to_share(two):
        share(two, "r2", ANN)
    (row,) = rows(two).values()
    assert stored(two) == [row["path"]]
    assert [(one.path, one.state) for one in two.ledger.copies()] == [(row["path"], "published")]
    assert copies_to_withdraw(two) == []
    assert step not in ("record_results", "publish_copies", "delete") or row["path"] != old


def test_a_withdrawal_that_dies_is_completed_whatever_is_said_next(
    two: Library, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    share(two, "r1", ANN)
    rules.publishers.clear()

    def die(*_: Any) -> None:
        raise StoreFull("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(two.ledger, "forget_results", die)
        with pytest.raises(StoreFull):
            withdraw_copies(two)
    rules.publishers = {"ann"}
    assert [one.state for one in copies_to_withdraw(two)] == ["withdrawn"]
    withdraw_copies(two)
    assert (stored(two), rows(two), two.ledger.copies()) == ([], {}, [])


def test_a_new_copy_takes_the_place_of_the_old_one(two: Library) -> None:
    share(two, "r1", ANN)
    (old,) = stored(two)
    share(two, "r2", ANN, only_missing=False)
    (new,) = stored(two)
    assert new != old
    assert rows(two)[A]["path"] == new


def test_the_copy_of_an_older_version_is_withdrawn(two: Library, drop: Drop, ingest: Ingest) -> None:
    share(two, "r1", ANN)
    drop({ANN: jpeg(8)})
    ingest(two)
    assert [one.media_id for one in copies_to_withdraw(two)] == [A]


def test_what_was_made_with_other_settings_is_out_of_date_and_stays(two: Library, make_library: MakeLibrary) -> None:
    share(two, "r1", ANN)
    changed = make_library(share_style="pixelate")
    assert dict(freshness_of(two, SHAREABLE)) == {A: "current"}
    assert dict(freshness_of(changed, SHAREABLE)) == {A: "out_of_date"}
    assert files_to_share(changed) == []
    assert copies_to_withdraw(changed) == []


def test_other_findings_make_a_copy_out_of_date(two: Library, make_library: MakeLibrary) -> None:
    share(two, "r1", ANN)
    finer = make_library(faces_threshold=0.55)
    analyse(finer, ANN, assets=("faces",), run_id="look-again")
    assert [state for _, state in freshness_of(finer, SHAREABLE)] == ["out_of_date"]


def test_a_file_that_fails_is_tried_again_and_one_that_cannot_be_read_is_not(two: Library, pool: SharingPool) -> None:
    pool.answer = lambda task: Covered(error="no memory")
    assert share(two, "r1", ANN)[A].error == "no memory"
    assert files_to_share(two) == [A]
    assert files_to_share(two, never_tried=True) == []
    assert dict(freshness_of(two, SHAREABLE))[A] in REPROCESSED
    pool.answer = lambda task: Covered(reason="truncated")
    assert share(two, "r2", ANN)[A].state == "withheld"
    assert rows(two)[A]["reason"] == "truncated"
    assert files_to_share(two) == []


def test_a_file_that_keeps_killing_its_process_is_given_up(two: Library, pool: SharingPool) -> None:
    pool.answer = lambda task: Covered(error="The process ended (signal 11).", has_killed=True)
    for run in ("r1", "r2", "r3"):
        assert files_to_share(two) == [A]
        share(two, run, ANN)
    assert files_to_share(two) == []


def test_models_that_cannot_be_used_end_the_work_with_one_message(
    two: Library, rules: Rules, pool: SharingPool
) -> None:
    rules.publishers = {"ann", "ben"}
    pool.answer = lambda task: Covered(error="Model yunet-block is not here.", is_model_error=True)
    made = share(two, "r1", ANN, BEN)
    assert {one.error for one in made.values()} == {"Model yunet-block is not here."}


def test_a_lost_ledger_learns_of_its_copies_from_the_tables(two: Library) -> None:
    share(two, "r1", ANN)
    (path,) = stored(two)
    before = two.ledger.copies()
    two.store.put_bytes(keys.shareable_key("ann", "0f" * 16, "picture.jpg"), b"no row names it")
    two.ledger.forget_copies([path])
    two.compact()
    assert restore_copies(two) == 1
    assert [(one.path, one.state, one.month) for one in two.ledger.copies()] == [(path, "published", before[0].month)]
    assert stored(two) == [path]
    assert copies_to_withdraw(two) == []


def test_copies_that_the_ledger_does_not_know_are_deleted(two: Library) -> None:
    share(two, "r1", ANN)
    two.store.put_bytes(keys.shareable_key("ann", "0f" * 16, "picture.jpg"), b"left behind")
    assert withdraw_unknown(two) == 1
    assert stored(two) == [rows(two)[A]["path"]]


def test_a_copy_that_was_erased_while_it_was_stored_is_deleted(two: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    record_results = two.ledger.record_results

    def erase(*args: Any, **kwargs: Any) -> None:
        two.ledger.forget_copies([one.path for one in two.ledger.copies()])
        record_results(*args, **kwargs)

    monkeypatch.setattr(two.ledger, "record_results", erase)
    share(two, "r1", ANN)
    assert stored(two) == []


def test_what_reviewers_block_goes_whether_its_faces_are_known_or_not(two: Library, rules: Rules) -> None:
    share(two, "r1", ANN)
    two.ledger.forget_results("faces", [A])
    assert copies_to_withdraw(two) == []
    rules.decisions[A] = "block"
    assert withdraw_copies(two) == 1
    assert stored(two) == []


def test_a_copy_that_another_process_writes_is_left_alone(two: Library, rules: Rules) -> None:
    path = keys.shareable_key("ann", "0f" * 16, "picture.jpg")
    sha256 = two.ledger.entries([A])[A].sha256 or ""
    copy = SharedCopy(path, A, "ann", "2026-05", sha256, "writing", new_holder(), datetime.now(UTC))
    two.ledger.record_copies([copy])
    assert copies_to_withdraw(two) == []
    rules.publishers.clear()
    assert copies_to_withdraw(two) == []  # it asks once more itself when the copy is stored
    two.ledger.record_copies([replace(copy, at=datetime(2020, 1, 1, tzinfo=UTC))])
    assert copies_to_withdraw(two) == [replace(copy, at=datetime(2020, 1, 1, tzinfo=UTC))]
