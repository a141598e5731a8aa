"""The publication gate over rows as op ``analyze`` writes them."""

from datetime import UTC, datetime, timedelta

import pytest

from media_assets.pipeline import review
from media_assets.pipeline.library import Library
from media_assets.pipeline.review import read_gate, read_ratings
from media_assets.pipeline.review_queue import ReviewError, decide, review_items
from media_assets.storage import keys
from media_assets.storage.consents import ConsentRecord, record_consent
from media_assets.storage.present_table import read_present
from media_assets.storage.reviews import record_decision
from media_assets_tests.conftest import MakeLibrary
from media_assets_tests.unit.pipeline.analysed import Analysed
from media_assets_tests.unit.storage.uploads import entry_of

SEEN = "alice/seen.jpg"
ID = keys.media_id(SEEN)


def rated(analysed: Analysed, source_key: str, version: str, *scores: tuple[float | None, float]) -> None:
    """Write a file with the scores of its frames, flagged as the default thresholds say."""
    analysed.write("files", {source_key: [{"input_version": version, "sha256": version}]})
    rows = [
        {
            "frame_s": frame_s,
            "category": "nsfw",
            "score": score,
            "flagged": score >= 0.5,
            "level": "sensitive" if score >= 0.8 else "review" if score >= 0.5 else None,
            "input_version": version,
        }
        for frame_s, score in scores
    ]
    analysed.write("safety", {source_key: rows})


def accept(library: Library, source_key: str, sha256: str) -> None:
    """Let the ledger know an accepted version."""
    entry = entry_of(library.ledger, source_key)
    library.ledger.record_results([], accepted=[(entry, sha256, f"originals/{sha256}")])


def consent(library: Library, purpose: str, *, granted: bool, owner: str = "alice") -> None:
    values = {"owner": owner, "purpose": purpose, "granted": granted, "recorded_by": "t"}
    record_consent(library.store, ConsentRecord.model_validate(values | {"recorded_at": datetime.now(UTC)}))


@pytest.mark.parametrize(
    ("score", "decision"), [(0.1, "allow"), (0.6, "waiting"), (0.9, "block")], ids=["harmless", "review", "sensitive"]
)
def test_the_default_policy_asks_people_and_blocks_what_is_sensitive(
    library: Library, score: float, decision: str
) -> None:
    rated(Analysed(library), SEEN, "v1", (None, score))
    assert read_gate(library).decision(ID, "v1") == decision


def test_settings_change_the_policy(make_library: MakeLibrary) -> None:
    library = make_library(publish_review="allow", publish_sensitive="queue")
    analysed = Analysed(library)
    rated(analysed, SEEN, "v1", (None, 0.6))
    rated(analysed, "alice/b.jpg", "v2", (None, 0.9))
    gate = read_gate(library)
    assert (gate.decision(ID, "v1"), gate.decision(keys.media_id("alice/b.jpg"), "v2")) == ("allow", "waiting")


def test_the_worst_frame_of_a_video_counts_and_says_when(library: Library) -> None:
    rated(Analysed(library), SEEN, "v1", (0.0, 0.1), (4.5, 0.93), (9.0, 0.55))
    rating = read_ratings(library.store)[ID]
    assert (rating.level, rating.score, rating.frame_s) == ("sensitive", 0.93, 4.5)


def test_ratings_count_before_and_after_a_compaction_and_are_gone_with_their_rows(library: Library) -> None:
    analysed = Analysed(library)
    rated(analysed, SEEN, "v1", (None, 0.9))
    assert read_gate(library).decision(ID, "v1") == "block"
    library.compact()
    assert read_gate(library).decision(ID, "v1") == "block"
    rated(analysed, SEEN, "v1", (None, 0.1))
    assert read_gate(library).decision(ID, "v1") == "allow"
    analysed.write("safety", {SEEN: []})
    assert read_present(library.store, "safety", ["media_id"]).num_rows == 0
    assert read_gate(library).decision(ID, "v1") == "waiting"


def test_ratings_are_read_once_until_the_table_changes(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    analysed = Analysed(library)
    rated(analysed, SEEN, "v1", (None, 0.9))
    first = read_ratings(library.store)
    read = []
    monkeypatch.setattr(review, "read_present", lambda *call: read.append(call) or read_present(*call))
    assert read_ratings(library.store) is first
    assert not read
    rated(analysed, SEEN, "v1", (None, 0.1))
    assert read_ratings(library.store)[ID].level == "harmless"
    library.compact()
    assert read_ratings(library.store)[ID].level == "harmless"
    assert len(read) == 2


@pytest.mark.parametrize("rule", ["block", "queue", "allow"])
def test_what_is_still_to_be_rated_waits_whatever_the_policy(make_library: MakeLibrary, rule: str) -> None:
    library = make_library(publish_unrated=rule)
    analysed = Analysed(library)
    rated(analysed, SEEN, "v1", (None, 0.1))
    gate = read_gate(library)
    assert gate.decision(ID, "v1") == "allow"
    assert gate.decision(ID, "v2") == "waiting"
    assert gate.is_awaited(ID, "v2")


@pytest.mark.parametrize(("rule", "decision"), [("block", "block"), ("queue", "waiting"), ("allow", "allow")])
def test_what_nothing_will_rate_follows_the_policy(make_library: MakeLibrary, rule: str, decision: str) -> None:
    library = make_library(publish_unrated=rule)
    Analysed(library).know(SEEN)
    consent(library, "analysis", granted=False)
    assert read_gate(library).decision(ID, "v1") == decision
    assert not read_gate(library).is_awaited(ID, "v1")
    switched_off = make_library(publish_unrated=rule, safety_model="none")
    consent(library, "analysis", granted=True)
    assert read_gate(switched_off).decision(ID, "v1") == decision


def test_the_word_of_a_person_wins_until_the_bytes_change(library: Library) -> None:
    analysed = Analysed(library)
    rated(analysed, SEEN, "v1", (None, 0.9))
    accept(library, SEEN, "v1")
    (made,) = decide(library, (ID, ID), "allow", recorded_by=" eva ", note="a statue")
    assert (made.owner, made.input_version, made.recorded_by) == ("alice", "v1", "eva")
    assert read_gate(library).decision(ID, "v1") == "allow"
    decide(library, (ID,), "block", recorded_by="max")
    assert read_gate(library).decision(ID, "v1") == "block"
    assert read_gate(library).decision(ID, "v2") == "waiting"
    library.compact()
    (row,) = analysed.current("reviews")[ID]
    assert (row["decision"], row["recorded_by"], row["note"], row["input_version"]) == ("block", "max", None, "v1")


def test_the_last_word_wins_also_where_another_clock_runs_ahead(library: Library) -> None:
    rated(Analysed(library), SEEN, "v1", (None, 0.9))
    accept(library, SEEN, "v1")
    (made,) = decide(library, (ID,), "allow", recorded_by="eva")
    record_decision(library.store, made.model_copy(update={"recorded_at": made.recorded_at + timedelta(minutes=5)}))
    decide(library, (ID,), "block", recorded_by="max")
    assert read_gate(library).decision(ID, "v1") == "block"


def test_nothing_is_recorded_about_unknown_files_or_by_nobody(library: Library) -> None:
    rated(Analysed(library), SEEN, "v1", (None, 0.6))
    accept(library, SEEN, "v1")
    with pytest.raises(ReviewError, match="is no accepted file"):
        decide(library, (ID, "nobody-000000000000"), "allow", recorded_by="eva")
    with pytest.raises(ReviewError, match="--by"):
        decide(library, (ID,), "allow", recorded_by=" ")
    assert not list(library.store.list(keys.REVIEWS_FOLDER))


def test_only_what_its_owner_wants_to_publish_waits_for_people(library: Library) -> None:
    analysed = Analysed(library)
    rated(analysed, SEEN, "v1", (None, 0.6))
    rated(analysed, "alice/worse.jpg", "v2", (None, 0.7))
    rated(analysed, "alice/harmless.jpg", "v3", (None, 0.1))
    assert [(one.needs_review, one.may_publish) for one in review_items(library)] == [(False, False)] * 2
    consent(library, "publication", granted=True)
    assert [one.media_id for one in review_items(library) if one.needs_review] == [
        keys.media_id("alice/worse.jpg"),
        ID,
    ]
    assert review_items(library, owner="bob") == []
