"""``PostgresStorage`` beside Dagster's own, on a real server: the same rows, in order, and few connections."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster_postgres.event_log import PostgresEventLogStorage

from media_assets.defs.bookkeeping import postgres as bookkeeping
from media_assets_tests.bench.postgres import Postgres
from media_assets_tests.defs.bookkeeping import RUNS, database, instance_of, materialized, planned, said, store_in_child

pytestmark = pytest.mark.integration

OURS = "media_assets.defs.bookkeeping.postgres:PostgresStorage"
STOCK = "dagster_postgres.storage:DagsterPostgresStorage"


def test_rows_are_those_of_dagster_and_each_reads_the_other(postgres: Postgres, tmp_path: Path) -> None:
    batches = [
        [planned(RUNS[0], asset, key, 1.75e9) for asset in ("original", "thumbnails") for key in "abc"],
        [materialized(RUNS[0], "original", key, 1.75e9 + 1, 'te"xt\\ü') for key in "abc"],
        [materialized(RUNS[1], "thumbnails", "a", 1.75e9 + 2), planned(RUNS[1], "original", "b", 1.75e9 + 3)],
    ]
    found: dict[str, Any] = {}
    for number, (writer, reader) in enumerate([(STOCK, OURS), (OURS, STOCK)]):
        url = postgres.new_database()
        home = tmp_path / str(number)
        home.mkdir()
        with instance_of(writer, home, postgres_url=url) as instance:
            instance.event_log_storage.store_event(said(RUNS[0], 1.75e9))
            for batch in batches:
                if writer == OURS:
                    instance.event_log_storage.store_event_batch(batch)
                else:
                    for event in batch:
                        instance.event_log_storage.store_event(event)
        with instance_of(reader, home, postgres_url=url) as instance:
            assert instance.get_materialized_partitions(dg.AssetKey("original")) == set("abc")
            found[writer] = database(instance.event_log_storage)
    assert found[OURS] == found[STOCK]


def test_a_batch_that_fails_leaves_nothing(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with instance_of(OURS, tmp_path, postgres_url=postgres.new_database()) as instance:
        storage = instance.event_log_storage
        before = database(storage)

        def fails(*_: object) -> None:
            raise OSError("no")

        monkeypatch.setattr(bookkeeping.EventLogStorage, "_store_asset_event", fails)
        with pytest.raises(OSError, match="no"):
            storage.store_event_batch([materialized(RUNS[0], "original", key, 1.75e9) for key in "ab"])
        assert database(storage) == before


def test_numbers_become_visible_in_their_order_and_connections_stay_few(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.new_database()
    with instance_of(OURS, tmp_path, postgres_url=url) as instance:
        storage = instance.event_log_storage
        seen: list[int] = []
        gaps: list[int] = []

        def write(number: int) -> None:
            storage.store_event_batch([materialized(RUNS[0], "original", f"{number}-{at}", 1.75e9) for at in range(20)])
            storage.store_event(materialized(RUNS[1], "original", f"{number}-single", 1.75e9))

        def look(_: int) -> None:
            records = instance.fetch_materializations(dg.AssetKey("original"), limit=2000).records
            numbers = sorted(record.storage_id for record in records)
            # Between two that are visible none is missing that appears later: nobody else writes here.
            if numbers and numbers != list(range(numbers[0], numbers[-1] + 1)):
                gaps.append(len(numbers))
            seen.append(len(numbers))

        with ThreadPoolExecutor(6) as threads:
            list(threads.map(lambda number: look(number) if number % 2 else write(number), range(60)))
        assert gaps == []
        assert len(instance.get_materialized_partitions(dg.AssetKey("original"))) == 30 * 21
        connections = instance.event_log_storage.connections
        assert connections.engine.pool.checkedin() <= 2
        other = sa.create_engine(url)
        with other.connect() as conn:
            count = conn.execute(
                sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            ).scalar_one()
        other.dispose()
        assert count <= 2 + 1


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_and_a_lost_connection(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.new_database()
    with instance_of(OURS, tmp_path, postgres_url=url) as instance:
        storage = instance.event_log_storage
        storage.store_event(materialized(RUNS[0], "original", "parent", 1.75e9))
        child = store_in_child(storage, materialized(RUNS[0], "original", "child", 1.75e9))
        assert os.waitpid(child, 0)[1] == 0
        other = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with other.connect() as conn:  # as a server does that is started again
            conn.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        other.dispose()
        storage.store_event(materialized(RUNS[0], "original", "after", 1.75e9))
        assert instance.get_materialized_partitions(dg.AssetKey("original")) == {"parent", "child", "after"}
    # Dagster's own opens it too.
    assert len(PostgresEventLogStorage(url).get_logs_for_run(RUNS[0])) == 3
