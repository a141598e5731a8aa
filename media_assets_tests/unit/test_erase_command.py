"""``erase`` on the command line: a library is processed, an owner is erased, and everything is walked afterwards."""

import io
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from media_assets.cli import main
from media_assets.pipeline.erasure.plan import Target, make_plan
from media_assets.pipeline.library import Library
from media_assets.settings import Settings
from media_assets.storage import keys
from media_assets.storage.erasure_records import write_plan
from media_assets.storage.traces import Needles, pieces_of

Call: TypeAlias = Callable[..., Result]

pytestmark = pytest.mark.usefixtures("_shared_decoder", "_one_worker")


def jpeg(seed: int) -> bytes:
    """A picture with so much detail that its bytes are like no others."""
    buffer = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 255, (60, 80, 3), np.uint8)
    Image.fromarray(noise).resize((320, 240)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


SECRETIVE = "secretive-name"
FILES = {
    f"alice/{SECRETIVE}.jpg": jpeg(1),
    "alice/shared.jpg": jpeg(2),
    "bob/shared-too.jpg": jpeg(2),
    "bob/own.jpg": jpeg(3),
    "alice/broken.jpg": b"\xff\xd8\xff\xe0 this is no picture at all " + bytes(range(256)),
}


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


@pytest.fixture
def library(call: Call, tmp_path: Path) -> Path:
    """A library that has processed all files."""
    for name, content in FILES.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    process(call, tmp_path)
    return tmp_path / "library"


def process(call: Call, tmp_path: Path) -> Any:
    return value(call("process", str(tmp_path / "photos"), "--library", str(tmp_path / "library"), "--json"))


def value(result: Result, exit_code: int = 0) -> Any:
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


def everything(library: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a library, state and databases included, with its content; Parquet as text."""
    for path in sorted(library.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".parquet":
                content += json.dumps(pq.ParquetFile(path).read().to_pylist(), default=str).encode()
            if path.suffix == ".db":
                with closing(sqlite3.connect(path)) as connection:
                    content += "\n".join(connection.iterdump()).encode()
            yield str(path.relative_to(library)), content


def found_in(library: Path, *needles: bytes) -> dict[str, set[bytes]]:
    searched = Needles(needles)
    hits = {name: searched.find(content) | searched.find(name.encode()) for name, content in everything(library)}
    return {name: found for name, found in hits.items() if found}


def telling(owner: str) -> list[bytes]:
    names = [name for name in FILES if name.startswith(f"{owner}/")]
    return [*(name.encode() for name in names), *(keys.media_id(name).encode() for name in names)]


def test_nothing_is_left_of_an_owner(call: Call, library: Path, tmp_path: Path) -> None:
    alice, bob = telling("alice"), telling("bob")
    pieces = pieces_of(FILES[f"alice/{SECRETIVE}.jpg"])
    assert pieces
    before = found_in(library, *alice, *pieces)
    # What the walk would find if it were there: objects, parts, catalog, ledger, and three databases of Dagster.
    parts = ("originals/alice/", "quarantine/", "tables/files/", "catalog/files/", "ledger.db", "index.db", "runs.db")
    for part in parts:
        assert [name for name in before if part in name], part
    assert {one for hits in before.values() for one in hits} >= {*alice, *pieces}

    done = value(call("erase", "--owner", "alice", "--yes", "--json", "--library", str(library)))["certificates"]
    assert len(done) == 1
    assert found_in(library, *alice, *pieces, SECRETIVE.encode()) == {}
    assert not (library / "originals" / "alice").exists() or not list((library / "originals" / "alice").rglob("*.jpg"))
    kept = found_in(library, *bob)
    assert {one for hits in kept.values() for one in hits} == set(bob)
    erased, left = done[0]["erased"], done[0]["kept"]
    assert erased["media_files"] == 3
    assert erased["originals"] == 2
    assert erased["quarantine"] == 1
    assert erased["dagster_events"] > 0
    assert erased["rows_files"] >= 2
    assert left == {
        "renditions_of_others": 1,
        "objects_of_others_with_the_same_bytes": 1,  # the picture that bob has too
        "uploads_left_in_inbox": 3,
    }
    assert done[0]["searched"]["pieces"] > 0
    assert SECRETIVE not in json.dumps(done)

    # Bob's pictures are whole, and what still lies in the inbox does not come back.
    process(call, tmp_path)
    assert found_in(library, *alice) == {}
    files = value(call("query", "SELECT owner, source_key FROM files ORDER BY 2", "--json", "--library", str(library)))
    assert [row["source_key"] for row in files] == ["bob/own.jpg", "bob/shared-too.jpg"]
    shared = FILES["bob/shared-too.jpg"]
    assert [path for path in (library / "originals" / "bob").rglob("*.jpg") if path.read_bytes() == shared]
    assert value(call("erase", "--certificates", "--json", "--library", str(library)))["certificates"] == done


def test_one_file_goes_and_its_twin_takes_its_place(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "photos" / "ann"
    folder.mkdir(parents=True)
    (folder / "first-of-two.jpg").write_bytes(FILES["bob/own.jpg"])
    process(call, tmp_path)
    (folder / "second.jpg").write_bytes(FILES["bob/own.jpg"])
    process(call, tmp_path)
    library = tmp_path / "library"
    first, second = keys.media_id("ann/first-of-two.jpg"), keys.media_id("ann/second.jpg")
    assert found_in(library, first.encode())
    at = ("--library", str(library), "--json")
    dry = value(call("erase", "--media", "ann/first-of-two.jpg", "--dry-run", *at))["erasures"]
    assert [(one["files"], one["originals"], one["originals_that_others_keep"]) for one in dry] == [(1, 0, 1)]
    assert found_in(library, first.encode())
    (done,) = value(call("erase", "--media", first, "--also-inbox", "--yes", *at))["certificates"]
    assert done["kept"] == {"originals_of_others": 1, "renditions_of_others": 1}
    assert done["erased"]["inbox_uploads"] == 1
    assert found_in(library, first.encode(), b"first-of-two") == {}
    assert [path.name for path in folder.iterdir()] == ["second.jpg"]
    rows = value(call("query", "SELECT media_id, duplicate_of FROM files", *at))
    assert rows == [{"media_id": second, "duplicate_of": None}]
    # The same picture may be uploaded again: nothing of it is refused.
    (folder / "first-of-two.jpg").write_bytes(FILES["bob/own.jpg"])
    process(call, tmp_path)
    assert found_in(library, first.encode())


def test_what_was_interrupted_is_named_and_completed(call: Call, library: Path) -> None:
    opened = Library(Settings.load(library=str(library)))
    plan = make_plan(opened, Target(owner="alice"))
    write_plan(opened.store, plan)
    opened.close()
    at = ("--library", str(library))
    assert "1 erasures were begun" in call("doctor", *at).stdout
    # The same call completes it, and begins no other one; so does --resume.
    (done,) = value(call("erase", "--owner", "alice", "--yes", "--json", *at))["certificates"]
    assert done["erasure_id"] == plan.erasure_id
    assert "erasures were begun" not in call("doctor", *at).stdout
    assert found_in(library, *telling("alice")) == {}
    lifted = call("erase", "--lift", plan.erasure_id, *at)
    assert lifted.stdout.strip() == "3 uploads may come in again."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Say what: --owner"),
        (("--owner", "a", "--resume"), "Say what: --owner"),
        (("--owner", "alice", "--library", "nowhere"), "There is no library at"),
    ],
)
def test_wrong_usage_is_named(call: Call, arguments: tuple[str, ...], message: str) -> None:
    result = call("erase", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_what_is_not_there_is_named_and_nothing_is_asked_twice(call: Call, library: Path) -> None:
    at = ("--library", str(library))
    for target in (("--owner", "carol"), ("--media", "carol/x.jpg"), ("--person", "p-000000000000")):
        result = call("erase", *target, "--yes", *at)
        assert result.exit_code == 2, target
    refused = call("erase", "--owner", "alice", *at)  # nobody answers
    assert refused.exit_code == 1
    assert "Erase this for good?" in refused.stderr
    assert found_in(library, *telling("alice"))
    assert call("erase", "--resume", *at).stdout.strip() == "There is nothing to complete."
