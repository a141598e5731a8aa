"""Which keys are stale and which are missing."""

from typing import Any

from media_assets.pipeline.partition_keys import KeyComparison, compare_keys
from media_assets.storage.ledger_archive import PartitionFacts


def fact(media_id: str, state: str = "accepted", **values: Any) -> PartitionFacts:
    given: dict[str, Any] = {"has_original": True, "is_archived": False, "is_in_work": False}
    return PartitionFacts(media_id, state, **given | values)  # type: ignore[arg-type]


def test_keys_that_are_as_they_should_be() -> None:
    facts = [fact("a"), fact("b", "rejected"), fact("c", "rejected", has_original=False), fact("d", is_archived=True)]
    assert compare_keys(["b", "a"], facts) == KeyComparison()


def test_each_kind_of_stale_key_is_named_and_what_is_missing_keeps_its_order() -> None:
    facts = [
        fact("late"),
        fact("early"),
        fact("refused", "rejected", has_original=False),
        fact("gone", "gone", has_original=False),
        fact("old", is_archived=True),
        fact("note", "sidecar", has_original=False),
    ]
    found = compare_keys(["old", "stranger", "gone", "note", "refused"], facts)
    assert found == KeyComparison(("stranger",), ("refused", "gone", "note"), ("old",), ("late", "early"))
    assert set(found.stale) == {"stranger", "refused", "gone", "note", "old"}


def test_what_is_in_work_is_left_alone() -> None:
    facts = [
        fact("waits", "pending", has_original=False, is_in_work=True),
        fact("new version", "pending", is_in_work=True),
        fact("end of a range", "rejected", has_original=False, is_in_work=True),
    ]
    assert compare_keys(["end of a range"], facts) == KeyComparison()
