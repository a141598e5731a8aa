"""Derived data go when a consent does, come back when it does, and the proof sees both."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from media_assets.models.findings import PictureFindings
from media_assets.models.records import SafetyScore
from media_assets.pipeline.analysis import run_analysis
from media_assets.pipeline.analysis_pool import AssetFindings
from media_assets.pipeline.analysis_selection import select_analysis
from media_assets.pipeline.assets import ANALYZE_ASSETS
from media_assets.pipeline.consent import PURPOSES, Purpose, read_consents
from media_assets.pipeline.library import CompactionBusyError, Library
from media_assets.pipeline.people.update import update_people
from media_assets.pipeline.revocation import apply as applying
from media_assets.pipeline.revocation.applied import owner_mark, owners_pending
from media_assets.pipeline.revocation.apply import ConsentReport, apply_consents
from media_assets.pipeline.revocation.verify import verify_consents
from media_assets.pipeline.selection import RunIdentity
from media_assets.pipeline.staleness import freshness_of
from media_assets.storage import catalog, keys
from media_assets.storage.consents import ConsentRecord, record_consent
from media_assets.storage.ledger_copies import SharedCopy
from media_assets_tests import fake_models
from media_assets_tests.conftest import Drop
from media_assets_tests.unit.pipeline.batches import Ingest, rows
from media_assets_tests.unit.pipeline.test_withheld_location import at_the_eiffel_tower

pytestmark = pytest.mark.usefixtures("_shared_decoder")

OWNERS = ("ann", "ben")
TABLES = (*ANALYZE_ASSETS, "people")


class Dagster:
    """Events by asset, as a run leaves them."""

    def __init__(self) -> None:
        self.events: dict[str, set[str]] = defaultdict(set)

    def forget(self, asset: str, media_ids: Collection[str]) -> int:
        gone = self.events[asset] & set(media_ids)
        self.events[asset] -= gone
        return len(gone)

    def count(self, asset: str, media_ids: Collection[str]) -> int:
        return len(self.events[asset] & set(media_ids))


def say(library: Library, owner: str, *purposes: Purpose, granted: bool, ends_in_s: float | None = None) -> None:
    for purpose in purposes:
        now = datetime.now(UTC)
        ends = None if ends_in_s is None else now + timedelta(seconds=ends_in_s)
        record = ConsentRecord(
            owner=owner, purpose=purpose, granted=granted, recorded_by="clerk", recorded_at=now, expires_at=ends
        )
        record_consent(library.store, record)


def analyze(library: Library, run_id: str) -> None:
    run = RunIdentity(run_id, run_id)
    ids = [keys.media_id(f"{owner}/a.jpg") for owner in OWNERS]
    items = select_analysis(library.ledger, ids, ANALYZE_ASSETS, run, only_missing=True).items
    for _ in run_analysis(library, items, run):
        pass
    library.compact()


@pytest.fixture
def dagster() -> Dagster:
    return Dagster()


@pytest.fixture
def full(library: Library, drop: Drop, ingest: Ingest, dagster: Dagster, monkeypatch: pytest.MonkeyPatch) -> Library:
    """Two owners who allow everything, everything computed, and a copy of each."""
    pool = fake_models.install(monkeypatch)
    harmless = PictureFindings(safety=(SafetyScore("nsfw", 0.01),))
    pool.answer = lambda asset, item: (
        AssetFindings(found=(harmless,) * len(item.paths)) if asset == "safety" else fake_models.found(asset, item)
    )
    for owner in OWNERS:
        say(library, owner, *PURPOSES, granted=True)
    drop({f"{owner}/a.jpg": at_the_eiffel_tower() for owner in OWNERS})
    ingest(library)
    analyze(library, "r1")
    monkeypatch.setattr("media_assets.pipeline.people.update.group_faces", _everybody_is_one)
    update_people(library, "people-1")
    for owner in OWNERS:
        media_id = keys.media_id(f"{owner}/a.jpg")
        for asset in (*ANALYZE_ASSETS, "shareable"):
            dagster.events[asset].add(media_id)
        path = keys.shareable_key(owner, "0" * 32, "picture.jpg")
        library.store.put_bytes(path, b"covered")
        version = library.ledger.entries([media_id])[media_id].sha256 or ""
        copy = SharedCopy(path, media_id, owner, "2026-11", version, "published", "host:1:1.0", datetime.now(UTC))
        library.ledger.record_copies([copy])
    apply_consents(library, dagster.forget)
    assert owners_pending(library, read_consents(library)) == []
    return library


def _everybody_is_one(faces: Any, *_: object, **__: object) -> Any:
    from media_assets.pipeline.people.grouping import GroupedFaces

    count = len(faces)
    return GroupedFaces(faces, [f"p-{faces.owner}"] * count, [None] * count, [0.0] * count, [False] * count)


def left_of(library: Library, owner: str) -> set[str]:
    """Tables in which there are rows of an owner, parts counted."""
    library.compact()
    media_id = keys.media_id(f"{owner}/a.jpg").encode()
    found = set()
    for table in TABLES:
        current = [row for row in catalog.read_current(library.store, table).to_pylist() if row["owner"] == owner]
        folders = (f"tables/{table}", f"catalog/{table}")
        raw = [
            info.key
            for folder in folders
            for info in library.store.list(folder)
            if info.key.endswith(".parquet")
            and ".removed." not in info.key
            and media_id in library.store.get_bytes(info.key)
        ]
        if current or raw:
            found.add(table)
    return found


@pytest.mark.parametrize(
    ("purpose", "gone"),
    [
        ("analysis", {"embeddings", "objects", "scenes", "safety"}),
        ("faces", {"faces", "people"}),
        ("recognition", {"people"}),
    ],
)
def test_what_a_withdrawn_consent_allowed_is_gone_from_every_file(
    full: Library, dagster: Dagster, purpose: Purpose, gone: set[str]
) -> None:
    everything = left_of(full, "ann")
    assert everything == left_of(full, "ben") == set(TABLES) - {"texts"}  # the models that stand in read none
    say(full, "ann", purpose, granted=False)
    assert owners_pending(full, read_consents(full)) == ["ann"]
    assert verify_consents(full, dagster.count).left  # the proof can fail
    apply_consents(full, dagster.forget)
    assert verify_consents(full, dagster.count).left == []
    assert left_of(full, "ann") == everything - gone
    assert left_of(full, "ben") == everything
    media_id = keys.media_id("ann/a.jpg")
    assert {asset for asset in ANALYZE_ASSETS if media_id not in dagster.events[asset]} == gone & set(ANALYZE_ASSETS)
    assert {state for asset in ANALYZE_ASSETS for _, state in freshness_of(full, asset)} == {"current"}
    assert owners_pending(full, read_consents(full)) == []
    skipped = {row["asset"] for row in rows_of(full, "skipped", "ann")}
    assert skipped == (gone & set(ANALYZE_ASSETS) if purpose != "recognition" else {"people"})


def rows_of(library: Library, table: str, owner: str) -> list[dict[str, Any]]:
    library.compact()
    return [row for row in catalog.read_current(library.store, table).to_pylist() if row["owner"] == owner]


def test_vectors_go_and_faces_stay_without_recognition(full: Library, dagster: Dagster) -> None:
    say(full, "ann", "recognition", granted=False)
    report = apply_consents(full, dagster.forget)
    (face,) = rows_of(full, "faces", "ann")
    assert [face[name] for name in ("embedding", "embedding_model", "embedding_metric")] == [None] * 3
    assert face["x_max_px"] is not None
    (other,) = rows_of(full, "faces", "ben")
    assert other["embedding"] == [0.5, 0.25]
    assert report.rows["faces"] >= 1
    # The faces themselves are still allowed, and so is what the UI shows of them.
    assert keys.media_id("ann/a.jpg") in dagster.events["faces"]


def test_positions_go_without_consent_to_location(full: Library, dagster: Dagster) -> None:
    assert rows(full, "metadata")["ann/a.jpg"]["latitude_deg"] is not None
    say(full, "ann", "location", granted=False)
    apply_consents(full, dagster.forget)
    bare = rows(full, "metadata")["ann/a.jpg"]
    assert [bare[name] for name in ("latitude_deg", "longitude_deg", "place_city", "timezone")] == [None] * 4
    assert "GPS" not in (bare["tags_json"] or "")
    assert bare["camera_model"] == "Telling Camera"
    assert rows(full, "metadata")["ben/a.jpg"]["place_city"] is not None
    assert {state for _, state in freshness_of(full, "metadata")} == {"current"}


def test_positions_are_read_again_when_they_are_allowed_again(full: Library, dagster: Dagster, ingest: Ingest) -> None:
    before = rows(full, "metadata")
    say(full, "ann", "location", granted=False)
    apply_consents(full, dagster.forget)
    assert [row["asset"] for row in rows_of(full, "skipped", "ann")] == ["metadata"]
    say(full, "ann", "location", granted=True)
    assert dict(freshness_of(full, "metadata"))[keys.media_id("ann/a.jpg")] == "out_of_date"
    assert apply_consents(full, dagster.forget).results_due["metadata"] == 1
    assert rows_of(full, "skipped", "ann") == []
    assert [entry.source_key for entry in full.ledger.waiting_refreshes(full.inbox().url, 9)] == ["ann/a.jpg"]
    ingest(full)
    told = ("latitude_deg", "longitude_deg", "place_city", "timezone", "tags_json")
    assert [rows(full, "metadata")["ann/a.jpg"][name] for name in told] == [before["ann/a.jpg"][name] for name in told]
    assert {state for _, state in freshness_of(full, "metadata")} == {"current"}
    assert full.ledger.waiting_refreshes(full.inbox().url, 9) == []
    assert apply_consents(full, dagster.forget, everyone=True).results_due["metadata"] == 0


def test_positions_of_archived_files_wait_until_they_are_opened_again(full: Library, dagster: Dagster) -> None:
    say(full, "ann", "location", granted=False)
    apply_consents(full, dagster.forget)
    (month,) = {entry.month for entry in full.ledger.entries([keys.media_id("ann/a.jpg")]).values()}
    assert full.ledger.archive_month(month) == len(OWNERS)
    say(full, "ann", "location", granted=True)
    apply_consents(full, dagster.forget)
    assert full.ledger.waiting_refreshes(full.inbox().url, 9) == []
    assert rows(full, "metadata")["ann/a.jpg"]["latitude_deg"] is None


def test_what_was_computed_before_the_answer_was_followed_is_not_called_skipped(
    full: Library, dagster: Dagster
) -> None:
    say(full, "ann", "analysis", granted=False)
    apply_consents(full, dagster.forget)
    assert {row["asset"] for row in rows_of(full, "skipped", "ann")} == {"embeddings", "objects", "scenes", "safety"}
    say(full, "ann", "analysis", granted=True)
    ann = keys.media_id("ann/a.jpg")
    run = RunIdentity("r2", "r2")
    items = select_analysis(full.ledger, [ann], ["scenes"], run, only_missing=False).items
    for _ in run_analysis(full, items, run):
        pass
    assert {row["media_id"] for row in rows_of(full, "scenes", "ann")} == {ann}
    apply_consents(full, dagster.forget)
    assert rows_of(full, "skipped", "ann") == []


def test_copies_go_without_consent_to_publication(full: Library, dagster: Dagster) -> None:
    say(full, "ann", "publication", granted=False)
    assert apply_consents(full, dagster.forget).copies_withdrawn == 1
    left = [info.key for info in full.store.list("shareable")]
    assert [one.path for one in full.ledger.copies()] == left
    assert {one.owner for one in full.ledger.copies()} == {"ben"}
    assert dagster.events["shareable"] == {keys.media_id("ben/a.jpg")}
    assert verify_consents(full, dagster.count).left == []


def test_a_consent_that_is_given_again_lets_everything_be_computed_again(full: Library, dagster: Dagster) -> None:
    say(full, "ann", "faces", "analysis", "recognition", granted=False)
    apply_consents(full, dagster.forget)
    assert full.ledger.unanalyzed(ANALYZE_ASSETS) == {}
    say(full, "ann", "faces", "analysis", granted=True)
    apply_consents(full, dagster.forget)
    assert full.ledger.unanalyzed(ANALYZE_ASSETS) == {
        keys.media_id("ann/a.jpg"): {"embeddings", "objects", "scenes", "safety", "faces"}
    }
    analyze(full, "r2")
    assert {row["asset"] for row in rows_of(full, "skipped", "ann")} == {"people"}
    say(full, "ann", "recognition", granted=True)
    apply_consents(full, dagster.forget)
    assert full.ledger.unanalyzed(ANALYZE_ASSETS) == {keys.media_id("ann/a.jpg"): {"faces"}}
    analyze(full, "r3")
    (face,) = rows_of(full, "faces", "ann")
    assert face["embedding"] == [0.5, 0.25]
    assert rows_of(full, "skipped", "ann") == []


def test_a_permission_that_ends_acts_like_one_that_is_withdrawn(full: Library, dagster: Dagster) -> None:
    say(full, "ann", "analysis", granted=True, ends_in_s=0.2)
    while read_consents(full).allows("ann", "analysis"):
        pass
    assert owners_pending(full, read_consents(full)) == ["ann"]
    apply_consents(full, dagster.forget)
    assert not left_of(full, "ann") & {"embeddings", "objects", "scenes", "safety"}


@pytest.mark.parametrize(
    ("step", "when"),
    [
        *(("withdraw_copies", "after"), ("replace_part", "after"), ("edit_current", "before")),
        *(("write_skips", "before"), ("write_applied", "before"), ("write_applied", "after")),
    ],
)
def test_a_death_at_any_step_is_completed_by_the_next_call(
    full: Library, dagster: Dagster, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    say(full, "ann", *PURPOSES, granted=False)
    real: Callable[..., Any] = getattr(applying, step)

    def dies(*arguments: Any, **options: Any) -> None:
        if when == "after":
            real(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(applying, step, dies)
        with pytest.raises(KeyboardInterrupt):
            apply_consents(full, dagster.forget)
    if (step, when) != ("write_applied", "after"):
        assert owners_pending(full, read_consents(full)) == ["ann"]
    apply_consents(full, dagster.forget)
    assert verify_consents(full, dagster.count).left == []
    assert left_of(full, "ann") == set()
    assert owners_pending(full, read_consents(full)) == []


def test_while_a_run_goes_on_the_answers_are_followed_again_later(full: Library, dagster: Dagster) -> None:
    say(full, "ann", "analysis", granted=False)
    report = apply_consents(full, dagster.forget, going_on=lambda: ["r1", "r2"])
    assert (report.is_settled, report.awaited) == (False, {"r1", "r2"})
    assert verify_consents(full, dagster.count).left == []
    assert owners_pending(full, read_consents(full)) == ["ann"]
    assert apply_consents(full, dagster.forget, going_on=lambda: ["r2", "r3"]).awaited == {"r2"}
    assert owners_pending(full, read_consents(full)) == ["ann"]


def test_runs_that_began_after_an_answer_are_not_waited_for(full: Library, dagster: Dagster) -> None:
    say(full, "ann", "analysis", granted=False)
    assert apply_consents(full, dagster.forget, going_on=lambda: ["r1"]).awaited == {"r1"}
    assert apply_consents(full, dagster.forget, going_on=lambda: ["r2"]).is_settled
    assert owners_pending(full, read_consents(full)) == []
    assert apply_consents(full, dagster.forget, everyone=True, going_on=lambda: ["r3"]).is_settled
    assert owners_pending(full, read_consents(full)) == []


def test_an_answer_that_is_taken_back_before_it_was_followed_is_followed(full: Library, dagster: Dagster) -> None:
    say(full, "ann", "analysis", granted=False)
    assert apply_consents(full, dagster.forget).is_settled
    say(full, "ann", "analysis", granted=True)
    assert not apply_consents(full, dagster.forget, going_on=lambda: ["r1"]).is_settled
    analyze(full, "r2")
    say(full, "ann", "analysis", granted=False)
    assert owners_pending(full, read_consents(full)) == ["ann"]
    apply_consents(full, dagster.forget)
    assert verify_consents(full, dagster.count).left == []
    assert owners_pending(full, read_consents(full)) == []


def test_an_answer_that_nobody_saw_before_it_was_taken_back_is_followed(full: Library, dagster: Dagster) -> None:
    say(full, "ann", "analysis", granted=False)
    apply_consents(full, dagster.forget)
    say(full, "ann", "analysis", granted=True)
    media_id = keys.media_id("ann/a.jpg")
    run = RunIdentity("r2", "r2")
    items = select_analysis(full.ledger, [media_id], ["scenes"], run, only_missing=False).items
    for _ in run_analysis(full, items, run):  # by hand, before the sensor's next look
        pass
    say(full, "ann", "analysis", granted=False)
    assert verify_consents(full, dagster.count).left
    apply_consents(full, dagster.forget)
    assert verify_consents(full, dagster.count).left == []


def test_a_policy_that_is_changed_back_before_it_was_followed_is_followed(
    library: Library, drop: Drop, ingest: Ingest, dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop({"ann/a.jpg": at_the_eiffel_tower()})
    ingest(library)
    with monkeypatch.context() as generous:
        generous.setattr(library, "settings", library.settings.model_copy(update={"recognition_owners": ("ann",)}))
        assert not apply_consents(library, dagster.forget, going_on=lambda: ["r1"]).is_settled
    assert owners_pending(library, read_consents(library)) == ["ann"]
    assert apply_consents(library, dagster.forget).is_settled
    assert owners_pending(library, read_consents(library)) == []


def test_a_permission_that_ends_while_it_is_followed_is_followed_once_more(
    full: Library, dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(full, "ann", "analysis", granted=True, ends_in_s=1.5)

    def ends(library: Library, tables: list[str]) -> None:  # after the tables were edited
        while read_consents(library).allows("ann", "analysis"):
            time.sleep(0.05)

    monkeypatch.setattr(applying, "compact_tables", ends)
    assert apply_consents(full, dagster.forget).is_settled
    assert owners_pending(full, read_consents(full)) == ["ann"]


def test_while_the_catalog_is_compacted_nothing_is_half_done(
    full: Library, dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "_LEASE_ATTEMPTS", 2)
    say(full, "ann", "analysis", granted=False)
    with full.ledger.lease("catalog", "somebody"), pytest.raises(CompactionBusyError, match="try again"):
        apply_consents(full, dagster.forget)
    assert owners_pending(full, read_consents(full)) == ["ann"]


def test_nothing_is_done_where_nothing_has_changed(full: Library, dagster: Dagster) -> None:
    before = {info.key: info.size_bytes for info in full.store.list("tables")}
    assert apply_consents(full, dagster.forget) == ConsentReport()
    assert apply_consents(full, dagster.forget, everyone=True).rows == {}
    assert {info.key: info.size_bytes for info in full.store.list("tables")} == before


@pytest.mark.parametrize("content", [b"", b"[]", b'{"x": 3}', b'{"MARK": {"awaited": 3}}', b'{"MARK": null}'])
def test_a_record_of_what_was_followed_that_is_damaged_lets_it_be_followed_again(
    full: Library, dagster: Dagster, content: bytes
) -> None:
    mark = owner_mark("ann").encode()
    full.store.put_bytes(keys.CONSENTS_APPLIED, content.replace(b"MARK", mark))
    assert owners_pending(full, read_consents(full)) == ["ann", "ben"]
    assert apply_consents(full, dagster.forget).is_settled
    assert owners_pending(full, read_consents(full)) == []


def test_owners_of_whom_nothing_is_known_are_not_pending(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"ann/a.jpg": at_the_eiffel_tower()})
    ingest(library)
    assert owners_pending(library, read_consents(library)) == []


def test_a_copy_that_nobody_knows_of_is_found(full: Library, dagster: Dagster) -> None:
    full.store.put_bytes(keys.shareable_key("ann", "1" * 32, "picture.jpg"), b"x")
    assert [line for line in verify_consents(full, dagster.count).left if "nobody knows of" in line]
