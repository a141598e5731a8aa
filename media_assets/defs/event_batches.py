"""Writes the materializations of a chunk of files in batches: one transaction for each asset, not for each event."""

import logging
import os
from collections.abc import Iterable, Sequence

import dagster as dg
from dagster._core.events import (
    DagsterEvent,
    DagsterEventBatchMetadata,
    DagsterEventType,
    StepMaterializationData,
    generate_event_batch_id,
)


def log_materializations(
    context: dg.AssetExecutionContext, batches: Iterable[Sequence[dg.AssetMaterialization]]
) -> None:
    """Store materializations; when it returns all of them are in the event log, or it raises.

    The path of Dagster's own outputs (``execute_step``): events of a batch wait until its last one, which writes them
    with ``store_event_batch`` where ``DAGSTER_EVENT_BATCH_SIZE`` allows it, and one by one elsewhere. The public
    ``context.log_event`` would write each event by itself, also as a line into the output of the run, and keep it in
    memory until the end of the run.

    Args:
        context: Of the op.
        batches: Each is written before the next one is asked for. Give events of one asset only to a batch: Dagster's
            own Postgres storage records only the last event of a batch as the newest of its asset.
    """
    step, run, instance = context.get_step_execution_context(), context.run, context.instance
    for batch in batches:
        batch_id = generate_event_batch_id()  # type: ignore[no-untyped-call]
        for at, event in enumerate(batch, 1):
            instance.report_dagster_event(
                DagsterEvent(
                    event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
                    job_name=run.job_name,
                    step_handle=step.step.handle,
                    node_handle=step.step.node_handle,
                    step_kind_value=step.step.kind.value,
                    logging_tags=step.event_tags,
                    event_specific_data=StepMaterializationData(event),
                    message="Materialized value.",
                    pid=os.getpid(),
                ),
                run.run_id,
                logging.DEBUG,
                DagsterEventBatchMetadata(batch_id, at == len(batch)),
            )
