"""``media-assets consent`` as somebody at the register uses it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import CliRunner, Result

from media_assets.cli import main
from media_assets.pipeline.library import Library
from media_assets.storage.consents import ConsentRecord, record_consent
from media_assets_tests.unit.storage.uploads import upload

Call: TypeAlias = Callable[..., Result]


@pytest.fixture
def call(library: Library, tmp_path: Path) -> Call:
    library.ledger.record_page("inbox", [upload("ann/a.jpg")], None, take_over=False)

    def invoke(*arguments: str, expect: int = 0) -> Result:
        words = ["consent", *arguments, "--library", str(tmp_path / "library")]
        result = CliRunner().invoke(main, words, catch_exceptions=False)
        assert result.exit_code == expect, result.output
        return result

    return invoke


def answers(call: Call, owner: str) -> dict[str, tuple[bool, str]]:
    found = json.loads(call("show", owner, "--json").stdout)["answers"]
    return {one["purpose"]: (one["allowed"], one["because"]) for one in found}


def test_what_is_recorded_counts_at_once(call: Call) -> None:
    assert answers(call, "ann")["recognition"] == (False, "policy")
    said = call("grant", "ann", "recognition,publication", "--by", "Clerk", "--note", "form 7", "--expires", "90d")
    assert said.stdout.startswith("Recorded: ann allows recognition, publication until ")
    assert answers(call, "ann")["recognition"] == (True, "granted")
    revoked = call("revoke", "ann", "all", "--by", "Clerk")
    assert "media-assets consent apply" in revoked.stdout
    assert set(answers(call, "ann").values()) == {(False, "revoked")}


def test_what_is_said_last_counts_also_where_another_clock_runs_ahead(call: Call, library: Library) -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=5)
    record = ConsentRecord(owner="ann", purpose="faces", granted=True, recorded_by="Clerk", recorded_at=ahead)
    record_consent(library.store, record)
    call("revoke", "ann", "text,faces", "--by", "Clerk")
    assert answers(call, "ann")["faces"] == (False, "revoked")
    call("grant", "ann", "faces", "--by", "Clerk")
    assert answers(call, "ann")["faces"] == (True, "granted")


def test_the_history_keeps_everything(call: Call) -> None:
    call("grant", "ann", "text", "--by", "Clerk", "--note", "form 7")
    call("revoke", "ann", "text", "--by", "Chief")
    found = json.loads(call("show", "--history", "--json").stdout)
    assert [(one["granted"], one["recorded_by"], one["note"]) for one in found] == [
        (True, "Clerk", "form 7"),
        (False, "Chief", None),
    ]
    assert "Chief" in call("show", "ann", "--history").stdout
    assert json.loads(call("show", "ben", "--history", "--json").stdout) == []


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["grant", "ann", "smell"], "'smell' is no purpose"),
        (["grant", "ann", "text", "--expires", "tomorrow"], "'tomorrow' is no time"),
        (["grant", "ann", "text", "--expires", "2001-01-01"], "has passed"),
        (["revoke", "ann", ","], "is no purpose"),
    ],
)
def test_a_wrong_call_says_what_is_expected(call: Call, words: list[str], named: str) -> None:
    assert named in call(*words, expect=2).output
    assert json.loads(call("show", "--history", "--json").stdout) == []


def test_an_owner_without_files_is_recorded_with_a_note(call: Call) -> None:
    result = call("grant", "nobody", "text", "--by", "Clerk")
    assert "no files of an owner 'nobody'" in result.stderr
    assert answers(call, "nobody")["text"] == (True, "granted")


def test_a_library_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["consent", "grant", "ann", "text", "--library", str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert "There is no library" in result.output
    assert not (tmp_path / "nowhere").exists()


def test_apply_and_verify_say_what_they_did(call: Call) -> None:
    assert "not followed" not in call("show").stdout.lower()
    call("grant", "ann", "publication", "--by", "Clerk")
    assert "Not followed yet for 1 owners" in call("show").stdout
    assert json.loads(call("apply", "--json").stdout)["owners"] == 1
    assert call("apply").stdout == "All consents are followed already.\n"
    assert "Nothing is left of what is not allowed." in call("verify").stdout
    assert json.loads(call("verify", "--json").stdout)["left"] == []
