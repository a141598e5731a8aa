"""The grammar of keys: shapes, stability, round trips."""

import random
import re
import string
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_assets.storage import keys

SHA = "0123456789abcdef" * 4
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)
tables = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
months = st.from_regex(r"[0-9]{4}-(0[1-9]|1[0-2])", fullmatch=True)
runs = st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True)


@given(names)
def test_media_id_has_the_grammar(source_key: str) -> None:
    found = keys.media_id(source_key)
    assert re.fullmatch(r"[a-z0-9_][a-z0-9_-]{0,39}-[0-9a-f]{12}", found)
    assert found == keys.media_id(source_key)


@pytest.mark.parametrize(
    ("source_key", "media_id"),
    [
        # Fixed for ever: these are partition keys of existing libraries.
        ("alice/IMG_0001.JPG", "img_0001-fb4c6c4e0fe4"),
        ("alice/2024 Été/Grüße (1).heic", "grusse-1-a1aa7fd8b90b"),
        ("日本.jpg", "media"),
        ("a/日本photo日本.jpg", "photo"),
        (".hidden", "hidden"),
        ("x" * 50 + ".jpg", "x" * 40),
        ("a/b -- c.tar.gz", "b-c-tar"),
    ],
)
def test_slug_is_readable(source_key: str, media_id: str) -> None:
    found = keys.media_id(source_key)
    assert found == media_id or found[:-13] == media_id


def test_letter_case_accents_and_folders_make_different_ids() -> None:
    variants = ["a/é.jpg", "a/e\N{COMBINING ACUTE ACCENT}.jpg", "a/É.jpg", "b/é.jpg", "a//é.jpg", "a/é.JPG"]
    assert len({keys.media_id(key) for key in variants}) == len(variants)


def test_no_two_of_100_000_keys_share_an_id() -> None:
    rng = random.Random(7)
    alphabet = string.ascii_letters + string.digits + " _-éß日/."
    drawn = {"".join(rng.choices(alphabet, k=rng.randint(1, 30))) for _ in range(100_000)}
    assert len({keys.media_id(key) for key in drawn}) == len(drawn)


@pytest.mark.parametrize("bad", ["", "a\udcff.jpg"])
def test_media_id_refuses_what_is_no_text(bad: str) -> None:
    with pytest.raises(ValueError, match="source_key"):
        keys.media_id(bad)


@pytest.mark.parametrize(
    ("source_key", "owner"),
    [
        ("a.jpg", "default"),
        ("alice/a.jpg", "alice"),
        ("alice/2024/a.jpg", "alice"),
        ("/a.jpg", "default"),
        ("A b/x", "A b"),
    ],
)
def test_owner_is_the_first_folder(source_key: str, owner: str) -> None:
    assert keys.owner_of(source_key) == owner


@given(names)
def test_owner_segment_is_safe(owner: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,53}", keys.owner_segment(owner))


@given(st.lists(names, unique=True, min_size=2, max_size=20))
def test_owners_do_not_share_a_segment(owners: list[str]) -> None:
    assert len({keys.owner_segment(owner) for owner in owners}) == len(owners)


def test_an_owner_cannot_pose_as_another() -> None:
    mapped = keys.owner_segment("Ann Müller")
    assert mapped.startswith("ann-muller-")
    assert keys.owner_segment(mapped) != mapped
    assert keys.owner_segment("alice") == "alice"
    assert keys.owner_segment("..") not in ("..", "")


def test_month_is_utc_for_aware_times_and_as_written_for_wall_times() -> None:
    berlin = timezone(timedelta(hours=2))
    assert keys.month_of(datetime(2024, 5, 1, 1, 0, tzinfo=berlin)) == "2024-04"
    assert keys.month_of(datetime(2024, 5, 1, 1, 0, tzinfo=UTC)) == "2024-05"
    assert keys.month_of(datetime(987, 1, 1)) == "0987-01"  # noqa: DTZ001 - wall time on purpose


def test_content_keys() -> None:
    assert keys.original_key("alice", "2024-05", SHA, "jpg") == f"originals/alice/2024/05/{SHA}.jpg"
    assert keys.rendition_key(SHA, "thumb_150", "jpg") == f"renditions/01/{SHA}/thumb_150.jpg"
    media_id = keys.media_id("alice/a.jpg")
    assert keys.quarantine_key("alice", media_id, SHA, "bin") == f"quarantine/alice/{media_id}/{SHA}.bin"
    assert keys.catalog_key("files", "2024-05", "v1") == "catalog/files/month=2024-05/v1.parquet"
    assert keys.catalog_manifest_key("files") == "catalog/files/CURRENT.json"


@given(tables, months, runs, st.integers(0, 999_999_999), st.booleans())
def test_part_keys_round_trip(table: str, month: str, run_id: str, n: int, removed: bool) -> None:
    make = keys.removed_part_key if removed else keys.part_key
    assert keys.parse_part_key(make(table, month, run_id, n)) == (table, month, run_id, n, removed)


@given(st.text(max_size=60) | st.from_regex(r"tables/[a-z]+/month=[0-9-]+/[a-z0-9-]+(\.removed)?\.parquet"))
def test_what_parses_is_what_was_made(key: str) -> None:
    parsed = keys.parse_part_key(key)
    if parsed is not None:
        make = keys.removed_part_key if parsed.removed else keys.part_key
        assert make(parsed.table, parsed.month, parsed.run_id, parsed.n) == key


@pytest.mark.parametrize(
    "key",
    [
        "tables/files/month=2024-13/r-0.parquet",
        "tables/files/month=2024-05/r-00.parquet",
        "tables/files/month=2024-05/r.parquet",
        "tables/files/month=2024-05/r-0.parquet\n",
        "tables/Files/month=2024-05/r-0.parquet",
        "catalog/files/month=2024-05/r-0.parquet",
    ],
)
def test_other_keys_are_no_parts(key: str) -> None:
    assert keys.parse_part_key(key) is None


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (keys.original_key, ("alice", "2024-05", SHA.upper(), "jpg")),
        (keys.original_key, ("alice", "2024-05", SHA, "../x")),
        (keys.original_key, ("alice", "2024-5", SHA, "jpg")),
        (keys.original_key, ("", "2024-05", SHA, "jpg")),
        (keys.rendition_key, (SHA[:-1], "preview", "jpg")),
        (keys.rendition_key, (SHA, "a/b", "jpg")),
        (keys.quarantine_key, ("alice", "../../x", SHA, "jpg")),
        (keys.part_key, ("files", "2024-05", "run/1", 0)),
        (keys.part_key, ("files", "2024-05", "run", -1)),
        (keys.part_key, ("Files", "2024-05", "run", 0)),
        (keys.part_key, ("files", "2024-05\n", "run", 0)),
        (keys.catalog_key, ("files", "2024-05", "")),
        (keys.catalog_manifest_key, ("a/b",)),
    ],
)
def test_arguments_outside_the_grammar_are_refused(make, arguments) -> None:
    with pytest.raises(ValueError, match=r"expected|empty"):
        make(*arguments)


def test_keys_of_copies_tell_nothing_of_their_owner() -> None:
    key = keys.shareable_key("alice", "0f" * 16, "picture.jpg")
    assert re.fullmatch(r"shareable/[0-9a-f]{12}/(0f){16}/picture\.jpg", key)
    assert "alice" not in key
    assert keys.shareable_folder("alice") != keys.shareable_folder("bob")
    assert key.startswith(keys.shareable_folder("alice") + "/")


@pytest.mark.parametrize(
    ("token", "name"), [("short", "picture.jpg"), ("0f" * 16, "IMG_0001.jpg"), ("0F" * 16, "video.mp4")]
)
def test_keys_of_copies_have_no_name_of_their_own(token: str, name: str) -> None:
    with pytest.raises(ValueError, match=r"token|name"):
        keys.shareable_key("alice", token, name)
