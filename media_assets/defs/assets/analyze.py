"""Op ``analyze``: what is to be seen in the previews of many files, in one run.

The op asks the pipeline for work and turns outcomes into events; what models do is in ``models``, what happens to a
file in ``pipeline.analysis``. Originals are never read.
"""

from collections.abc import Iterator
from functools import partial

import dagster as dg

from media_assets.defs.analysis_checks import ANALYZE_CHECKS, AnalysisCheckFacts, facts_of_tables
from media_assets.defs.analysis_events import analysis_materializations
from media_assets.defs.assets.ingest import PARTITIONS_PER_RUN
from media_assets.defs.event_batches import log_materializations
from media_assets.defs.events import newest_materialization
from media_assets.defs.failures import failure_of
from media_assets.defs.partitions import media_partitions
from media_assets.defs.tags import MODELS_POOL, ONLY_MISSING_TAG, is_partitioned
from media_assets.defs.ui_previews import ui_previews
from media_assets.models.errors import ModelError
from media_assets.models.vision_recipe import EMBEDDINGS, FACES, OBJECTS, SAFETY, SCENES, TEXTS
from media_assets.pipeline.analysis import run_analysis
from media_assets.pipeline.analysis_outcomes import AnalysisSummary
from media_assets.pipeline.analysis_selection import select_analysis
from media_assets.pipeline.assets import ANALYZE_ASSETS, THUMBNAILS, code_version
from media_assets.pipeline.child import WorkerStartError
from media_assets.pipeline.library import Library
from media_assets.pipeline.recipe import Recipe, recipe_of
from media_assets.pipeline.selection import RunIdentity
from media_assets.pipeline.stopping import WorkStoppedError
from media_assets.storage.errors import StorageError
from media_assets.storage.private_text import without_names

_DESCRIPTIONS = {
    EMBEDDINGS: "Each picture, or frame of a video, as a vector: for search by picture and for near duplicates.",
    OBJECTS: "Things with boxes: people, animals, vehicles and so on, the 80 classes of COCO.",
    FACES: "Faces with boxes, landmarks and quality; with the owner's consent also vectors to recognise people by.",
    SCENES: "Labels of the whole picture, and a caption.",
    TEXTS: "Lines of text that were read, with their places.",
    SAFETY: "How likely a picture shows something sensitive: a reason for a review, never a certainty.",
}


def _spec(name: str, recipe: Recipe) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        deps=[THUMBNAILS],
        # Yields nothing: a partition is materialized only by its own event (see ``defs.analysis_events``).
        skippable=True,
        group_name="analyze",
        description=f"{_DESCRIPTIONS[name]} Table {name}. Reads the preview, never the original.",
        code_version=code_version(name, recipe),
        kinds={"python", "onnx", "parquet"},
        partitions_def=media_partitions,
    )


def build_analyze(recipe: Recipe) -> dg.AssetsDefinition:
    """Return the op.

    Args:
        recipe: The settings that the code versions depend on.
    """
    return dg.multi_asset(
        name="analyze",
        specs=[_spec(name, recipe) for name in ANALYZE_ASSETS],
        check_specs=ANALYZE_CHECKS,
        can_subset=True,
        partitions_def=media_partitions,
        pool=MODELS_POOL,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=PARTITIONS_PER_RUN),
    )(_analyze)


def _analyze(context: dg.AssetExecutionContext, library: dg.ResourceParam[Library]) -> Iterator[dg.AssetCheckResult]:
    """Look at the previews of the run's partitions."""
    wanted_checks = sorted(key.name for key in context.selected_asset_check_keys)
    try:
        if not is_partitioned(context.run.tags):
            table_facts = facts_of_tables(library, wanted_checks)
            yield from (table_facts.result(name) for name in wanted_checks)
            return
        media_ids = list(context.partition_keys)  # asks the database for all partitions: once per run
        assets = [key.path[-1] for key in context.selected_asset_keys]
        run = RunIdentity(
            run_id=context.run.run_id,
            root_run_id=context.run.root_run_id or context.run.run_id,
            recipe=recipe_of(library.settings),
        )
        selection = select_analysis(
            library.ledger, media_ids, assets, run, only_missing=ONLY_MISSING_TAG in context.run.tags
        )
        context.log.info(
            f"{len(selection.items)} of {len(media_ids)} files to do, {len(selection.already_done)} done already, "
            f"{len(selection.without_preview)} without a preview"
        )
        summary, facts = AnalysisSummary(), AnalysisCheckFacts()
        newest = partial(newest_materialization, context.instance, THUMBNAILS)
        previews = ui_previews(library.settings)
        for chunk in run_analysis(library, selection.items, run, context.log.info):
            log_materializations(context, analysis_materializations(chunk, run.recipe, newest, previews))
            summary.add(chunk.outcomes)
            facts.add_analysis(chunk.outcomes, run.recipe.vision)
            if library.on_analyzed is not None:
                library.on_analyzed(len(chunk.outcomes))
            context.log.info(f"{summary.files}/{len(selection.items)} files: {dict(summary.made)}")
    except (StorageError, ModelError, WorkerStartError, WorkStoppedError) as error:
        raise failure_of(error) from None
    if summary.denied:
        context.log.info(f"Left out for lack of consent (files, by asset): {dict(summary.denied)}. See table skipped.")
    yield from (facts.result(name) for name in wanted_checks)
    _raise_failures(selection.without_preview, summary)


def _raise_failures(without_preview: tuple[str, ...], summary: AnalysisSummary) -> None:
    failures = [without_names(one) for one in summary.failures()]
    if without_preview:
        failures.append(
            f"{len(without_preview)} files have no preview of their present version, for example {without_preview[0]}. "
            "Materialize thumbnails for them first: media-assets reprocess --asset thumbnails --stale"
        )
    if failures:
        raise dg.Failure(
            description=f"{failures[0]}" + (f" And {len(failures) - 1} more reasons." if len(failures) > 1 else ""),
            metadata={"failures": dg.MetadataValue.md("\n".join(f"- {line}" for line in failures))},
        )
