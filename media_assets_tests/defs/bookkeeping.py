"""Events of runs as Dagster makes them, and everything that can be read of a storage afterwards."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEvent,
    DagsterEventType,
    StepMaterializationData,
)
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

ASSETS = ("original", "thumbnails")
RUNS = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")


def planned(run_id: str, asset: str, partition: str | None, at: float) -> EventLogEntry:
    data = AssetMaterializationPlannedData(dg.AssetKey(asset), partition=partition, partitions_subset=None)
    found = DagsterEvent.build_asset_materialization_planned_event("ingest_job", "ingest", data)
    return EventLogEntry(None, 10, "", run_id, at, "ingest", "ingest_job", found)


def materialized(
    run_id: str,
    asset: str,
    partition: str | None,
    at: float,
    text: str = "",
    *,
    description: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> EventLogEntry:
    found = DagsterEvent(
        event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
        job_name="ingest_job",
        step_key="ingest",
        message="Materialized value.",
        event_specific_data=StepMaterializationData(
            dg.AssetMaterialization(
                asset,
                partition=partition,
                description=description,
                metadata={"text": dg.MetadataValue.md(text), "number": 0.1} if metadata is None else metadata,
                tags={"dagster/data_version": f"v{at}", "dagster/code_version": "3", "other": "x"}
                if tags is None
                else tags,
            )
        ),
    )
    return EventLogEntry(None, 10, "", run_id, at, "ingest", "ingest_job", found)


def said(run_id: str, at: float) -> EventLogEntry:
    return EventLogEntry(None, 20, "a line of the log", run_id, at, "ingest", "ingest_job", None)


def store_in_child(storage: SqlEventLogStorage, event: EventLogEntry) -> int:
    """Fork, store an event there, and return the id of the process, which ends with status 0 if that went well."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            storage.store_event(event)
            code = 0
        finally:
            os._exit(code)
    return child


def database(storage: SqlEventLogStorage, runs: Sequence[str] = RUNS) -> dict[str, Any]:
    """Every row of every table: of the index, and of the log of each run."""
    found: dict[str, Any] = {}
    # When a migration was noted is the time of the test itself.
    left_out = {"secondary_indexes"}
    connections = {"index": storage.index_connection()} | {run: storage.run_connection(run) for run in runs}
    for name, connection in connections.items():
        with connection as conn:
            for table in SqlEventLogStorageMetadata.sorted_tables:
                if table.name in left_out:
                    continue
                # The order of writing in tables besides the log says nothing; their own numbers neither.
                columns = [c for c in table.c if table.name == "event_logs" or c.name not in ("id", "create_timestamp")]
                rows = [tuple(map(str, row)) for row in conn.execute(sa.select(*columns))]
                found[f"{name}.{table.name}"] = sorted(rows, key=lambda row: (len(row[0]), row))
    return found


def instance_of(storage_class: str, folder: Path, **config: Any) -> dg.DagsterInstance:
    """Open an instance with the storage ``module:class``."""
    module, _, name = storage_class.partition(":")
    custom = {"module": module, "class": name, "config": config}
    return dg.DagsterInstance.from_ref(
        dg._core.instance.InstanceRef.from_dir(  # type: ignore[attr-defined]
            str(folder), overrides={"storage": {"custom": custom}, "telemetry": {"enabled": False}}
        )
    )
