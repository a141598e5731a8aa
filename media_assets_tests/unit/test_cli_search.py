"""``media-assets search`` in this process."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.testing import CliRunner, Result

from media_assets.cli import main
from media_assets.pipeline.library import Library
from media_assets.settings import Settings
from media_assets.storage.catalog import compact
from media_assets_tests.unit.pipeline.search_library import add_file, fill

Call: TypeAlias = Callable[..., Result]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """One library for all tests; what a test adds, no other one asks for."""
    library = Library(Settings(library=str(tmp_path_factory.mktemp("library")), workers=1))
    fill(library.store)
    yield library
    library.close()


@pytest.fixture
def call(library: Library) -> Call:
    def invoke(*arguments: str) -> Result:
        where = ["--library", library.settings.library_url]
        result = CliRunner().invoke(main, ["search", *arguments, *where], catch_exceptions=False)
        assert "Traceback" not in result.output
        return result

    return invoke


def report(result: Result) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(result.stdout)
    return value


def test_the_table_says_what_and_why(call: Call) -> None:
    result = call("dog", "may", "--limit", "1")
    assert result.exit_code == 2  # the words are one argument
    result = call("dog may 2024")
    assert result.exit_code == 0
    assert "beach-1" in result.stdout
    assert "object: dog 0.90" in result.stdout
    assert "1 of 1 shown, ranked by words." in result.stdout


def test_json_for_programs(call: Call, library: Library) -> None:
    answer = report(call("--like", "beach-1", "--exact", "--limit", "1", "--json"))
    (only,) = answer.pop("results")
    assert answer["model"].startswith("efficientnet-lite0@")
    assert (answer["ranked_by"], answer["index"], answer["vectors"]) == ("likeness", "exact", 7)
    assert only["media_id"] == "clip-6"
    assert only["captured_at"] == "2024-05-20T08:00:00"
    assert only["preview"] == "renditions/clip-6/preview.jpg"
    assert only["preview_path"] == str(Path(library.settings.library_url) / only["preview"])
    assert only["preview_url"] is None
    assert [(reason["field"], reason["frame_s"]) for reason in only["why"]] == [("embedding", 5.5), ("phash", None)]


def test_both_kinds_of_search_are_named(call: Call) -> None:
    assert "exact search in 7 vectors" in call("--like", "beach-1").stdout
    result = call("--like", "beach-1", "--approximate")
    assert "approximate search in 7 vectors" in result.stdout
    assert "Adding 7 vectors" in result.stderr


def test_nothing_found_is_no_failure(call: Call) -> None:
    result = call("zebra")
    assert (result.exit_code, result.stdout.strip()) == (0, "Nothing was found.")
    assert report(call("zebra", "--json"))["results"] == []
    result = call("--label", "dragon")
    assert result.exit_code == 0
    assert "No object and no scene is called 'dragon'." in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Name words, --like, or a filter"),
        (("!!",), "There is no word"),
        (("--from", "yesterday"), "is no date"),
        (("--to", "2024-13"), "month"),
        (("--near", "48.85"), "48.85,2.35,10"),
        (("--near", "91,0,1"), "latitude is -90 to 90"),
        (("--near", "nan,0,1"), "latitude is -90 to 90"),
        (("--like", "no/such.jpg"), "no file and no media id"),
        (("--like", "nobody-1"), "no media id of this library"),
        (("dog", "--type", "sound"), "sound"),
        (("dog", "--limit", "0"), "--limit"),
    ],
)
def test_wrong_usage(call: Call, arguments: tuple[str, ...], message: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_failures_name_what_to_do(call: Call, library: Library, tmp_path: Path) -> None:
    add_file(library.store, "later-9", run="run-2")
    compact(library.store)
    result = call("--like", "later-9")
    assert result.exit_code == 1
    assert "media-assets reprocess --asset embeddings --stale" in " ".join(result.stderr.split())
    result = CliRunner().invoke(main, ["search", "dog", "--library", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert "There is no library" in result.stderr


def test_hostile_names_stay_text(call: Call, library: Library) -> None:
    add_file(library.store, "odd-9", run="run-2", file={"file_name": "\x1b[31m castle[/bold].jpg"})
    compact(library.store)
    result = call("castle")
    assert "\x1b" not in result.stdout
    assert "castle[/bold].jpg" in result.stdout
