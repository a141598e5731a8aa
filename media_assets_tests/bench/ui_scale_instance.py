"""A Dagster instance with many partitions that are all materialized, as a long-lived library has it.

One block of 256 partitions is really run through both ops, with prepared results. Its rows are copied for all other
blocks inside the database: same events, tags and runs, with the names of other files. Then the last block is really
run, so that what Dagster keeps of each asset is that of its newest run. The logs of copied runs themselves (files of
their own on SQLite) are not made: pages about assets do not read them.
"""

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import dagster as dg
import sqlalchemy as sa
import yaml
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetEventTagsTable, SqlEventLogStorageTable
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable

from media_assets.defs.build import build_definitions
from media_assets.defs.partitions import add_partitions
from media_assets.defs.tags import range_tags
from media_assets.instance import instance_config
from media_assets_tests.bench import bookkeeping_prepared

BLOCK = 256
_KINDS = ("ASSET_MATERIALIZATION", "ASSET_MATERIALIZATION_PLANNED")
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def write_config(home: Path, postgres_url: str | None) -> None:
    """Write the product's ``dagster.yaml``, on Postgres with its other storage."""
    home.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load(instance_config())
    if postgres_url is not None:
        config["storage"] = {
            "custom": {
                "module": "media_assets.defs.bookkeeping.postgres",
                "class": "PostgresStorage",
                "config": {"postgres_url": postgres_url},
            }
        }
    (home / "dagster.yaml").write_text(json.dumps(config), encoding="utf-8")


def fill_instance(instance: dg.DagsterInstance, folder: Path, picture: Path, partitions: int) -> list[str]:
    """Add ``partitions`` partitions, a multiple of 256, all materialized in all assets; return them in order."""
    library, outcome = bookkeeping_prepared.ingest_one(folder / "one", picture)
    names = [bookkeeping_prepared.media_id(number) for number in range(partitions)]
    add_partitions(instance, names)
    definitions = build_definitions(library=library)

    def run(first: int) -> list[str]:
        """Run both ops over a block; return the ids of the runs."""
        done = []
        for job in ("ingest_job", "analyze_job"):
            result = definitions.resolve_job_def(job).execute_in_process(
                instance=instance, tags=range_tags(names[first], names[first + BLOCK - 1]), run_config=_QUIET
            )
            done.append(result.run_id)
        return done

    with bookkeeping_prepared.Prepared(outcome, picture).installed():
        block = run(0)
        copier = _Copier(instance, names[:BLOCK])
        for first in range(BLOCK, partitions - BLOCK, BLOCK):
            for run_id in block:
                copier.copy(run_id, names[first : first + BLOCK])
        run(partitions - BLOCK)
    library.close()
    return names


class _Copier:
    """Copies the rows of a run for other partitions, inside the database."""

    def __init__(self, instance: dg.DagsterInstance, names: Sequence[str]) -> None:
        self._events = cast("SqlEventLogStorage", instance.event_log_storage)
        self._runs = cast("SqlRunStorage", instance.run_storage)
        self._names = names
        self._renamed = sa.Table(
            "bench_renamed",
            sa.MetaData(),
            sa.Column("old", sa.String(255), primary_key=True),
            sa.Column("new", sa.String(255), index=True),
            prefixes=["TEMPORARY"],
        )

    def copy(self, run_id: str, names: Sequence[str]) -> None:
        new_id = str(uuid.uuid4())
        self._copy_run(run_id, new_id, names)
        with self._transaction() as connection:
            self._copy_events(connection, run_id, new_id, names)

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with self._events.index_connection() as connection:
            if connection.in_transaction():  # SQLite; Postgres commits each statement by itself otherwise
                yield connection
            else:
                with connection.begin():
                    yield connection

    def _copy_events(self, connection: sa.Connection, run_id: str, new_id: str, names: Sequence[str]) -> None:
        old, tags, renamed = SqlEventLogStorageTable, AssetEventTagsTable, self._renamed
        new = old.alias("new")
        self._renamed.create(connection)
        pairs = [{"old": one, "new": other} for one, other in zip(self._names, names, strict=True)]
        connection.execute(sa.insert(renamed), pairs)
        text = sa.func.replace(sa.func.replace(old.c.event, renamed.c.old, renamed.c.new), run_id, new_id)
        same = (old.c.dagster_event_type, old.c.timestamp, old.c.step_key, old.c.asset_key)
        chosen = (
            sa.select(sa.literal(new_id), text, *same, renamed.c.new)
            .join_from(old, renamed, old.c.partition == renamed.c.old)
            .where(old.c.run_id == run_id, old.c.dagster_event_type.in_(_KINDS))
            .order_by(old.c.id)
        )
        columns = ["run_id", "event", "dagster_event_type", "timestamp", "step_key", "asset_key", "partition"]
        connection.execute(sa.insert(old).from_select(columns, chosen))
        tagged = (
            sa.select(new.c.id, tags.c.asset_key, tags.c.key, tags.c.value, tags.c.event_timestamp)
            .select_from(old)
            .join(tags, tags.c.event_id == old.c.id)
            .join(renamed, renamed.c.old == old.c.partition)
            .join(
                new,
                sa.and_(
                    new.c.run_id == new_id,
                    new.c.partition == renamed.c.new,
                    new.c.asset_key == old.c.asset_key,
                    new.c.dagster_event_type == old.c.dagster_event_type,
                ),
            )
            .where(old.c.run_id == run_id, old.c.dagster_event_type == _KINDS[0])
        )
        connection.execute(
            sa.insert(tags).from_select(["event_id", "asset_key", "key", "value", "event_timestamp"], tagged)
        )
        renamed.drop(connection)

    def _copy_run(self, run_id: str, new_id: str, names: Sequence[str]) -> None:
        def renamed(value: Any) -> Any:
            if not isinstance(value, str):
                return value
            value = value.replace(run_id, new_id)
            return value.replace(self._names[0], names[0]).replace(self._names[-1], names[-1])

        with self._runs.connect() as connection:
            for table in (RunsTable, RunTagsTable):
                for row in connection.execute(sa.select(table).where(table.c.run_id == run_id)).all():
                    values = {key: renamed(value) for key, value in row._asdict().items() if key != "id"}
                    connection.execute(sa.insert(table).values(values))
