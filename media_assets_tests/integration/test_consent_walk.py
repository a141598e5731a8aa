"""Consents over the whole library, with the real models and the real command line: nothing without them, anywhere."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import duckdb
import pytest
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from media_assets_tests.integration.test_incremental import cli_environment, run_cli

pytestmark = pytest.mark.integration

Call: TypeAlias = Callable[..., str]

SECRET = "zanzibar quokka"  # what the text of the picture says; it occurs nowhere else
DERIVED = ("faces", "people", "texts", "embeddings", "objects", "scenes", "safety", "shareable")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("consent")


@pytest.fixture(scope="module")
def call(folder: Path) -> Call:
    def invoke(*arguments: str, expect: int = 0) -> str:
        env = cli_environment(folder / "home", MEDIA_ASSETS_ANALYZE="true", MEDIA_ASSETS_WORKERS="2")
        done = run_cli(*arguments, "--library", folder / "library", env=env, timeout_s=600.0)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout

    return invoke


@pytest.fixture(scope="module")
def pictures(folder: Path) -> Path:
    """Two pictures each of two owners: a face, and a line of text."""
    inbox = folder / "in"
    for owner in ("alice", "bob"):
        (inbox / owner).mkdir(parents=True)
        # Different bytes, so that nothing is shared.
        Image.fromarray(data.astronaut()).save(inbox / owner / "face.jpg", quality=90 + (owner == "bob"))
        page = Image.new("RGB", (1000, 300), "white" if owner == "alice" else "ivory")
        draw = ImageDraw.Draw(page)
        draw.text((40, 40), SECRET if owner == "alice" else "hello", fill="black", font=ImageFont.load_default(72))
        draw.text((40, 160), "jane.doe@example.org", fill="black", font=ImageFont.load_default(60))
        page.save(inbox / owner / "page.png")
    return inbox


def rows(folder: Path, table: str) -> dict[str, int]:
    """Rows by owner in every Parquet file of a table, current and superseded, read by DuckDB."""
    files = [str(one) for one in (folder / "library").rglob("*.parquet")]
    files = [one for one in files if f"/{table}/" in one and not one.endswith(".removed.parquet")]
    if not files:
        return {}
    sql = "SELECT owner, count(*) FROM read_parquet(?, union_by_name = true, hive_partitioning = false) GROUP BY 1"
    return dict(duckdb.execute(sql, [files]).fetchall())


def vectors(folder: Path) -> dict[str, int]:
    files = [str(one) for one in (folder / "library").rglob("*.parquet") if "/faces/" in str(one)]
    files = [one for one in files if not one.endswith(".removed.parquet")]
    source = "read_parquet(?, union_by_name = true, hive_partitioning = false)"
    return dict(duckdb.execute(f"SELECT owner, count(embedding) FROM {source} GROUP BY 1", [files]).fetchall())


def events(folder: Path, asset: str) -> set[str]:
    """Partitions of an asset that any database of Dagster has an event of, the logs of single runs included."""
    found: set[str] = set()
    for path in (folder / "library" / ".dagster").rglob("*.db"):
        with closing(sqlite3.connect(path)) as database:
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "event_logs" in tables:
                query = "SELECT DISTINCT partition FROM event_logs WHERE asset_key = ? AND partition IS NOT NULL"
                found |= {row[0] for row in database.execute(query, [json.dumps([asset])])}
    return found


def files_with(folder: Path, text: str) -> list[str]:
    """Files of the library, of Dagster and of scratch folders in which a text stands."""
    needle = text.encode()
    files = [one for one in (folder / "library").rglob("*") if one.is_file()]
    return [str(one.relative_to(folder)) for one in files if needle in one.read_bytes()]


@pytest.fixture(scope="module")
def full(folder: Path, pictures: Path, call: Call) -> Iterator[Path]:
    """Everything is allowed and computed: the control without which finding nothing would prove nothing."""
    call("process", str(pictures))
    # Without a word, nobody is recognised and nothing leaves.
    assert set(rows(folder, "people")) == set(rows(folder, "shareable")) == set()
    assert set(vectors(folder).values()) == {0}
    for owner in ("alice", "bob"):
        call("consent", "grant", owner, "all", "--by", "clerk")
    call("process", str(pictures))
    for table in DERIVED:
        assert set(rows(folder, table)) == {"alice", "bob"}, table
    assert min(vectors(folder).values()) > 0
    assert [
        row for row in json.loads(call("query", "--json", "SELECT text FROM texts")) if "quokka" in row["text"].lower()
    ]
    assert {
        len([one for one in events(folder, table) if one.startswith(("face", "page"))]) for table in ("faces", "texts")
    } == {4}
    copies = sorted((folder / "library" / "shareable").rglob("*.jpg"))
    assert len(copies) == 4
    yield folder


def test_a_withdrawn_consent_leaves_nothing_anywhere(full: Path, call: Call) -> None:
    call("consent", "revoke", "alice", "all", "--by", "clerk")
    assert "left:" in call("consent", "verify", expect=1)
    call("consent", "apply")
    assert "Nothing is left" in call("consent", "verify")
    for table in DERIVED:
        assert set(rows(full, table)) == {"bob"}, table
    assert set(vectors(full)) == {"bob"}
    for asset in ("faces", "texts", "embeddings", "objects", "scenes", "safety", "shareable"):
        assert len(events(full, asset)) == 2, asset
    assert len(list((full / "library" / "shareable").rglob("*.jpg"))) == 2
    assert not [name for name in files_with(full, "quokka") if not name.startswith("library/inbox")]
    # What is left of alice is what the owner keeps: originals, renditions, and the reasons.
    assert set(rows(full, "files")) == {"alice", "bob"}
    reasons = json.loads(call("query", "--json", "SELECT DISTINCT asset, reason FROM skipped WHERE owner = 'alice'"))
    assert {row["asset"] for row in reasons} >= {"faces", "texts", "embeddings", "shareable"}


def test_nothing_comes_back_by_itself_and_everything_by_consent(full: Path, pictures: Path, call: Call) -> None:
    call("process", str(pictures))
    assert "Nothing is left" in call("consent", "verify")
    assert set(rows(full, "faces")) == {"bob"}
    call("consent", "grant", "alice", "text", "--by", "clerk")
    call("process", str(pictures))
    assert set(rows(full, "texts")) == {"alice", "bob"}
    assert set(rows(full, "faces")) == {"bob"}
    assert "Nothing is left" in call("consent", "verify")
