from media_assets.pipeline.stable_ids import new_id, stable_ids


def make(group: int) -> str:
    return f"p-new{group}"


def test_an_identifier_stays_with_the_larger_part() -> None:
    assert stable_ids([0, 1, 1], ["p-a", "p-a", "p-a"], make) == {0: "p-new0", 1: "p-a"}


def test_merged_groups_take_the_identifier_of_the_larger_part() -> None:
    assert stable_ids([0, 0, 0], ["p-a", "p-b", "p-b"], make) == {0: "p-b"}


def test_an_identifier_that_lost_to_another_group_is_not_given_twice() -> None:
    # Group 0 holds most of a, group 1 most of what is left of b: both keep one.
    found = stable_ids([0, 0, 0, 1, 1], ["p-a", "p-a", "p-b", "p-a", "p-b"], make)
    assert found == {0: "p-a", 1: "p-b"}


def test_new_members_change_nothing() -> None:
    assert stable_ids([0, 0, 1], ["p-a", None, None], make) == {0: "p-a", 1: "p-new1"}


def test_pinned_identifiers_come_first() -> None:
    assert stable_ids([0, 0, 1], ["p-b", "p-b", "p-a"], make, pinned={1: "p-b"}) == {0: "p-new0", 1: "p-b"}


def test_a_new_identifier_that_is_in_use_is_made_again() -> None:
    found = stable_ids([0, 1], ["p-new1", None], make, taken={"p-other"})
    assert found[0] == "p-new1"
    assert found[1] == new_id("p", "p-new1")
    assert stable_ids([3], [None], make, taken={"p-new3"}) == {3: new_id("p", "p-new3")}


def test_ties_do_not_depend_on_the_order() -> None:
    forward = stable_ids([0, 1], ["p-a", "p-a"], make)
    assert forward == {0: "p-a", 1: "p-new1"}
    assert stable_ids([1, 0], ["p-a", "p-a"], make) == forward


def test_new_identifiers_are_short_and_depend_on_all_parts() -> None:
    assert new_id("p", "alice", "x-1", None, 0) != new_id("p", "bob", "x-1", None, 0)
    assert len(new_id("p", "alice")) == len("p-") + 12
