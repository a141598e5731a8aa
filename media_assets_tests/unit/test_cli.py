"""The command line in this process; what needs several processes is in the integration tier."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias
from unittest import mock

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from media_assets.cli import main
from media_assets.defs.headless import HeadlessRunner
from media_assets.instance import prepare_home
from media_assets.pipeline.library import Library
from media_assets.settings import Settings
from media_assets.storage import catalog
from media_assets.storage.errors import StoreUnreachable
from media_assets.storage.objects_local import LocalObjectStore
from media_assets_tests.pictures import jpeg, png, truncated_jpeg

Call: TypeAlias = Callable[..., Result]
Fill: TypeAlias = Callable[[str, Mapping[str, bytes]], Path]

pytestmark = pytest.mark.usefixtures("_shared_decoder", "_one_worker", "_quick_instance")


@pytest.fixture
def _one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_ASSETS_WORKERS", "1")


@pytest.fixture(scope="session")
def _new_instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Dagster home with its databases made and nothing in them."""
    home = tmp_path_factory.mktemp("dagster-home")
    prepare_home(Settings(library="/nowhere", state=home))
    with mock.patch.dict(os.environ, {"DAGSTER_HOME": str(home)}), dg.DagsterInstance.get() as instance:
        assert instance.get_dynamic_partitions("media") == []
    return home


@pytest.fixture
def _quick_instance(_new_instance: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy the databases of a new instance: to make them takes longer than most tests."""

    def prepared(settings: Settings) -> Path:
        home = prepare_home(settings)
        if not (home / "history").exists():
            shutil.copytree(_new_instance, home, dirs_exist_ok=True)
        return home

    monkeypatch.setattr("media_assets.commands.process.prepare_home", prepared)


@pytest.fixture
def call() -> Call:
    """Call ``media-assets``. Errors that would be tracebacks fail the test."""
    runner = CliRunner()

    def invoke(*arguments: str) -> Result:
        os.environ.pop("DAGSTER_HOME", None)  # each call is a process of its own in real life
        result = runner.invoke(main, arguments, catch_exceptions=False)
        assert "Traceback" not in result.output
        return result

    return invoke


@pytest.fixture
def fill(tmp_path: Path) -> Fill:
    """Put files into a folder below ``tmp_path`` and return it. The order of the calls is that of the versions."""
    clock = iter(range(1_700_000_000, 1_800_000_000))

    def put(folder: str, files: Mapping[str, bytes]) -> Path:
        for name, content in files.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            stamp = next(clock)
            os.utime(path, (stamp, stamp))
        return tmp_path / folder

    return put


def parts(library: Path) -> set[str]:
    return {str(path.relative_to(library)) for path in (library / "tables").rglob("*.parquet")}


def rows(library: Path, table: str) -> list[dict[str, Any]]:
    opened = Library(Settings(library=str(library)))
    found = catalog.read_current(opened.store, table).to_pylist()
    opened.close()
    return sorted(found, key=str)


def report(result: Result) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(result.stdout)
    return value


# ---------------------------------------------------------------- usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("process", "no-such-folder"), "does not exist. Check the path."),
        (
            ("process", ".", "--assets", "original,people"),
            "Unknown asset people. Known: original, metadata, thumbnails, optimized, ",
        ),
        (("process", ".", "--assets", ","), "Unknown asset (none)."),
        (("process", ".", "--workers", "0"), "--workers"),
        (("process",), "Missing argument 'PATH'"),
        (("unknown",), "No such command 'unknown'"),
        (("status",), "There is no library at"),
        (("rejected", "--library", "nowhere"), "media-assets process PATH --library DIR"),
        (("query", "select 1", "--library", "nowhere"), "There is no library at"),
        (("doctor", "--library", "nowhere"), "There is no library at"),
        (("rejected", "--limit", "0"), "--limit"),
        (("serve", "--port", "70000"), "--port"),
    ],
)
def test_wrong_usage_is_named_and_leaves_nothing(
    call: Call, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_wrong_setting_is_a_usage_error(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_ASSETS_FLUSH_FILES", "none")
    for command in (("process", "."), ("status",), ("rejected",), ("query", "select 1"), ("doctor",), ("serve",)):
        result = call(*command)
        assert result.exit_code == 2
        assert "MEDIA_ASSETS_FLUSH_FILES" in result.stderr


@pytest.mark.parametrize("command", ["process", "serve", "status", "rejected", "query", "gallery", "doctor"])
def test_every_command_explains_itself_and_speaks_json(call: Call, command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout
    assert "--library" in result.stdout


def test_the_library_itself_is_not_processed(call: Call, fill: Fill, tmp_path: Path) -> None:
    fill("lib/inbox", {"a.jpg": jpeg(1)})
    (tmp_path / "link").symlink_to("lib")
    for spelling in ("lib", "lib/../lib", "./lib", "link"):
        result = call("process", spelling, "--library", "lib")
        assert result.exit_code == 2
        assert "is the library itself. Name the folder that holds the media files." in result.stderr
    assert list((tmp_path / "lib").iterdir()) == [tmp_path / "lib" / "inbox"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_named(call: Call, fill: Fill) -> None:
    folder = fill("in", {"a.jpg": jpeg(1)})
    folder.chmod(0)
    try:
        result = call("process", "in", "--library", "lib")
    finally:
        folder.chmod(0o755)
    assert (result.exit_code, "cannot be read. Fix its permissions" in result.stderr) == (2, True)


@pytest.mark.skipif(os.name != "posix", reason="names are bytes there")
def test_a_single_file_whose_name_is_not_utf8_is_a_usage_error(call: Call, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    (tmp_path / name).write_bytes(jpeg(1))
    result = call("process", name, "--library", "lib")
    assert result.exit_code == 2
    assert "not valid UTF-8" in result.stderr
    assert "Rename" in result.stderr


def test_a_folder_whose_name_is_not_utf8_is_processed(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "a.jpg").write_bytes(jpeg(1))
    result = call("process", str(folder), "--library", "lib", "--json")
    assert result.exit_code == 0
    assert report(result)["states"] == {"materialized": 1}
    assert call("process", str(folder), "--library", "lib").exit_code == 0


# ---------------------------------------------------------------- process


def test_a_folder_is_processed_once(call: Call, fill: Fill, tmp_path: Path) -> None:
    fill("in", {"ann/a.jpg": jpeg(1), "b.png": png(2), "bad.jpg": truncated_jpeg()})
    first = report(call("process", "in", "--library", "lib", "--json"))
    assert (first["listed"], first["new"], first["unchanged"], first["failures"]) == (3, 3, 0, [])
    assert first["states"] == {"materialized": 2, "rejected": 1}
    assert [(row["source_key"], row["reason_code"]) for row in first["rejected"]] == [("bad.jpg", "truncated")]
    before = parts(tmp_path / "lib")
    second = call("process", "in", "--library", "lib", "--json")
    assert second.exit_code == 0
    again = report(second)
    assert (again["listed"], again["new"], again["unchanged"], again["states"]) == (3, 0, 3, {})
    assert parts(tmp_path / "lib") == before
    assert [row["owner"] for row in rows(tmp_path / "lib", "files")] == ["ann", "default"]


def test_nothing_to_do_needs_no_dagster(
    call: Call, fill: Fill, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fill("in", {"a.jpg": jpeg(1)})
    call("process", "in", "--library", "lib")

    def refuse(*_: object) -> None:
        raise AssertionError("Dagster was started for nothing")

    monkeypatch.setattr(HeadlessRunner, "__init__", refuse)
    assert call("process", "in", "--library", "lib").exit_code == 0


def test_sidecars_are_counted_and_change_metadata_only(call: Call, fill: Fill, tmp_path: Path) -> None:
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    fill("in", {"a.jpg": jpeg(1), "b.jpg": jpeg(2), "lone.xmp": xmp, "package.json": b"{}"})
    first = report(call("process", "in", "--library", "lib", "--json"))
    assert (first["listed"], first["new"], first["unchanged"], first["exit_code"]) == (4, 3, 0, 0)
    assert (first["sidecars"], first["sidecars_without_media"]) == (1, 1)
    assert first["states"] == {"materialized": 2, "rejected": 1}
    computed = {row["media_id"]: row["computed_at"] for row in rows(tmp_path / "lib", "metadata")}
    fill("in", {"a.jpg.xmp": xmp})
    shown = call("process", "in", "--library", "lib", "--assets", "thumbnails").stdout
    assert "5 files listed, 2 unchanged, 2 sidecars; 1 materialized" in shown
    assert "1 sidecars have no media file: media-assets status lists them." in shown
    again = {row["media_id"]: row["computed_at"] for row in rows(tmp_path / "lib", "metadata")}
    assert [media_id.startswith("a-") for media_id in again if again[media_id] != computed[media_id]] == [True]
    third = report(call("process", "in", "--library", "lib", "--json"))
    assert (third["states"], third["unchanged"], third["sidecars"]) == ({}, 3, 2)

    status = json.loads(call("status", "--library", "lib", "--json").stdout)
    assert status["files"] == {"accepted": 2, "rejected": 1}
    assert status["sidecars"] == {"count": 2, "without_media": 1, "first_without_media": ["lone.xmp"]}
    shown = call("status", "--library", "lib").stdout
    assert "2, 1 of them without a media file" in shown
    assert "lone.xmp" in shown


def test_people_get_a_summary_and_programs_nothing_but_json(call: Call, fill: Fill) -> None:
    fill("in", {"a.jpg": jpeg(1), "[red]bad[/red]\x1b.jpg": truncated_jpeg()})
    result = call("process", "in", "--library", "lib")
    assert "2 files listed, 0 unchanged; 1 materialized, 1 rejected" in result.stdout
    assert "[red]bad[/red]" in result.stdout
    assert "\x1b" not in result.stdout
    assert "truncated" in result.stdout
    fill("in", {"c.jpg": jpeg(3)})
    silent = call("process", "in", "--library", "lib", "--json")
    assert silent.stderr == ""
    assert report(silent)["exit_code"] == 0


def test_what_a_subset_left_out_is_filled_in_later(call: Call, fill: Fill, tmp_path: Path) -> None:
    fill("in", {"a.jpg": jpeg(1), "b.jpg": jpeg(2), "bad.jpg": truncated_jpeg()})
    assert report(call("process", "in", "--library", "lib", "--assets", "original", "--json"))["failures"] == []
    library = tmp_path / "lib"
    assert (len(rows(library, "files")), rows(library, "metadata"), rows(library, "renditions")) == (2, [], [])
    fill("in", {"c.jpg": jpeg(3)})
    filled = report(call("process", "in", "--library", "lib", "--assets", "thumbnails", "--json"))
    assert filled["states"] == {"materialized": 3}
    assert (len(rows(library, "files")), len(rows(library, "metadata"))) == (3, 0)
    assert len(rows(library, "renditions")) == 15
    files_before = rows(library, "files")
    everything = report(call("process", "in", "--library", "lib", "--json"))
    assert everything["states"] == {"materialized": 3}
    assert len(rows(library, "metadata")) == 3
    assert rows(library, "files") == files_before
    assert report(call("process", "in", "--library", "lib", "--json"))["states"] == {}


def test_a_new_version_replaces_the_rows(call: Call, fill: Fill, tmp_path: Path) -> None:
    fill("in", {"a.jpg": jpeg(1), "b.jpg": truncated_jpeg()})
    call("process", "in", "--library", "lib")
    fill("in", {"a.jpg": jpeg(1, size=(30, 20)), "b.jpg": jpeg(2)})
    assert report(call("process", "in", "--library", "lib", "--json"))["states"] == {"materialized": 2}
    assert [row["width_px"] for row in rows(tmp_path / "lib", "files")] == [30, 48]
    assert rows(tmp_path / "lib", "rejected") == []


def test_an_owner_for_all_files(call: Call, fill: Fill, tmp_path: Path) -> None:
    fill("in", {"x/a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    call("process", "in", "--library", "lib", "--owner", "eve")
    found = [(row["owner"], row["source_key"]) for row in rows(tmp_path / "lib", "files")]
    assert sorted(found) == [("eve", "eve/b.jpg"), ("eve", "eve/x/a.jpg")]
    assert report(call("process", "in", "--library", "lib", "--owner", "eve", "--json"))["states"] == {}


def test_a_single_file(call: Call, fill: Fill, tmp_path: Path) -> None:
    fill("in", {"a & b.jpg": jpeg(1), "c.jpg": jpeg(2)})
    assert report(call("process", "in/a & b.jpg", "--library", "lib", "--json"))["listed"] == 1
    assert [row["source_key"] for row in rows(tmp_path / "lib", "files")] == ["a & b.jpg"]
    whole = report(call("process", "in", "--library", "lib", "--json"))
    assert (whole["listed"], whole["new"], whole["states"]) == (2, 1, {"materialized": 1})


def test_the_same_names_in_two_folders_are_a_conflict_that_an_owner_resolves(
    call: Call, fill: Fill, tmp_path: Path
) -> None:
    fill("one", {"a.jpg": jpeg(1)})
    fill("two", {"a.jpg": jpeg(2), "b.jpg": jpeg(3)})
    call("process", "one", "--library", "lib")
    result = call("process", "two", "--library", "lib")
    assert result.exit_code == 2
    assert "for example a.jpg. Give these an owner of their own: --owner NAME." in result.stderr
    assert [row["source_key"] for row in rows(tmp_path / "lib", "files")] == ["a.jpg"]
    assert call("process", "two", "--library", "lib", "--owner", "two").exit_code == 0
    assert sorted(row["source_key"] for row in rows(tmp_path / "lib", "files")) == [
        "a.jpg",
        "two/a.jpg",
        "two/b.jpg",
    ]
    files = json.loads(call("status", "--library", "lib", "--json").stdout)["files"]
    assert files == {"accepted": 3}  # nothing of the refused call waits for ever


def test_the_same_files_in_another_folder_are_known(call: Call, fill: Fill, tmp_path: Path) -> None:
    folder = fill("one", {"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    call("process", "one", "--library", "lib")
    folder.rename(tmp_path / "moved")
    assert report(call("process", "moved", "--library", "lib", "--json"))["states"] == {}


def test_a_library_inside_the_folder_is_left_out(call: Call, fill: Fill, tmp_path: Path) -> None:
    fill("photos", {"a.jpg": jpeg(1)})
    for expected in ({"materialized": 1}, {}):
        result = report(call("process", "photos", "--library", "photos/lib", "--json"))
        assert (result["listed"], result["states"]) == (1, expected)
    for spelling in ("photos/../photos", "photos/"):
        assert report(call("process", spelling, "--library", "photos/lib", "--json"))["listed"] == 1


def test_the_inbox_of_the_library_can_be_processed(call: Call, fill: Fill) -> None:
    fill("lib/inbox", {"a.jpg": jpeg(1)})
    assert report(call("process", "lib/inbox", "--library", "lib", "--json"))["states"] == {"materialized": 1}


def test_an_empty_folder_is_fine(call: Call, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    result = call("process", "in", "--library", "lib")
    assert (result.exit_code, "0 files listed, 0 unchanged; nothing to do" in result.stdout) == (0, True)


@pytest.mark.usefixtures("_no_waiting")
def test_infrastructure_errors_end_with_status_1_and_the_next_call_completes(
    call: Call, fill: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill("in", {"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    sha256 = hashlib.sha256(jpeg(1)).hexdigest()
    put_file = LocalObjectStore.put_file

    def refuse(store: LocalObjectStore, key: str, *rest: Any, **options: Any) -> None:
        if sha256 in key:
            raise StoreUnreachable("The store does not answer. Check the network.")
        put_file(store, key, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(LocalObjectStore, "put_file", refuse)
        result = call("process", "in", "--library", "lib", "--json")
    assert result.exit_code == 1
    assert report(result)["states"] == {"failed": 1, "materialized": 1}
    assert "The store does not answer." in report(result)["failures"][0]
    status = json.loads(call("status", "--library", "lib", "--json").stdout)
    assert status["files"] == {"accepted": 1, "pending": 1}
    assert status["unfinished"][0]["attempt"] == 2
    again = call("process", "in", "--library", "lib", "--json")
    assert (again.exit_code, report(again)["states"]) == (0, {"materialized": 1})
    assert json.loads(call("status", "--library", "lib", "--json").stdout)["batches"] == {"done": 1}


def test_ctrl_c_says_how_to_go_on_and_the_next_call_does(
    call: Call, fill: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill("in", {f"{n}.jpg": jpeg(n) for n in range(3)})

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(HeadlessRunner, "run_batch", interrupt)
        result = call("process", "in", "--library", "lib")
    assert result.exit_code == 130
    assert "Run the same command again to continue." in result.stderr
    assert report(call("process", "in", "--library", "lib", "--json"))["states"] == {"materialized": 3}


def test_a_moved_folder_goes_on_where_it_was_interrupted(
    call: Call, fill: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill("in", {"a.jpg": jpeg(1)})
    with monkeypatch.context() as patch:
        patch.setattr(HeadlessRunner, "run_batch", lambda *_: "stopped")
        assert call("process", "in", "--library", "lib").exit_code == 1
    folder.rename(tmp_path / "moved")
    assert report(call("process", "moved", "--library", "lib", "--json"))["states"] == {"materialized": 1}


# ---------------------------------------------------------------- looking


def test_the_commands_that_look_agree_with_what_was_processed(call: Call, fill: Fill) -> None:
    fill("in", {"a.jpg": jpeg(1), "b.png": png(2), "bad.jpg": truncated_jpeg(), "empty.jpg": b""})
    call("process", "in", "--library", "lib")

    status = json.loads(call("status", "--library", "lib", "--json").stdout)
    assert status["files"] == {"accepted": 2, "rejected": 2}
    renditions = status["catalog_rows"].pop("renditions")
    filled = {table: count for table, count in status["catalog_rows"].items() if count}
    assert filled == {"files": 2, "metadata": 2, "appearance": 2, "rejected": 2, "skipped": 2}  # not to be shared
    assert renditions > 10  # thumbnails, and at least one web version of each
    assert (status["batches"], status["unfinished"], status["parts_not_in_catalog"]) == ({"done": 1}, [], 0)
    shown = call("status", "--library", "lib").stdout
    assert "2 accepted, 2 rejected" in shown

    listed = json.loads(call("rejected", "--library", "lib", "--json").stdout)
    assert {row["source_key"]: row["reason_code"] for row in listed} == {
        "bad.jpg": "truncated",
        "empty.jpg": "empty_file",
    }
    chosen = json.loads(call("rejected", "--library", "lib", "--reason", "truncated", "--json").stdout)
    assert [row["source_key"] for row in chosen] == ["bad.jpg"]
    assert json.loads(call("rejected", "--library", "lib", "--reason", "no_such", "--json").stdout) == []
    limited = call("rejected", "--library", "lib", "--limit", "1").stdout
    assert "... and 1 more (--limit)." in limited

    query = "select format, count(*) as n, max(computed_at) as at from files group by all order by 1"
    answer = json.loads(call("query", query, "--library", "lib", "--json").stdout)
    assert [(row["format"], row["n"]) for row in answer] == [("jpeg", 1), ("png", 1)]
    assert answer[0]["at"].endswith("+00:00")
    assert "jpeg" in call("query", query, "--library", "lib").stdout
    wrong = call("query", "select nonsense from files", "--library", "lib")
    assert wrong.exit_code == 1
    assert "nonsense" in wrong.stderr

    findings = json.loads(call("doctor", "--library", "lib", "--deep", "--json").stdout)
    assert {one["check"]: one["state"] for one in findings if one["state"] == "failed"} == {}
    expected = {"codecs", "isolation", "storage", "inbox", "ledger", "instance", "consistency"}
    assert {one["check"] for one in findings} >= expected
    assert next(one for one in findings if one["check"] == "codecs")["state"] == "ok"
    consistency = next(one for one in findings if one["check"] == "consistency")
    assert "10 materialized partitions" in consistency["message"]


def test_doctor_finds_what_is_marked_and_not_there(call: Call, fill: Fill, tmp_path: Path) -> None:
    fill("in", {"a.jpg": jpeg(1)})
    call("process", "in", "--library", "lib")
    (lost,) = (tmp_path / "lib" / "originals").rglob("*.jpg")
    lost.unlink()
    result = call("doctor", "--library", "lib", "--deep", "--json")
    assert result.exit_code == 1
    (finding,) = [one for one in json.loads(result.stdout) if one["state"] == "failed"]
    assert finding["check"] == "consistency"
    assert lost.name in finding["message"]
    assert call("doctor", "--library", "lib").exit_code == 0


def test_doctor_reports_decoders_that_do_not_work(call: Call, fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    fill("in", {"a.jpg": jpeg(1)})
    call("process", "in", "--library", "lib")
    monkeypatch.setenv("MEDIA_ASSETS_WORKER_MEMORY_BYTES", str(16 * 2**20))
    result = call("doctor", "--library", "lib", "--json")
    assert result.exit_code == 1
    (finding,) = [one for one in json.loads(result.stdout) if one["state"] == "failed"]
    assert (finding["check"], "worker_memory_bytes" in finding["message"]) == ("codecs", True)
