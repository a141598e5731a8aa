"""Op ``ingest``: the original, metadata, thumbnails and web versions of many files in one run.

Each file is read once and decoded once. The op asks the pipeline for work and turns outcomes into events; what happens
to a file is in ``pipeline``.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import dagster as dg

from media_assets.defs.checks import INGEST_CHECKS, CheckFacts, facts_of_library, verdicts
from media_assets.defs.event_batches import log_materializations
from media_assets.defs.events import materializations, newest_materialization
from media_assets.defs.failures import failure_of
from media_assets.defs.partitions import media_partitions
from media_assets.defs.tags import BATCH_TAG, DECODING_POOL, is_partitioned
from media_assets.defs.ui_previews import ui_previews
from media_assets.pipeline.assets import (
    APPEARANCE,
    INGEST_ASSETS,
    METADATA,
    OPTIMIZED,
    ORIGINAL,
    THUMBNAILS,
    code_version,
)
from media_assets.pipeline.batch import run_work
from media_assets.pipeline.library import Library
from media_assets.pipeline.liveness import this_process
from media_assets.pipeline.outcomes import BatchSummary
from media_assets.pipeline.recipe import Recipe, recipe_of
from media_assets.pipeline.selection import RunIdentity, select_work
from media_assets.pipeline.stopping import WorkStoppedError
from media_assets.storage.errors import StorageError

# Also the chunk of a backfill: enough files to make the start of a run cheap, few enough to lose little with it.
PARTITIONS_PER_RUN = 256
_PROGRESS_INTERVAL_S = 15.0

_DESCRIPTIONS = {
    ORIGINAL: "The validated upload, stored once per owner and content. One row per file in the table files.",
    METADATA: "Capture time, camera, exposure, position and codec of each file. Table metadata.",
    THUMBNAILS: "Upright sRGB renditions: 150, 300, 600, 1200 px and the 1600-px preview. Table renditions.",
    OPTIMIZED: "Web versions: AVIF, WebP and JPEG up to 2048 px of a picture; storyboard, animated preview and H.264 "
    "clip of a video. Table renditions.",
    APPEARANCE: "Colours, light, sharpness, noise, a quality score and perceptual hashes. Table appearance.",
}


def _spec(name: str, recipe: Recipe) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        deps=[] if name == ORIGINAL else [ORIGINAL],
        # Yields nothing: a partition is materialized only by its own event (see ``defs.events``).
        skippable=True,
        group_name="ingest",
        description=_DESCRIPTIONS[name],
        code_version=code_version(name, recipe),
        kinds={"python", "parquet"},
        partitions_def=media_partitions,
    )


def _checks_of_library(context: dg.AssetExecutionContext, library: Library) -> Iterator[dg.AssetCheckResult]:
    """Evaluate checks that were executed on their own, over everything that the catalog names."""
    try:
        names = [key.name for key in context.selected_asset_check_keys]
        facts = facts_of_library(library, names, datetime.now(UTC))
    except StorageError as error:
        raise failure_of(error) from None
    for check in sorted(context.selected_asset_check_keys, key=lambda key: key.name):
        yield facts.result(check.name)


class _ProgressLog:
    """Writes how far the web renditions of a long video are into the log of the run, now and then."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context
        self._next = time.monotonic() + _PROGRESS_INTERVAL_S

    def __call__(self, media_id: str, share: float) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _PROGRESS_INTERVAL_S
            self._context.log.info(f"Web renditions of {media_id}: {share:.0%}")


def build_ingest(recipe: Recipe) -> dg.AssetsDefinition:
    """Return the op.

    Args:
        recipe: The settings that the code versions depend on.
    """
    return dg.multi_asset(
        name="ingest",
        specs=[_spec(name, recipe) for name in INGEST_ASSETS],
        check_specs=INGEST_CHECKS,
        can_subset=True,
        partitions_def=media_partitions,
        pool=DECODING_POOL,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=PARTITIONS_PER_RUN),
    )(_ingest)


def _ingest(context: dg.AssetExecutionContext, library: dg.ResourceParam[Library]) -> Iterator[dg.AssetCheckResult]:
    """Store, read and render the media files of the run's partitions."""
    if not is_partitioned(context.run.tags):
        yield from _checks_of_library(context, library)
        return
    media_ids = list(context.partition_keys)  # asks the database for all partitions: once per run
    assets = [key.path[-1] for key in context.selected_asset_keys]
    run = RunIdentity(
        run_id=context.run.run_id,
        root_run_id=context.run.root_run_id or context.run.run_id,
        batch_id=context.run.tags.get(BATCH_TAG),
        recipe=recipe_of(library.settings),
    )
    summary, facts, unplaced = BatchSummary(), CheckFacts(), library.geocoder.unanswered
    newest = partial(newest_materialization, context.instance, ORIGINAL)
    previews = ui_previews(library.settings)
    try:
        if run.batch_id is not None:
            library.ledger.start_batch(run.batch_id, run.run_id, this_process())
        selection = select_work(library.ledger, media_ids, assets, run)
        context.log.info(
            f"{len(selection.items)} of {len(media_ids)} files to do, {len(selection.already_done)} done already, "
            f"{len(selection.not_ingested)} not ingested yet"
        )
        library.on_progress = _ProgressLog(context)
        for chunk in run_work(library, selection.items, run):
            judged = [verdicts(outcome, chunk.at) for outcome in chunk.outcomes]
            log_materializations(context, materializations(chunk, judged, run.recipe, newest, previews))
            summary.add(chunk.outcomes)
            facts.add_outcomes(chunk.outcomes, judged)
            context.log.info(f"{sum(summary.states.values())}/{len(selection.items)} files: {dict(summary.states)}")
        refused = summary.states["rejected"]
        if refused:
            context.log.warning(f"{refused} files were refused: see `media-assets rejected`")
        if summary.given_up:
            context.log.warning(
                f"{len(summary.given_up)} results were given up; the files are sound. First: {summary.given_up[0]}"
            )
        unplaced = library.geocoder.unanswered - unplaced
        if unplaced:
            context.log.warning(f"{unplaced} positions have no place. {library.geocoder.problem}")
    except (StorageError, WorkStoppedError) as error:
        raise failure_of(error) from None
    for check in sorted(context.selected_asset_check_keys, key=lambda key: key.name):
        yield facts.result(check.name)
    if selection.unknown:
        summary.failures.append(
            f"{len(selection.unknown)} partitions are unknown to the ledger, for example {selection.unknown[0]}. "
            "Delete these partitions, or upload their files again."
        )
    if summary.failures:
        raise dg.Failure(
            description=f"{len(summary.failures)} files could not be processed and will be tried again. First: "
            f"{summary.failures[0]}",
            metadata={"failures": dg.MetadataValue.md("\n".join(f"- {line}" for line in summary.failures[:50]))},
        )
