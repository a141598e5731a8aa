"""``media-assets review`` on a library whose ratings were written by the test."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.testing import CliRunner, Result

from media_assets.cli import main
from media_assets.pipeline.library import Library
from media_assets.storage import keys
from media_assets.storage.consents import ConsentRecord, record_consent
from media_assets_tests.unit.pipeline.analysed import Analysed
from media_assets_tests.unit.pipeline.test_review import accept, rated

Call: TypeAlias = Callable[..., Result]

DOUBTFUL, WORSE = keys.media_id("alice/doubtful.jpg"), keys.media_id("alice/worse.jpg")


@pytest.fixture
def call(library: Library, tmp_path: Path) -> Call:
    analysed = Analysed(library)
    rated(analysed, "alice/doubtful.jpg", "v1", (None, 0.6))
    rated(analysed, "alice/worse.jpg", "v2", (1.5, 0.9))
    rated(analysed, "alice/harmless.jpg", "v3", (None, 0.1))
    analysed.write("renditions", {"alice/doubtful.jpg": [{"kind": "preview", "path": "renditions/x.jpg"}]})
    for name, version in (("doubtful", "v1"), ("worse", "v2")):
        accept(library, f"alice/{name}.jpg", version)
    library.compact()

    def invoke(*arguments: str, expect: int = 0) -> Result:
        result = CliRunner().invoke(
            main, ["review", *arguments, "--library", str(tmp_path / "library")], catch_exceptions=False
        )
        assert result.exit_code == expect, result.output
        return result

    return invoke


@pytest.fixture
def consented(library: Library) -> None:
    values = {"owner": "alice", "purpose": "publication", "granted": True, "recorded_by": "t"}
    record_consent(library.store, ConsentRecord.model_validate(values | {"recorded_at": datetime.now(UTC)}))


def listed(call: Call, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(call("list", "--json", *arguments).stdout)
    return found


@pytest.mark.usefixtures("consented")
def test_the_queue_shrinks_as_people_decide(call: Call, library: Library) -> None:
    (one,) = listed(call)
    assert (one["media_id"], one["level"], one["score"], one["decision"]) == (DOUBTFUL, "review", 0.6, "waiting")
    assert one["look_at"] == str(library.settings.library_root / "renditions/x.jpg")
    said = call("allow", DOUBTFUL, "--by", "Eva", "--note", "a statue")
    assert said.stdout.startswith("Allowed: 1 file. Copies are made by the next")
    assert listed(call) == []
    assert (
        "Nothing waits for you. Beside that: 1 blocked by policy, 1 decided (--all shows them)." in call("list").stdout
    )
    by_id = {one["media_id"]: one for one in listed(call, "--all")}
    assert by_id.keys() == {DOUBTFUL, WORSE}
    assert (by_id[DOUBTFUL]["decided_by"], by_id[DOUBTFUL]["note"]) == ("Eva", "a statue")
    assert (by_id[WORSE]["decision"], by_id[WORSE]["frame_s"]) == ("block", 1.5)
    assert "withdrawn" in call("block", DOUBTFUL, WORSE, "--by", "Max").stdout
    assert {one["decision"] for one in listed(call, "--all")} == {"block"}


def test_what_is_not_to_be_published_waits_for_nobody_and_the_list_says_so(call: Call) -> None:
    assert listed(call) == []
    assert "2 not to be published" in call("list").stdout
    assert "not to be published" in call("list", "--all").stdout


@pytest.mark.usefixtures("consented")
def test_without_a_command_the_queue_is_listed(call: Call) -> None:
    assert call().stdout == call("list").stdout
    assert DOUBTFUL in call().stdout
    assert [one["media_id"] for one in json.loads(call("--all", "--json").stdout)] == [WORSE, DOUBTFUL]
    assert "Forbid the publication" in CliRunner().invoke(main, ["review", "--help"]).output


@pytest.mark.usefixtures("consented")
def test_the_table_says_how_to_decide(call: Call) -> None:
    shown = call("list", "--all", "--limit", "1").stdout
    assert "... and 1 more (--limit)." in shown
    shown = call("list", "--owner", "alice").stdout
    assert "waits for you" in shown
    assert "media-assets review allow|block MEDIA_ID --by NAME" in shown
    assert "Nothing to review" in call("list", "--owner", "nobody").stdout


def test_mistakes_are_usage_errors_and_record_nothing(call: Call, library: Library) -> None:
    assert "is no accepted file" in call("allow", DOUBTFUL, "x-000000000000", "--by", "Eva", expect=2).stderr
    assert "--by" in call("allow", DOUBTFUL, expect=2).stderr
    assert "--by" in call("allow", DOUBTFUL, "--by", " ", expect=2).stderr
    assert not list(library.store.list(keys.REVIEWS_FOLDER))
