from datetime import UTC, datetime, timedelta, timezone

import pytest

from media_assets.storage import keys
from media_assets.storage.errors import CatalogError
from media_assets.storage.objects import ObjectStore, open_store
from media_assets.storage.reviews import ReviewDecision, delete_decisions, read_decisions, record_decision

NOON = datetime(2026, 5, 6, 12, 0, 0, 5, tzinfo=UTC)
FILE, OTHER = "a-000000000000", "b-000000000000"


@pytest.fixture
def store() -> ObjectStore:
    return open_store("memory://")


def said(decision: str = "allow", at: datetime = NOON, **values: object) -> ReviewDecision:
    return ReviewDecision.model_validate(
        {
            "media_id": FILE,
            "owner": "alice",
            "input_version": "v1",
            "decision": decision,
            "recorded_by": "eva",
            "recorded_at": at,
        }
        | values
    )


def test_the_latest_decision_about_each_version_counts(store: ObjectStore) -> None:
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    late = said("block", NOON + timedelta(microseconds=1), note="two words")
    other_version = said("allow", tokyo, input_version="v2")
    for one in (late, said("allow", tokyo), other_version, said(media_id=OTHER)):
        record_decision(store, one)
    assert read_decisions(store) == {
        (FILE, "v1"): late,
        (FILE, "v2"): other_version,
        (OTHER, "v1"): said(media_id=OTHER),
    }


def test_two_decisions_of_one_instant_are_both_kept(store: ObjectStore) -> None:
    assert record_decision(store, said()) != record_decision(store, said())


def test_decisions_are_deleted_by_file_and_by_owner_and_not_remembered(store: ObjectStore) -> None:
    for one in (said(), said("block"), said(media_id=OTHER), said(owner="bob", media_id="c-000000000000")):
        record_decision(store, one)
    assert len(read_decisions(store)) == 3
    assert delete_decisions(store, "alice", [FILE]) == 2
    assert {media_id for media_id, _ in read_decisions(store)} == {OTHER, "c-000000000000"}
    assert delete_decisions(store, "alice") == 1
    assert {media_id for media_id, _ in read_decisions(store)} == {"c-000000000000"}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format": 2}', b'{"decision": "maybe"}'])
def test_a_decision_that_cannot_be_understood_is_named(store: ObjectStore, content: bytes) -> None:
    key = keys.review_key("alice", FILE, NOON, "0badcafe")
    store.put_bytes(key, content)
    with pytest.raises(CatalogError, match=key):
        read_decisions(store)


def test_keys_of_decisions() -> None:
    key = keys.review_key("été", FILE, NOON, "0badcafe")
    assert key == f"reviews/{keys.owner_segment('été')}/{FILE}/20260506T120000000005Z-0badcafe.json"
    for media_id in ("../../x", "a", "A-000000000000"):
        with pytest.raises(ValueError, match="media_id"):
            keys.review_key("alice", media_id, NOON, "0badcafe")
    with pytest.raises(ValueError, match="naive"):
        keys.review_key("alice", FILE, NOON.replace(tzinfo=None), "0badcafe")
