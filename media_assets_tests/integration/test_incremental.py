"""``media-assets process`` on a folder that it has processed before: nothing is listed as new, nothing is done."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from media_assets.defs.inspection import partition_count
from media_assets.pipeline.library import Library
from media_assets.settings import Settings
from media_assets.storage import catalog
from media_assets.storage.schemas import TABLES
from media_assets_tests.bench.bookkeeping import write_pictures

pytestmark = pytest.mark.integration

FILES = 300
# Issue 2: "under 5 s for 300 files beyond start-up".
BOUND_S = 5.0


def cli_environment(home: Path, **values: str) -> dict[str, str]:
    """The environment of a user who has switched the analysis off, and nothing else; ``home`` stands for theirs."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MEDIA_ASSETS_", "DAGSTER_", "AWS_", "XDG_"))
    }
    home.mkdir(parents=True, exist_ok=True)
    return kept | {"HOME": str(home), "COLUMNS": "200", "MEDIA_ASSETS_ANALYZE": "false", **values}


def run_cli(
    *arguments: object,
    env: Mapping[str, str],
    prefix: Sequence[str] = (),
    timeout_s: float = 200.0,
    cwd: Path | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Call ``media-assets`` as a user does. Whatever happens, no traceback may reach them."""
    command = [*prefix, sys.executable, "-m", "media_assets.cli", *map(os.fspath, map(_text, arguments))]
    done = subprocess.run(
        command,
        env=dict(env),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        cwd=cwd,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done


def _text(argument: object) -> str:
    return argument if isinstance(argument, str) else str(argument)


def process_json(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    """The report of ``media-assets process --json`` that ended well."""
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def stored_files(library: Path) -> dict[str, tuple[int, int]]:
    """Every file of a library but the state folder: path to modification time and length."""
    return {
        str(path.relative_to(library)): (path.stat().st_mtime_ns, path.stat().st_size)
        for folder in library.iterdir()
        if folder.name != ".dagster"
        for path in folder.rglob("*")
        if path.is_file()
    }


def runs_of(state: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Job name and status of each run of the embedded instance."""
    import dagster as dg

    monkeypatch.setenv("DAGSTER_HOME", str(state))
    with dg.DagsterInstance.get() as instance:
        return [(record.dagster_run.job_name, record.dagster_run.status.value) for record in instance.get_run_records()]


@pytest.mark.timeout(400)
def test_second_call_does_no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, library = tmp_path / "photos", tmp_path / "library"
    write_pictures(photos, FILES, (320, 240))
    env = cli_environment(tmp_path / "home")
    command = ("process", photos, "--library", library, "--json")

    first = process_json(run_cli(*command, env=env, timeout_s=300))
    assert first["states"] == {"materialized": FILES}
    assert (first["listed"], first["new"], first["unchanged"]) == (FILES, FILES, 0)
    before, runs_before = stored_files(library), runs_of(library / ".dagster", monkeypatch)
    assert any(name.startswith("tables/files/") for name in before)
    assert {status for _, status in runs_before} == {"SUCCESS"}

    second = process_json(run_cli(*command, env=env))
    print(f"\nsecond call on {FILES} files: {second['seconds']} s beyond start-up; the first took {first['seconds']} s")
    assert second["states"] == {}
    assert (second["listed"], second["new"], second["unchanged"]) == (FILES, 0, FILES)
    assert second["seconds"] < BOUND_S
    assert stored_files(library) == before  # no part, no catalog file, no rendition was even touched
    assert runs_of(library / ".dagster", monkeypatch) == runs_before  # no run: nothing was decoded
    assert partition_count() == FILES

    opened = Library(Settings.load(library=str(library)))
    assert catalog.row_count(opened.store, "files") == FILES
    assert [name for name in TABLES if catalog.check_unique(opened.store, name)] == []
    opened.close()


def test_only_what_changed_is_done(tmp_path: Path) -> None:
    photos, library = tmp_path / "photos", tmp_path / "library"
    paths = write_pictures(photos, 8, (320, 240))
    env = cli_environment(tmp_path / "home")
    command = ("process", photos, "--library", library, "--json")
    process_json(run_cli(*command, env=env))

    paths[2].write_bytes(b"this is no picture any more")
    paths[5].write_bytes(write_pictures(tmp_path / "other", 12, (320, 240))[11].read_bytes())
    (photos / "new.jpg").write_bytes(paths[0].read_bytes())
    report = process_json(run_cli(*command, env=env))

    assert report["states"] == {"materialized": 2, "rejected": 1}
    assert [(row["source_key"], row["reason_code"]) for row in report["rejected"]] == [
        ("IMG_0002.jpg", "unsupported_type")
    ]
    opened = Library(Settings.load(library=str(library)))
    rows = {row["source_key"]: row for row in catalog.read_current(opened.store, "files").to_pylist()}
    # The last sound version of a file stays until a sound one replaces it.
    assert sorted(rows) == sorted([path.name for path in paths] + ["new.jpg"])
    assert rows["new.jpg"]["duplicate_of"] == rows["IMG_0000.jpg"]["media_id"]
    assert rows["new.jpg"]["original_path"] == rows["IMG_0000.jpg"]["original_path"]
    assert [name for name in TABLES if catalog.check_unique(opened.store, name)] == []
    opened.close()
