"""The user's own mistakes and odd files, through the real command line: a message or a reject, never a traceback.

Issue 2, "Bad input". The full disk has a module of its own (``test_full_disk``).
"""

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from media_assets.media.errors import ReasonCode
from media_assets.pipeline.library import Library
from media_assets.service import free_port
from media_assets.settings import Settings
from media_assets.storage import catalog
from media_assets_tests.bench.bookkeeping import write_pictures
from media_assets_tests.integration.test_incremental import cli_environment, process_json, run_cli

pytestmark = pytest.mark.integration

_SMALL = (160, 120)
_SECRET = b"these bytes lie outside of the inbox and must not be copied anywhere"


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return cli_environment(tmp_path_factory.mktemp("home"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "photos", 2, _SMALL)
    return tmp_path / "photos"


@pytest.fixture(scope="module")
def without_rights() -> list[str]:
    """Start of a command line that obeys permissions: root does so only without two of its capabilities."""
    if os.geteuid() != 0:
        return []
    tool = shutil.which("setpriv")
    if tool is None:
        pytest.skip("root ignores permissions, and setpriv (util-linux), which takes that away, is not installed")
    dropped = "-dac_override,-dac_read_search"
    prefix = [tool, f"--bounding-set={dropped}", f"--inh-caps={dropped}"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("root ignores permissions, and setpriv is not allowed to take that away here")
    return prefix


def said(done: "subprocess.CompletedProcess[str]", status: int) -> str:
    """The error message of a command, on one line, after its exit status was compared."""
    assert done.returncode == status, done.stdout + done.stderr
    assert done.stdout == ""  # nothing that a program could take for a result
    return " ".join(done.stderr.split())


def rows(library: str | Path, table: str) -> dict[str, dict[str, Any]]:
    """Current rows of a table by source key."""
    opened = Library(Settings.load(library=str(library)))
    try:
        return {row["source_key"]: row for row in catalog.read_current(opened.store, table).to_pylist()}
    finally:
        opened.close()


# ---------------------------------------------------------------- the folder and the call


def test_missing_folder(tmp_path: Path, env: dict[str, str]) -> None:
    library = tmp_path / "library"
    message = said(run_cli("process", tmp_path / "nowhere", "--library", library, env=env), 2)
    assert f"{tmp_path / 'nowhere'} does not exist. Check the path." in message
    assert not library.exists()  # a mistyped path leaves nothing behind


def test_unreadable_folder(tmp_path: Path, photos: Path, env: dict[str, str], without_rights: list[str]) -> None:
    photos.chmod(0)
    try:
        done = run_cli("process", photos, "--library", tmp_path / "library", env=env, prefix=without_rights)
    finally:
        photos.chmod(0o755)
    assert f"{photos} cannot be read. Fix its permissions (chmod, chown)." in said(done, 2)


def test_unreadable_parts_of_a_folder(
    tmp_path: Path, photos: Path, env: dict[str, str], without_rights: list[str]
) -> None:
    library, locked, private = tmp_path / "library", photos / "locked", photos / "IMG_0001.jpg"
    write_pictures(locked, 1, _SMALL)
    command = ("process", photos, "--library", library, "--json")
    locked.chmod(0)
    private.chmod(0)
    try:
        report = process_json(run_cli(*command, env=env, prefix=without_rights))
    finally:
        locked.chmod(0o755)
        private.chmod(0o644)
    assert report["states"] == {"materialized": 1, "rejected": 2}
    assert {row["source_key"]: row["reason_code"] for row in report["rejected"]} == {
        "locked": "not_a_file",
        "IMG_0001.jpg": "not_a_file",
    }
    assert all("fix its permissions" in row["message"] for row in report["rejected"])

    # With the permissions mended, the same call brings what was missing.
    assert process_json(run_cli(*command, env=env))["states"] == {"materialized": 2}
    assert sorted(rows(library, "files")) == ["IMG_0000.jpg", "IMG_0001.jpg", "locked/IMG_0000.jpg"]


def test_library_that_does_not_exist_is_not_made_by_looking(tmp_path: Path, env: dict[str, str]) -> None:
    library = tmp_path / "library"
    for command in (("status",), ("rejected",), ("query", "from files"), ("doctor",)):
        message = said(run_cli(*command, "--library", library, env=env), 2)
        assert "There is no library at" in message
        assert "media-assets process PATH --library DIR" in message
    assert not library.exists()


def test_wrong_query(tmp_path: Path, photos: Path, env: dict[str, str]) -> None:
    library = tmp_path / "library"
    process_json(run_cli("process", photos, "--library", library, "--json", env=env))
    message = said(run_cli("query", "select colour from files", "--library", library, env=env), 1)
    assert "colour" in message


# ---------------------------------------------------------------- read-only library


def _set_writable(folder: Path, writable: bool) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | stat.S_IWUSR if writable else mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))


def test_library_that_cannot_be_made(
    tmp_path: Path, photos: Path, env: dict[str, str], without_rights: list[str]
) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    shelf.chmod(0o555)
    done = run_cli("process", photos, "--library", shelf / "library", env=env, prefix=without_rights)
    message = said(done, 1)
    assert str(shelf) in message
    assert "permissions" in message
    assert list(shelf.iterdir()) == []


@pytest.fixture
def read_only_library(tmp_path: Path, photos: Path, env: dict[str, str]) -> Iterator[Path]:
    library = tmp_path / "library"
    process_json(run_cli("process", photos, "--library", library, "--json", env=env))
    _set_writable(library, False)
    try:
        yield library
    finally:
        _set_writable(library, True)


def test_read_only_library(
    read_only_library: Path, photos: Path, env: dict[str, str], without_rights: list[str]
) -> None:
    shutil.copyfile(write_pictures(photos.parent / "more", 3, _SMALL)[2], photos / "third.jpg")
    done = run_cli("process", photos, "--library", read_only_library, env=env, prefix=without_rights)
    assert done.returncode in (1, 2), done.stdout + done.stderr
    message = " ".join(done.stderr.split())
    assert str(read_only_library) in message or "state folder" in message
    assert any(word in message for word in ("Check the path and the rights", "Fix its permissions", "writable"))

    for command in (("status",), ("rejected",), ("doctor",)):
        looked = run_cli(*command, "--library", read_only_library, env=env, prefix=without_rights)
        text = " ".join((looked.stdout + looked.stderr).split())
        if looked.returncode != 0:
            assert looked.returncode in (1, 2), text
            assert re.search("permissions|rights|writable", text), text

    _set_writable(read_only_library, True)
    report = process_json(run_cli("process", photos, "--library", read_only_library, "--json", env=env))
    assert report["states"] == {"materialized": 1}
    assert len(rows(read_only_library, "files")) == 3


# ---------------------------------------------------------------- object store


@dataclass(frozen=True)
class S3Mistake:
    """One wrong value of the configuration and what the message must name."""

    variable: str
    value: str
    expected: tuple[str, ...]


_MISTAKES = {
    "secret": S3Mistake("AWS_SECRET_ACCESS_KEY", "wrong", ("refused access", "the secret key")),
    "access-key": S3Mistake("AWS_ACCESS_KEY_ID", "wrong", ("refused access", "Check the access key")),
    "endpoint": S3Mistake("AWS_ENDPOINT_URL", "", ("does not answer", "Check the endpoint")),
    "bucket": S3Mistake("", "", ("does not exist", "Create it")),
}


@pytest.mark.parametrize("inbox_is_remote", [False, True], ids=["library", "inbox-and-library"])
@pytest.mark.parametrize("mistake", _MISTAKES)
def test_wrong_object_store(
    mistake: str,
    inbox_is_remote: bool,
    s3_server: dict[str, str],
    s3_bucket: str,
    tmp_path: Path,
    photos: Path,
    env: dict[str, str],
) -> None:
    wrong = _MISTAKES[mistake]
    configured = env | {
        "AWS_ENDPOINT_URL": s3_server["endpoint"],
        "AWS_ACCESS_KEY_ID": s3_server["access"],
        "AWS_SECRET_ACCESS_KEY": s3_server["secret"],
        "MEDIA_ASSETS_STATE": str(tmp_path / "state"),
    }
    if wrong.variable:
        configured[wrong.variable] = wrong.value or f"http://127.0.0.1:{free_port()}"
    bucket = "no-such-bucket" if mistake == "bucket" else s3_bucket
    source = f"s3://{bucket}/upload" if inbox_is_remote else photos
    done = run_cli("process", source, "--library", f"s3://{bucket}/library", env=configured)
    assert done.returncode in (1, 2), done.stdout + done.stderr
    message = " ".join((done.stdout + done.stderr).split())
    for part in (*wrong.expected, bucket):
        assert part in message
    assert s3_server["secret"] not in message

    if not inbox_is_remote:
        # Nothing is lost: with the mistake mended, the same call completes.
        mended = configured | {"AWS_SECRET_ACCESS_KEY": s3_server["secret"], "AWS_ACCESS_KEY_ID": s3_server["access"]}
        mended |= {"AWS_ENDPOINT_URL": s3_server["endpoint"]}
        library = f"s3://{s3_bucket}/library"
        if mistake == "bucket":
            mended |= {"MEDIA_ASSETS_STATE": str(tmp_path / "other-state")}
        report = process_json(run_cli("process", photos, "--library", library, "--json", env=mended))
        assert report["states"] == {"materialized": 2}


def test_no_credentials(s3_server: dict[str, str], s3_bucket: str, tmp_path: Path, env: dict[str, str]) -> None:
    configured = env | {
        "AWS_ENDPOINT_URL": s3_server["endpoint"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "MEDIA_ASSETS_STATE": str(tmp_path / "state"),
    }
    done = run_cli("process", f"s3://{s3_bucket}/upload", "--library", tmp_path / "library", env=configured)
    assert "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in said(done, 1)


# ---------------------------------------------------------------- odd files


@dataclass(frozen=True)
class OddFolder:
    """A folder with one of everything, processed once."""

    report: dict[str, Any]
    library: Path
    outside: Path


def _write_odd_files(inbox: Path, outside: Path) -> None:
    picture = write_pictures(inbox, 2, _SMALL)[0].read_bytes()
    raw = os.fsencode(inbox)
    Path(os.fsdecode(raw + b"/caf\xe9.jpg")).write_bytes(picture + b"latin-1")
    (inbox / "zero.jpg").touch()
    (inbox / "empty-folder.jpg").mkdir()
    write_pictures(inbox / "album.jpg", 1, _SMALL)  # a folder with the name of a picture, and a picture in it
    (inbox / "loop-a.jpg").symlink_to("loop-b.jpg")
    (inbox / "loop-b.jpg").symlink_to("loop-a.jpg")
    (inbox / "around").symlink_to(inbox)
    (inbox / "broken.jpg").symlink_to("nothing-there.jpg")
    outside.write_bytes(picture + _SECRET)
    (inbox / "out.jpg").symlink_to(outside)
    (inbox / "out-folder").symlink_to(outside.parent)
    os.mkfifo(inbox / "a.jpg")
    (inbox / ("x" * 251 + ".jpg")).write_bytes(picture + b"longest name")
    (inbox / ("\N{CJK UNIFIED IDEOGRAPH-9577}" * 83 + ".jpg")).write_bytes(picture + b"249 bytes of UTF-8")
    (inbox / "line\nbreak \x1b[31m.jpg").write_bytes(picture + b"control characters")
    (inbox / "cut.jpg").write_bytes(picture[: len(picture) // 2])
    (inbox / "notes.jpg").write_text("no picture")
    # Deeper than a path may be long: reached folder by folder.
    here = os.open(inbox, os.O_RDONLY)
    for _ in range(22):
        os.mkdir("d" * 200, dir_fd=here)
        deeper = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, env: dict[str, str]) -> OddFolder:
    folder = tmp_path_factory.mktemp("odd")
    inbox, library, outside = folder / "inbox", folder / "library", folder / "private" / "diary.jpg"
    outside.parent.mkdir()
    _write_odd_files(inbox, outside)
    # A hang on the FIFO would end here, by the time-out.
    done = run_cli("process", inbox, "--library", library, "--json", env=env, timeout_s=150)
    return OddFolder(process_json(done), library, outside)


_ODD_REJECTS = {
    r"caf\xe9.jpg": (ReasonCode.NAME_NOT_UTF8, "Rename the file."),
    "zero.jpg": (ReasonCode.EMPTY_FILE, "Upload it again."),
    "empty-folder.jpg": (ReasonCode.NOT_A_FILE, "Remove it and upload the file."),
    "loop-a.jpg": (ReasonCode.SYMLINK_LOOP, "Remove it."),
    "loop-b.jpg": (ReasonCode.SYMLINK_LOOP, "Remove it."),
    "around": (ReasonCode.SYMLINK_TO_FOLDER, "Put the folder itself here."),
    "broken.jpg": (ReasonCode.SYMLINK_BROKEN, "Put the file itself here."),
    "out.jpg": (ReasonCode.SYMLINK_OUTSIDE_INBOX, "Put the file itself here."),
    "out-folder": (ReasonCode.SYMLINK_OUTSIDE_INBOX, "Put the file itself here."),
    "a.jpg": (ReasonCode.NOT_A_FILE, "Remove it."),
    "cut.jpg": (ReasonCode.TRUNCATED, ""),
    "notes.jpg": (ReasonCode.UNSUPPORTED_TYPE, ""),
}


@pytest.mark.parametrize("name", _ODD_REJECTS)
def test_odd_file_is_rejected_with_its_reason(odd: OddFolder, name: str) -> None:
    reason, action = _ODD_REJECTS[name]
    row = rows(odd.library, "rejected")[name]
    assert row["reason_code"] == reason
    assert row["message"].endswith(action or ".")


def test_path_that_is_too_long_is_rejected(odd: OddFolder) -> None:
    found = [row for row in rows(odd.library, "rejected").values() if row["reason_code"] == ReasonCode.NAME_TOO_LONG]
    assert len(found) == 1
    assert found[0]["source_key"].startswith("d" * 200 + "/")
    assert found[0]["message"].endswith("Shorten the names of its folders.")


def test_all_other_files_of_the_folder_are_processed(odd: OddFolder) -> None:
    accepted = {
        "IMG_0000.jpg",
        "IMG_0001.jpg",
        "album.jpg/IMG_0000.jpg",
        "x" * 251 + ".jpg",
        "\N{CJK UNIFIED IDEOGRAPH-9577}" * 83 + ".jpg",
        "line\nbreak \x1b[31m.jpg",
    }
    assert set(rows(odd.library, "files")) == accepted
    rejected = len(_ODD_REJECTS) + 1
    assert odd.report["states"] == {"materialized": len(accepted), "rejected": rejected}
    assert len(rows(odd.library, "rejected")) == rejected  # nothing vanished, nothing is there twice


def test_bytes_outside_of_the_inbox_are_nowhere_in_the_library(odd: OddFolder) -> None:
    stored = [path for path in odd.library.rglob("*") if path.is_file()]
    assert any(path.parts[-4] == "originals" or "originals" in path.parts for path in stored)
    assert [str(path) for path in stored if _SECRET in path.read_bytes()] == []
    assert odd.outside.read_bytes().endswith(_SECRET)


def test_table_for_people_shows_no_control_characters(odd: OddFolder, env: dict[str, str]) -> None:
    shown = run_cli("query", "select source_key from files", "--library", odd.library, env=env)
    assert shown.returncode == 0
    assert "\x1b[31m.jpg" not in shown.stdout
    assert "[31m.jpg" in shown.stdout
    listed = run_cli("rejected", "--library", odd.library, env=env)
    assert listed.returncode == 0
    assert r"caf\xe9.jpg" in listed.stdout


def test_odd_files_are_not_tried_again(odd: OddFolder, env: dict[str, str]) -> None:
    inbox = odd.library.parent / "inbox"
    again = process_json(run_cli("process", inbox, "--library", odd.library, "--json", env=env))
    assert (again["new"], again["states"]) == (0, {})


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.touch(), "empty_file"),
        (lambda path: path.symlink_to("/etc/hostname"), "symlink_outside_inbox"),
    ],
    ids=["empty", "link-out"],
)
def test_odd_file_as_the_path_itself(tmp_path: Path, env: dict[str, str], make: Any, reason: str) -> None:
    path = tmp_path / "one" / "a.jpg"
    path.parent.mkdir()
    make(path)
    done = run_cli("process", path, "--library", tmp_path / "library", "--json", env=env, timeout_s=60)
    report = process_json(done)
    assert [row["reason_code"] for row in report["rejected"]] == [reason]
    assert report["states"] == {"rejected": 1}


def test_pipe_as_the_path_itself(tmp_path: Path, env: dict[str, str]) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    done = run_cli("process", tmp_path / "a.jpg", "--library", tmp_path / "library", env=env, timeout_s=60)
    assert "Name a file or a folder." in said(done, 2)
    assert not (tmp_path / "library").exists()
