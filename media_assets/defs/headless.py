"""Runs batches and the catalog in this process, through the same definitions, for ``media-assets process``.

No daemon and no web server; the runs and their events are in the instance and in the UI all the same.
"""

import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from media_assets.defs.asset_events import forget_asset_events
from media_assets.defs.build import build_definitions
from media_assets.defs.jobs import analyze_job, catalog_job, groups_job, ingest_job, protect_job
from media_assets.defs.orphans import fail_orphaned_runs
from media_assets.defs.partitions import PARTITIONS_NAME, close_batch, partition_order
from media_assets.defs.privacy import follow_consents
from media_assets.defs.tags import WORKER_TAG, analysis_tags, batch_tags, range_tags, sharing_tags
from media_assets.pipeline.assets import ANALYZE_ASSETS, PROTECT_ASSETS, SHAREABLE
from media_assets.pipeline.intake import narrowed
from media_assets.pipeline.library import Library
from media_assets.pipeline.liveness import this_process
from media_assets.pipeline.revocation.apply import ConsentReport
from media_assets.storage.ledger_engine import full_disk_message
from media_assets.storage.ledger_schema import Batch, MediaEntry
from media_assets.storage.private_text import keep_logs_private

_CAUSE = re.compile(r"[\w.]+(Error|Exception|Interrupt)\b.*:")
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class HeadlessRunner:
    """Executes ranged runs in this process.

    Args:
        library: An open library; its Dagster home must be in ``DAGSTER_HOME``.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._instance = dg.DagsterInstance.get()
        self._definitions = build_definitions(library=library)
        keep_logs_private()
        # Failures are reported by the command; Ctrl-C inside a connection's clean-up is no news for the user.
        for name in ("dagster", "sqlalchemy.pool"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        fail_orphaned_runs(self._instance, timedelta(seconds=library.settings.batch_dead_after_s))

    def positions(self) -> Mapping[str, int]:
        """Return the order of the existing partitions."""
        return partition_order(self._instance)

    def run_batch(self, batch: Batch, members: Sequence[MediaEntry], assets: Iterable[str]) -> str | None:
        """Run one batch with the files that it has now; return ``None`` or why it failed."""
        ranged = narrowed(batch, members, self.positions)
        self._instance.add_dynamic_partitions(PARTITIONS_NAME, [entry.media_id for entry in members])
        message = self._execute(ingest_job.name, batch_tags(ranged), assets)
        self.close_batch(batch)
        return message

    def close_batch(self, batch: Batch) -> None:
        """Close a batch if nothing of it is pending any more."""
        close_batch(self._instance, self._library, batch)

    def run_range(self, first: str, last: str, assets: Iterable[str]) -> str | None:
        """Materialize ``assets`` of one op for existing partitions; return ``None`` or why it failed."""
        wanted = set(assets)
        ops = ((analyze_job, ANALYZE_ASSETS), (protect_job, PROTECT_ASSETS))
        job = next((job for job, assets_of in ops if wanted <= set(assets_of)), ingest_job)
        return self._execute(job.name, range_tags(first, last), wanted)

    def run_analysis(self, first: str, last: str, assets: Iterable[str]) -> str | None:
        """Compute what is missing of ``assets`` of op ``analyze``; return ``None`` or why something failed."""
        return self._execute(analyze_job.name, analysis_tags(first, last), assets)

    def run_sharing(self, first: str, last: str) -> str | None:
        """Make the copies that files lack; return ``None`` or why something failed."""
        return self._execute(protect_job.name, sharing_tags(first, last), PROTECT_ASSETS)

    def follow_consents(self) -> ConsentReport:
        """Delete what owners do not allow any longer, and let what they allow be computed.

        Raises:
            CompactionBusyError: The catalog is being compacted.
            StorageError: Store or ledger refuse.
        """
        return follow_consents(self._instance, self._library)

    def forget_copies(self, media_ids: Collection[str]) -> int:
        """Delete what Dagster shows of the copies of some files; return how many events that were."""
        return forget_asset_events(self._instance, SHAREABLE, media_ids)

    def run_groups(self) -> str | None:
        """Group faces into people and find near duplicates; return ``None`` or why it failed."""
        return self._execute(groups_job.name, {}, ["people", "near_duplicates"])

    def run_catalog(self) -> str | None:
        """Compact the catalog; return ``None`` or why it failed."""
        return self._execute(catalog_job.name, {}, ["catalog"])

    def _execute(self, job_name: str, tags: Mapping[str, str], assets: Iterable[str]) -> str | None:
        job = self._definitions.resolve_job_def(job_name)
        # In a thread of its own, where Dagster leaves SIGINT alone: an exception that a signal handler raises can
        # come up inside a clean-up callback and be swallowed there. Ctrl-C stops the work through the library.
        with ThreadPoolExecutor(1, thread_name_prefix="run") as thread:
            execution = thread.submit(
                job.execute_in_process,
                instance=self._instance,
                tags={**tags, WORKER_TAG: this_process()},
                asset_selection=[dg.AssetKey(asset) for asset in assets],
                run_config=_QUIET,
                raise_on_error=False,
            )
            try:
                result = execution.result()
            except KeyboardInterrupt:
                self._library.stop.set()
                raise
            except SQLAlchemyError as error:
                return self._failure(str(error))
        if result.success:
            return None
        for event in result.all_events:
            failure = event.step_failure_data if event.is_step_failure else None
            if failure is not None:
                user = failure.user_failure_data
                if user is not None and user.description:
                    return user.description
                return self._failure(failure.error.to_string()) if failure.error else "a step failed"
        return f"run {result.run_id} failed; its log says why"

    def _failure(self, said: str) -> str:
        """One line about an error that nobody expected; what was asked of Dagster's database is left out."""
        full = full_disk_message(said, Path(self._instance.root_directory))
        causes = [line.strip() for line in said.splitlines() if _CAUSE.match(line)]
        return full or f"{(causes or said.splitlines())[-1][:300]}. The log of the run says more: media-assets serve"
