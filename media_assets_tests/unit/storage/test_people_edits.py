from datetime import UTC, datetime, timedelta, timezone

import pytest

from media_assets.storage import keys
from media_assets.storage.errors import CatalogError
from media_assets.storage.objects import ObjectStore, open_store
from media_assets.storage.people_edits import FaceReference, PeopleEdit, read_edits, record_edit

FACE = FaceReference(media_id="a-000000000000", frame_s=None, box_px=(1.0, 2.0, 30.5, 40.0))
NOON = datetime(2026, 5, 6, 12, 0, 0, 5, tzinfo=UTC)


@pytest.fixture
def store() -> ObjectStore:
    return open_store("memory://")


def edit(owner: str = "alice", at: datetime = NOON, **values: object) -> PeopleEdit:
    return PeopleEdit.model_validate(
        {"action": "name", "owner": owner, "recorded_at": at, "person_id": "p-1", "faces": (FACE,), "name": "Ann"}
        | values
    )


def test_edits_come_back_in_the_order_of_time(store: ObjectStore) -> None:
    late = edit(at=NOON + timedelta(microseconds=1), name="Late")
    early = edit(at=NOON.astimezone(timezone(timedelta(hours=9))), others=(FACE,), name=None)
    for one in (late, early, edit("bob")):
        record_edit(store, one)
    assert read_edits(store, "alice") == [early, late]
    assert [one.owner for one in read_edits(store, "bob")] == ["bob"]
    assert read_edits(store, "nobody") == []


def test_two_edits_of_one_instant_are_both_kept(store: ObjectStore) -> None:
    assert record_edit(store, edit()) != record_edit(store, edit())
    assert len(read_edits(store, "alice")) == 2


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"format": 2}', edit().model_dump_json().replace('"name":', '"nickname":').encode()]
)
def test_an_edit_that_cannot_be_understood_is_named(store: ObjectStore, content: bytes) -> None:
    key = record_edit(store, edit())
    store.put_bytes(key, content)
    with pytest.raises(CatalogError, match=key):
        read_edits(store, "alice")


def test_keys_of_edits() -> None:
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    key = keys.people_edit_key("alice", tokyo, "0badcafe")
    assert key == "people/edits/alice/20260506T120000000005Z-0badcafe.json"
    assert keys.people_edits_folder("été") == f"people/edits/{keys.owner_segment('été')}"
    for wrong in ("0BADCAFE", "0badcaf", "../../x"):
        with pytest.raises(ValueError, match="token"):
            keys.people_edit_key("alice", NOON, wrong)
    with pytest.raises(ValueError, match="naive"):
        keys.people_edit_key("alice", NOON.replace(tzinfo=None), "0badcafe")
