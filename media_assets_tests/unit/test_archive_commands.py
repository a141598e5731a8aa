"""``archive`` and ``reopen`` on the command line: a library that was processed, archived and opened again."""

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from media_assets.cli import main
from media_assets.defs.partitions import PARTITIONS_NAME
from media_assets.storage import keys
from media_assets_tests.pictures import jpeg

Call: TypeAlias = Callable[..., Result]

pytestmark = pytest.mark.usefixtures("_shared_decoder", "_one_worker")


@pytest.fixture
def _one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_ASSETS_WORKERS", "1")


@pytest.fixture
def call() -> Call:
    """Call ``media-assets``. Errors that would be tracebacks fail the test."""
    runner = CliRunner()

    def invoke(*arguments: str) -> Result:
        os.environ.pop("DAGSTER_HOME", None)  # each call is a process of its own in real life
        return runner.invoke(main, arguments, catch_exceptions=False)

    return invoke


def value(result: Result, exit_code: int = 0) -> Any:
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


def partitions(library: Path) -> list[str]:
    (config,) = library.rglob("dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(config.parent)
    with dg.DagsterInstance.get() as instance:
        return list(instance.get_dynamic_partitions(PARTITIONS_NAME))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("archive",), "Say what: --month, --before or --stale-keys."),
        (("archive", "--month", "2025-03", "--stale-keys"), "Say what"),
        (("archive", "--month", "2025-13"), "2025-13"),
        (("archive", "--stale-keys", "--forget-events"), "--forget-events goes with"),
        (("archive", "--before", "2025-03", "--library", "nowhere"), "There is no library at"),
        (("reopen",), "Say what: --month, --media-id or --stale."),
        (("reopen", "--stale", "people"), "people"),
        (("reopen", "--month", "2025-03", "--library", "nowhere"), "There is no library at"),
    ],
)
def test_wrong_usage_is_named(call: Call, arguments: tuple[str, ...], message: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_a_month_is_archived_and_reopened(call: Call, tmp_path: Path) -> None:
    folder, library = tmp_path / "photos", tmp_path / "library"
    folder.mkdir()
    for at in range(3):
        (folder / f"{at}.jpg").write_bytes(jpeg(at))
    ids = [keys.media_id(f"{at}.jpg") for at in range(3)]
    assert value(call("process", str(folder), "--library", str(library), "--json"))["listed"] == 3
    (ledger,) = library.rglob("ledger.db")
    with closing(sqlite3.connect(ledger)) as connection, connection:
        month = connection.execute("SELECT month FROM ma_media").fetchone()[0]
        connection.execute("UPDATE ma_media SET month = '2025-03' WHERE media_id IN (?, ?)", ids[:2])
    at = ("--library", str(library), "--json")

    assert partitions(library) == ids
    refused = value(call("archive", "--month", month, *at), exit_code=1)["months"]
    assert [(one["month"], one["keys_removed"]) for one in refused] == [(month, 0)]
    assert "ended less than 1 months ago" in refused[0]["refused"]
    dry = value(call("archive", "--before", "2025-04", "--dry-run", *at))
    done = {"month": "2025-03", "files": 2, "archived_before": 0, "keys_removed": 0, "refused": None}
    assert dry == {"dry_run": True, "months": [done]}
    assert partitions(library) == ids
    assert value(call("archive", "--before", "2025-03", *at))["months"] == []
    assert value(call("archive", "--before", "2025-04", *at))["months"] == [done | {"keys_removed": 2}]
    assert value(call("archive", "--month", "2025-03", *at))["months"] == [done | {"archived_before": 2}]
    assert partitions(library) == ids[2:]
    assert "No file came in 2024-01." in call("archive", "--month", "2024-01", *at).stderr

    again = value(call("process", str(folder), *at))
    assert (again["unchanged"], again["failures"]) == (3, [])
    assert value(call("stale", *at))["thumbnails"] == {"current": 1}
    assert "2 archived files are left out" in call("stale", "--library", str(library)).stdout
    assert partitions(library) == ids[2:]
    found = value(call("archive", "--stale-keys", *at))
    assert {name: found[name] for name in ("unknown", "archived", "missing")} == {
        "unknown": [], "archived": [], "missing": [],
    }  # fmt: skip

    assert "does not know x" in call("reopen", "--media-id", "x", *at).stderr
    assert value(call("reopen", "--stale", "thumbnails", *at)) == {"reopened": 0, "still_archived": 2}
    assert value(call("reopen", "--media-id", ids[1], *at)) == {"reopened": 1, "still_archived": 1}
    assert value(call("reopen", "--month", "2025-03", *at)) == {"reopened": 1, "still_archived": 0}
    assert partitions(library) == [ids[2], ids[1], ids[0]]
    assert value(call("stale", *at))["thumbnails"] == {"current": 3}
