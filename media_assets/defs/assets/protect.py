"""Op ``protect``: copies of originals that may leave the library, of many files in one run.

The op asks the pipeline for work and turns outcomes into events; what is covered and how is in ``models.protect``, who
may be shared and what is stored in ``pipeline.sharing``.
"""

from collections.abc import Iterator
from functools import partial

import dagster as dg

from media_assets.defs.assets.ingest import PARTITIONS_PER_RUN
from media_assets.defs.event_batches import log_materializations
from media_assets.defs.events import newest_materialization
from media_assets.defs.failures import failure_of
from media_assets.defs.partitions import media_partitions
from media_assets.defs.shareable_checks import PROTECT_CHECKS, SharingCheckFacts, facts_of_copies
from media_assets.defs.shareable_events import shareable_materializations
from media_assets.defs.tags import COVERING_POOL, ONLY_MISSING_TAG, is_partitioned
from media_assets.defs.ui_previews import ui_previews
from media_assets.models.errors import ModelError
from media_assets.models.vision_recipe import FACES, TEXTS
from media_assets.pipeline.assets import ORIGINAL, SHAREABLE, code_version
from media_assets.pipeline.child import WorkerStartError
from media_assets.pipeline.library import Library
from media_assets.pipeline.recipe import Recipe, recipe_of
from media_assets.pipeline.selection import RunIdentity
from media_assets.pipeline.sharing import run_sharing
from media_assets.pipeline.sharing_outcomes import SharingSummary
from media_assets.pipeline.sharing_selection import SharingSelection, select_sharing
from media_assets.pipeline.stopping import WorkStoppedError
from media_assets.settings import SettingsError
from media_assets.storage.errors import StorageError
from media_assets.storage.private_text import without_names

_DESCRIPTION = (
    "The copy that may leave the library, of owners who consent to publication: faces and texts that identify are "
    "covered, nothing but the picture is left of the file. It is searched again before it is stored. Table shareable."
)


def build_protect(recipe: Recipe) -> dg.AssetsDefinition:
    """Return the op.

    Args:
        recipe: The settings that the code version depends on.
    """
    spec = dg.AssetSpec(
        SHAREABLE,
        deps=[ORIGINAL, FACES, TEXTS],
        # Yields nothing: a partition is materialized only by its own event (see ``defs.shareable_events``).
        skippable=True,
        group_name="protect",
        description=_DESCRIPTION,
        code_version=code_version(SHAREABLE, recipe),
        kinds={"python", "onnx", "parquet"},
        partitions_def=media_partitions,
    )
    return dg.multi_asset(
        name="protect",
        specs=[spec],
        check_specs=PROTECT_CHECKS,
        can_subset=True,
        partitions_def=media_partitions,
        pool=COVERING_POOL,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=PARTITIONS_PER_RUN),
    )(_protect)


def _protect(context: dg.AssetExecutionContext, library: dg.ResourceParam[Library]) -> Iterator[dg.AssetCheckResult]:
    """Make the copies of the run's partitions."""
    wanted_checks = sorted(key.name for key in context.selected_asset_check_keys)
    try:
        if not is_partitioned(context.run.tags):
            copies = facts_of_copies(library, wanted_checks)
            yield from (copies.result(name) for name in wanted_checks)
            return
        media_ids = list(context.partition_keys)  # asks the database for all partitions: once per run
        run = RunIdentity(
            run_id=context.run.run_id,
            root_run_id=context.run.root_run_id or context.run.run_id,
            recipe=recipe_of(library.settings),
        )
        selection = select_sharing(library, media_ids, run, only_missing=ONLY_MISSING_TAG in context.run.tags)
        context.log.info(
            f"{len(selection.items)} of {len(media_ids)} files to do, {len(selection.already_done)} done already, "
            f"{len(selection.not_analysed)} not analysed"
        )
        summary, facts = SharingSummary(), SharingCheckFacts()
        newest = partial(newest_materialization, context.instance)
        previews = ui_previews(library.settings)
        for chunk in run_sharing(library, selection.items, run, library.on_progress):
            log_materializations(context, shareable_materializations(chunk, run.recipe, newest, previews))
            summary.add(chunk.outcomes)
            facts.add_sharing(chunk.outcomes)
            if library.on_shared is not None:
                library.on_shared(chunk.outcomes)
            context.log.info(f"{summary.files}/{len(selection.items)} files: {dict(summary.states)}")
    except (StorageError, SettingsError, ModelError, WorkerStartError, WorkStoppedError) as error:
        raise failure_of(error) from None
    yield from (facts.result(name) for name in wanted_checks)
    _raise_failures(selection, summary)


def _raise_failures(selection: SharingSelection, summary: SharingSummary) -> None:
    failures = [without_names(one) for one in summary.failures()]
    if selection.not_analysed:
        failures.append(
            f"Faces and texts of {len(selection.not_analysed)} files are not known, for example of "
            f"{selection.not_analysed[0]}. Materialize them first: media-assets reprocess --asset faces --asset texts "
            "--stale"
        )
    if failures:
        raise dg.Failure(
            description=f"{failures[0]}" + (f" And {len(failures) - 1} more reasons." if len(failures) > 1 else ""),
            metadata={"failures": dg.MetadataValue.md("\n".join(f"- {line}" for line in failures))},
        )
