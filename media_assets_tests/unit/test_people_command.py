"""``media-assets people`` on a library whose faces were written by the test."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.testing import CliRunner, Result

from media_assets.cli import main
from media_assets.pipeline.people.update import update_people
from media_assets.storage import keys
from media_assets_tests.conftest import MakeLibrary
from media_assets_tests.unit.pipeline.analysed import Analysed, looks

Call: TypeAlias = Callable[..., Result]

ANN, BOB = 1, 2


@pytest.fixture
def analysed(make_library: MakeLibrary, monkeypatch: pytest.MonkeyPatch) -> Analysed:
    monkeypatch.setenv("MEDIA_ASSETS_RECOGNITION_OWNERS", "alice")
    return Analysed(make_library(recognition_owners=("alice",)))


@pytest.fixture
def call(tmp_path: Path) -> Call:
    def invoke(*arguments: str, expect: int = 0) -> Result:
        result = CliRunner().invoke(
            main, ["people", *arguments, "--library", str(tmp_path / "library")], catch_exceptions=False
        )
        assert result.exit_code == expect, result.output
        return result

    return invoke


@pytest.fixture
def listed(call: Call) -> Callable[..., list[dict[str, Any]]]:
    def people(*arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(call("list", "--json", *arguments).stdout)
        return found

    return people


@pytest.fixture
def pictures(analysed: Analysed) -> Analysed:
    """Three of Ann, two of Bob."""
    analysed.faces({f"alice/ann-{shot}.jpg": [looks(ANN, shot)] for shot in range(3)})
    analysed.faces({f"alice/bob-{shot}.jpg": [looks(BOB, shot)] for shot in range(2)})
    update_people(analysed.library, "first")
    return analysed


@pytest.mark.usefixtures("pictures")
def test_people_are_named_merged_split_and_forgotten(call: Call, listed: Callable[..., list[dict[str, Any]]]) -> None:
    ann, bob = listed()
    assert (ann["face_count"], ann["file_count"], ann["name"], ann["owner"]) == (3, 3, None, "alice")
    named = call("name", ann["person_id"], "Ann Lee")
    assert named.stdout == f"{ann['person_id']}: Ann Lee, 3 faces in 3 files.\n"
    call("merge", "Ann Lee", bob["person_id"])
    assert [(one["name"], one["face_count"]) for one in listed()] == [("Ann Lee", 5)]
    face = keys.media_id("alice/bob-0.jpg")
    call("split", "Ann Lee", f"{face}:0", keys.media_id("alice/bob-1.jpg"))
    assert [(one["name"], one["face_count"]) for one in listed()] == [("Ann Lee", 3), (None, 2)]
    assert listed()[0]["person_id"] == ann["person_id"]
    call("forget-name", "Ann Lee")
    assert [one["name"] for one in listed()] == [None, None]


@pytest.mark.usefixtures("pictures")
def test_show_lists_faces_by_the_names_that_split_takes(
    call: Call, listed: Callable[..., list[dict[str, Any]]]
) -> None:
    person = listed()[0]["person_id"]
    shown = json.loads(call("show", person, "--json").stdout)
    assert {one["face"] for one in shown["faces"]} == {
        f"{keys.media_id(f'alice/ann-{shot}.jpg')}:0" for shot in range(3)
    }
    distances = [one["distance"] for one in shown["faces"]]
    assert distances == sorted(distances)
    assert shown["faces"][0]["face"] in call("show", person).stdout


@pytest.mark.usefixtures("pictures")
def test_list_can_be_narrowed(call: Call, listed: Callable[..., list[dict[str, Any]]]) -> None:
    assert len(listed("--limit", "1")) == 1
    assert listed("--owner", "bob") == []
    assert "... and 1 more (--limit)." in call("list", "--limit", "1").stdout


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "p-nobody"), "There is no person 'p-nobody'. List them with: media-assets people list"),
        (("name", "p-nobody", "Ann"), "There is no person"),
    ],
)
def test_who_does_not_exist_is_a_wrong_call(call: Call, arguments: tuple[str, ...], message: str) -> None:
    assert message in call(*arguments, expect=2).stderr


def test_an_empty_list_says_what_is_missing(
    call: Call, make_library: MakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_library()
    assert "media-assets consent grant" in call("list").stdout
    monkeypatch.setenv("MEDIA_ASSETS_RECOGNITION_OWNERS", "alice")
    assert call("list").stdout == "No people.\n"


@pytest.mark.usefixtures("pictures")
def test_what_was_said_while_another_process_groups_is_kept(
    analysed: Analysed, call: Call, listed: Callable[..., list[dict[str, Any]]]
) -> None:
    person = listed()[0]["person_id"]
    with analysed.library.ledger.lease("people", "somebody else"):
        said = call("name", person, "Ann").stdout
    assert said.startswith("Recorded; it will show when asset `people` is materialized next.")
    assert listed()[0]["name"] is None
    update_people(analysed.library, "next")
    assert listed()[0]["name"] == "Ann"
