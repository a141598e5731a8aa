import os
import time
from datetime import UTC
from pathlib import Path

import pyarrow as pa
import pytest

from media_assets.storage import query, schemas
from media_assets.storage.catalog import compact, current_files
from media_assets.storage.errors import CatalogError
from media_assets.storage.objects import ObjectStore, open_store
from media_assets.storage.query import run_query
from media_assets.storage.schemas import TABLES
from media_assets.storage.tables import PartWriter
from media_assets_tests.unit.storage.table_rows import EPOCH, renditions, row


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path / "it's a library") if request.param == "local" else "memory://")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def fill(store: ObjectStore, month: str, media_id: str, **values: object) -> None:
    writer = PartWriter(store, "run-1")
    writer.append("files", month, [row("files", media_id, **values)])
    writer.append("renditions", month, renditions(media_id, ["preview", "thumb_150"], 0))
    compact(store)


def test_views_show_the_current_rows_of_all_months(store: ObjectStore, cache: Path) -> None:
    fill(store, "2024-05", "a-1", size_bytes=10)
    fill(store, "2024-06", "b-1", size_bytes=32)
    got = run_query(
        store,
        "SELECT media_id, files.size_bytes, count(*) AS n FROM files JOIN renditions USING (media_id) "
        "GROUP BY ALL ORDER BY 1",
        cache,
    )
    assert got.to_pylist() == [
        {"media_id": "a-1", "size_bytes": 10, "n": 2},
        {"media_id": "b-1", "size_bytes": 32, "n": 2},
    ]


def as_duckdb_gives_it(kind: pa.DataType) -> pa.DataType:
    """The type with DuckDB's name for the items of lists."""
    return pa.list_(pa.field("l", as_duckdb_gives_it(kind.value_type))) if isinstance(kind, pa.ListType) else kind


@pytest.mark.parametrize("filled", [False, True])
def test_every_view_has_the_declared_columns(store: ObjectStore, cache: Path, filled: bool) -> None:
    if filled:
        fill(store, "2024-05", "a-1")
    for table in TABLES.values():
        got = run_query(store, f"SELECT * FROM {table.name}", cache)
        assert got.schema.names == table.schema.names
        assert got.schema.types == [as_duckdb_gives_it(kind) for kind in table.schema.types]
    assert run_query(store, "SELECT * FROM files", cache).num_rows == int(filled)


def test_timestamps_come_back_in_utc(
    store: ObjectStore, cache: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    request.addfinalizer(lambda: (monkeypatch.undo(), time.tzset()))
    fill(store, "2024-05", "a-1")
    got = run_query(store, "SELECT computed_at, CAST(computed_at AS VARCHAR) AS shown FROM files", cache)
    assert got.schema.field("computed_at").type == pa.timestamp("us", tz="UTC")
    (only,) = got.to_pylist()
    assert only["computed_at"].astimezone(UTC) == EPOCH
    assert only["shown"] == "2024-05-06 07:08:09.123456+00"


def test_only_the_tables_are_listed_and_python_is_out_of_reach(store: ObjectStore, cache: Path) -> None:
    assert run_query(store, "SHOW TABLES", cache)["name"].to_pylist() == sorted(TABLES)
    with pytest.raises(CatalogError, match="connection"):
        run_query(store, "SELECT * FROM connection", cache)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT nope FROM files", "nope"),
        ("SELECT * FROM photos", "photos"),
        ("SELECT CAST('x' AS INTEGER)", "Could not convert"),
        ("SELECT '\udcff'", "surrogate"),
    ],
)
def test_mistakes_in_the_sql_are_answered_in_one_line(store: ObjectStore, cache: Path, sql: str, said: str) -> None:
    with pytest.raises(CatalogError, match=said) as caught:
        run_query(store, sql, cache)
    assert "\n" not in caught.value.message
    assert caught.value.message.endswith(f"the tables are {', '.join(TABLES)}.")


@pytest.mark.parametrize("sql", ["", "-- nothing", "SET threads = 1"])
def test_statements_without_a_result_give_no_rows(store: ObjectStore, cache: Path, sql: str) -> None:
    assert run_query(store, sql, cache).num_rows == 0


def test_a_month_of_an_older_schema_is_readable(
    store: ObjectStore, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = TABLES["files"]
    older = schemas.Table(now.name, now.grain, now.key, tuple(c for c in now.columns if c.name != "duration_s"))
    monkeypatch.setitem(schemas.TABLES, "files", older)
    fill(store, "2024-05", "a-1")
    monkeypatch.setitem(schemas.TABLES, "files", now)
    assert run_query(store, "SELECT media_id, duration_s FROM files", cache).to_pylist() == [
        {"media_id": "a-1", "duration_s": None}
    ]


def test_a_local_library_is_read_in_place(tmp_path: Path, cache: Path) -> None:
    store = open_store(str(tmp_path / "library"))
    fill(store, "2024-05", "a-1")
    assert run_query(store, "SELECT count(*) AS n FROM files", cache).to_pylist() == [{"n": 1}]
    assert not cache.exists()


def test_other_stores_are_copied_once_per_version_and_old_copies_forgotten(cache: Path) -> None:
    store = open_store("memory://")
    fill(store, "2024-05", "a-1")
    run_query(store, "SELECT 1", cache)
    copies = {path: path.stat().st_ino for path in cache.rglob("*.parquet")}
    assert len(copies) == 2
    run_query(store, "SELECT 1", cache)
    assert {path: path.stat().st_ino for path in cache.rglob("*.parquet")} == copies
    fill(store, "2024-05", "b-1")
    assert run_query(store, "SELECT count(*) AS n FROM files", cache).to_pylist() == [{"n": 2}]
    assert copies.keys() < set(cache.rglob("*.parquet"))
    long_ago = time.time() - 2 * query._KEEP_STALE_S
    for path in cache.rglob("*.parquet"):
        os.utime(path, (long_ago, long_ago))
    run_query(store, "SELECT 1", cache)
    left = {path.name for path in cache.rglob("*.parquet")}
    assert left == {Path(key).name for name in TABLES for key in current_files(store, name)}


def test_a_cache_that_cannot_be_used_is_named(cache: Path) -> None:
    store = open_store("memory://")
    fill(store, "2024-05", "a-1")
    cache.write_text("a file")
    with pytest.raises(CatalogError, match=r"The cache .*cache cannot be used"):
        run_query(store, "SELECT 1", cache)


def test_a_current_file_that_is_gone_is_named(store: ObjectStore, cache: Path) -> None:
    fill(store, "2024-05", "a-1")
    (key,) = current_files(store, "files")
    store.delete(key)
    with pytest.raises(CatalogError, match=rf"{key} is gone\. Materialize the asset `catalog`"):
        run_query(store, "SELECT 1", cache)


def test_a_file_replaced_between_manifest_and_read_is_read_again(
    store: ObjectStore, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, "2024-05", "a-1")
    prepare = query._prepare
    calls = 0

    def compaction_comes_first(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            fill(store, "2024-05", "b-1")
        prepare(*arguments)

    monkeypatch.setattr(query, "_prepare", compaction_comes_first)
    assert run_query(store, "SELECT count(*) AS n FROM files", cache).to_pylist() == [{"n": 2}]
    assert calls == 2


def test_parameters_are_values_and_never_sql(store: ObjectStore, cache: Path) -> None:
    fill(store, "2024-05", "a-1", file_name="it's; DROP TABLE files")
    sql = "SELECT media_id FROM files WHERE file_name = $name AND list_contains($ids::VARCHAR[], media_id)"
    given = {"name": "it's; DROP TABLE files", "ids": ["a-1"]}
    assert run_query(store, sql, cache, given).to_pylist() == [{"media_id": "a-1"}]
    assert run_query(store, sql, cache, given | {"ids": []}).to_pylist() == []


def test_several_queries_share_a_connection(store: ObjectStore, cache: Path) -> None:
    fill(store, "2024-05", "a-1")
    with query.CatalogQueries(store, cache, ("files",)) as queries:
        queries.run("CREATE TEMP TABLE kept AS SELECT 7 AS n")
        assert queries.run("SELECT n FROM kept").to_pylist() == [{"n": 7}]
        assert queries.run("SHOW TABLES")["name"].to_pylist() == ["files", "kept"]
        with pytest.raises(CatalogError, match="renditions"):
            queries.run("SELECT * FROM renditions")
        assert queries.run("SELECT count(*) AS n FROM files").to_pylist() == [{"n": 1}]  # a mistake ends nothing


def test_a_compaction_between_two_queries_is_survived(store: ObjectStore, cache: Path) -> None:
    fill(store, "2024-05", "a-1")
    with query.CatalogQueries(store, cache) as queries:
        assert queries.run("SELECT count(*) AS n FROM files").to_pylist() == [{"n": 1}]
        fill(store, "2024-05", "b-1")
        assert queries.run("SELECT count(size_bytes) AS n FROM files").to_pylist()[0]["n"] in (1, 2)
