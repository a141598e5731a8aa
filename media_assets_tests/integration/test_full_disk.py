"""A full disk: a message that names the folder, nothing half-written, and nothing lost once there is room again.

The library is a file system of a few megabytes, so that it really fills up, with what Dagster and the ledger write.
"""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from media_assets.pipeline.library import Library
from media_assets.settings import Settings
from media_assets.storage import catalog
from media_assets.storage.schemas import TABLES
from media_assets_tests.bench.bookkeeping import write_pictures
from media_assets_tests.integration.test_incremental import cli_environment, process_json, run_cli

pytestmark = [pytest.mark.integration, pytest.mark.root, pytest.mark.timeout(500)]

FILES = 40
# About 0.25 MB each in the library, originals and renditions together: 10 MB do not fit into either size.
SIZE = (1000, 750)
_ROOMY = "256m"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted tmpfs of 6 MB, which the test may enlarge."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a tiny file system; run this test as root")
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("mount and umount (util-linux) are not installed")
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"a tiny file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run([umount, "--lazy", folder], check=True)


def enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", f"remount,size={_ROOMY}", disk], check=True)


def assert_nothing_half_written(library: Path) -> int:
    """Every Parquet file can be read to its end, and nothing temporary is left; returns how many there are."""
    found = [path for folder in ("tables", "catalog") for path in (library / folder).rglob("*") if path.is_file()]
    parquet = [path for path in found if path.suffix == ".parquet"]
    for path in parquet:
        pq.read_table(path)
    assert {path.name for path in found if path.suffix != ".parquet"} <= {"CURRENT.json"}
    for path in library.rglob("*.jpg"):
        if ".spool" not in path.parts and "inbox" not in path.parts:
            assert path.read_bytes().endswith(b"\xff\xd9"), path  # end of image: not cut off
    return len(parquet)


def assert_complete(library: Path) -> None:
    opened = Library(Settings.load(library=str(library)))
    try:
        files = catalog.read_current(opened.store, "files").to_pylist()
        assert sorted(row["source_key"] for row in files) == [f"IMG_{number:04d}.jpg" for number in range(FILES)]
        assert [name for name in TABLES if catalog.check_unique(opened.store, name)] == []
        assert {path for row in files if not opened.store.exists(path := row["original_path"])} == set()
        renditions = catalog.read_current(opened.store, "renditions", ["path"]).to_pylist()
        assert {path for row in renditions if not opened.store.exists(path := row["path"])} == set()
        assert catalog.row_count(opened.store, "rejected") == 0  # a full disk is nobody's bad picture
    finally:
        opened.close()


@pytest.mark.parametrize("state", ["on-the-full-disk", "elsewhere"])
def test_disk_fills_up_and_is_enlarged(small_disk: Path, tmp_path: Path, state: str) -> None:
    photos, library = tmp_path / "photos", small_disk / "library"
    write_pictures(photos, FILES, SIZE)
    env = cli_environment(tmp_path / "home", MEDIA_ASSETS_FLUSH_FILES="8")
    if state == "elsewhere":
        env["MEDIA_ASSETS_STATE"] = str(tmp_path / "state")
    command = ("process", photos, "--library", library)

    done = run_cli(*command, env=env)
    assert done.returncode == 1, done.stdout + done.stderr
    text = " ".join((done.stdout + done.stderr).split())
    assert re.search(r"[Ff]ree (some )?space", text), text  # the next action
    assert str(small_disk) in text, text
    assert_nothing_half_written(library)

    again = run_cli(*command, env=env)  # still full: the same message, nothing worse
    assert again.returncode == 1, again.stdout + again.stderr
    assert re.search(r"[Ff]ree (some )?space", " ".join((again.stdout + again.stderr).split()))
    assert_nothing_half_written(library)

    enlarge(small_disk)
    report = process_json(run_cli(*command, "--json", env=env))
    assert report["failures"] == []
    assert assert_nothing_half_written(library) > 0
    assert_complete(library)
    assert process_json(run_cli(*command, "--json", env=env))["states"] == {}
    doctor = run_cli("doctor", "--deep", "--library", library, env=env)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr


@pytest.mark.parametrize("free_bytes", [0, 65536, 786432])
def test_no_room_at_all(small_disk: Path, tmp_path: Path, free_bytes: int) -> None:
    photos, library = tmp_path / "photos", small_disk / "library"
    write_pictures(photos, 2, (320, 240))
    env = cli_environment(tmp_path / "home")
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    os.truncate(ballast, ballast.stat().st_size - free_bytes)

    done = run_cli("process", photos, "--library", library, env=env)
    assert done.returncode in (1, 2), done.stdout + done.stderr
    text = " ".join((done.stdout + done.stderr).split())
    assert str(small_disk) in text, text
    assert re.search(r"[Ff]ree (some )?space|space left", text), text

    ballast.unlink()
    enlarge(small_disk)
    report = process_json(run_cli("process", photos, "--library", library, "--json", env=env))
    assert report["states"] == {"materialized": 2}
