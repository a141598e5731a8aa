"""``media-assets export`` on a library whose rows were written by the test."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from media_assets.cli import main
from media_assets.pipeline.export.policy import COLUMNS
from media_assets.pipeline.library import Library
from media_assets_tests.unit.pipeline.analysed import Analysed

Call: TypeAlias = Callable[..., Result]

ROME = {"latitude_deg": 41.8902, "longitude_deg": 12.4922, "place_city": "Rome", "place_country_code": "IT"}


@pytest.fixture
def call(library: Library, tmp_path: Path) -> Call:
    Analysed(library).write("metadata", {f"alice/{n}.jpg": [ROME] for n in range(2)})

    def invoke(*arguments: str, expect: int = 0) -> Result:
        result = CliRunner().invoke(
            main, ["export", *arguments, "--library", str(tmp_path / "library")], catch_exceptions=False
        )
        assert result.exit_code == expect, result.output
        return result

    return invoke


def test_a_copy_is_written_and_what_still_tells_is_said_without_names(call: Call, tmp_path: Path) -> None:
    result = call("--privacy", "city", "--to", str(tmp_path / "copy"))
    assert f"{len(COLUMNS)} tables" in result.stdout
    assert "1 place with fewer than 5 files each, 2 files in all" in result.stderr
    assert "--privacy country" in result.stderr
    assert "Times are exact" in result.stderr
    assert "all files are of one owner" in result.stderr
    assert "Rome" not in result.output
    assert pq.read_table(tmp_path / "copy" / "metadata.parquet")["place_city"].null_count == 0


def test_nothing_is_warned_of_where_nothing_tells(call: Call, tmp_path: Path) -> None:
    assert call("--privacy", "none", "--times", "day", "--to", str(tmp_path / "copy")).stderr == ""
    assert "Positions are exact" in call("--privacy", "exact", "--to", str(tmp_path / "exact")).stderr
    suppressed = call("--privacy", "city", "--times", "year", "--suppress-rare", "--to", str(tmp_path / "few"))
    assert suppressed.stderr == ""
    assert pq.read_table(tmp_path / "few" / "metadata.parquet")["place_city"].null_count == 2


def test_json_has_numbers_only(call: Call, tmp_path: Path) -> None:
    result = call("--privacy", "city", "--k", "2", "--role", "study", "--json", "--to", str(tmp_path / "copy"))
    told = json.loads(result.stdout)
    assert (told["rare_places"], told["single_owner_places"], told["rows"]["metadata"]) == (0, 1, 2)


def test_a_used_folder_and_a_missing_level_are_usage_errors(call: Call, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes.txt").write_text("mine")
    result = call("--privacy", "none", "--to", str(tmp_path / "used"), expect=2)
    assert "Name a new folder with --to" in result.stderr
    assert (tmp_path / "used" / "notes.txt").read_text() == "mine"
    assert "--privacy" in call("--to", str(tmp_path / "copy"), expect=2).stderr
    missing = CliRunner().invoke(main, ["export", "--privacy", "none", "--to", "x", "--library", str(tmp_path / "no")])
    assert (missing.exit_code, "There is no library" in missing.output) == (2, True)


def test_a_role_gets_what_the_settings_give_it_or_less(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = {"privacy": "city", "times": "month", "k": 3, "suppress_rare": True}
    monkeypatch.setenv("MEDIA_ASSETS_EXPORT_ROLES", json.dumps({"analyst": role}))
    told = json.loads(call("--role", "analyst", "--json", "--to", str(tmp_path / "copy")).stdout)
    assert (told["privacy"], told["times"], told["k"]) == ("city", "month", 3)
    assert told["rare_places_suppressed"] is True
    for more in (("--privacy", "exact"), ("--times", "day"), ("--k", "2")):
        refused = call("--role", "analyst", *more, "--to", str(tmp_path / "more"), expect=2).stderr
        assert f"{' '.join(more)} tells more than role analyst may have" in refused
    less = call("--role", "analyst", "--privacy", "none", "--k", "9", "--json", "--to", str(tmp_path / "less"))
    assert json.loads(less.stdout)["privacy"] == "none"
    unknown = call("--role", "guest", "--to", str(tmp_path / "guest"), expect=2).stderr
    assert "--privacy exact|city|country|none. Roles of the settings: analyst." in unknown
    assert not (tmp_path / "more").exists()
    monkeypatch.setenv("MEDIA_ASSETS_EXPORT_ROLES", json.dumps({"analyst": {"privacy": "town"}}))
    assert "Setting export_roles" in call("--role", "analyst", "--to", str(tmp_path / "wrong"), expect=2).stderr
