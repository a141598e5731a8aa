"""``media-assets reprocess``: compute assets again, for all files or for exactly those that are out of date."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime

import click

from media_assets.commands.catalog_runs import compact_and_group
from media_assets.commands.existing import open_existing
from media_assets.commands.output import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    UserError,
    console,
    json_option,
    library_option,
    print_json,
    progress_console,
    reports_errors,
)
from media_assets.commands.progress import progress_bar
from media_assets.instance import prepare_home
from media_assets.pipeline.assets import ANALYZE_ASSETS, INGEST_ASSETS, PER_FILE_ASSETS, PROTECT_ASSETS
from media_assets.pipeline.intake import contiguous_ranges
from media_assets.pipeline.library import Library
from media_assets.pipeline.staleness import REPROCESSED, freshness_of
from media_assets.settings import Settings

_OPS = {INGEST_ASSETS: "Processing", ANALYZE_ASSETS: "Analysing", PROTECT_ASSETS: "Covering"}


@click.command()
@click.option(
    "--asset",
    "assets",
    multiple=True,
    required=True,
    type=click.Choice(PER_FILE_ASSETS),
    help="Asset to redo; repeatable.",
)
@click.option("--stale", "only_stale", is_flag=True, help="Only files whose result is out of date or missing.")
@click.option("--all", "everything", is_flag=True, help="Every accepted file that is not archived.")
@library_option
@json_option
@reports_errors
def reprocess(assets: Sequence[str], only_stale: bool, everything: bool, library: str | None, as_json: bool) -> None:
    """Compute assets again, for all files or for exactly those whose result is out of date.

    Assets that read previews (embeddings, objects, faces, scenes, texts, safety) never read originals. Copies
    (shareable) are made again of files whose owners consent to publication.
    Exit status: 0 when all was done, 1 when something failed, 2 on wrong usage.
    """
    if only_stale == everything:
        raise UserError("Say which files: --stale (out of date or missing) or --all.", EXIT_USAGE)
    settings = Settings.load(library=library)
    opened = open_existing(settings)
    started = datetime.now(UTC)
    try:
        done, failures = _reprocess(opened, settings, assets, only_stale=only_stale, quiet=as_json)
        archived = opened.ledger.archived_count()
    except KeyboardInterrupt:
        raise UserError("Stopped. Run the same command again to continue.", EXIT_INTERRUPTED) from None
    finally:
        opened.close()
    seconds = round((datetime.now(UTC) - started).total_seconds(), 2)
    if as_json:
        print_json({"files": done, "failures": failures, "archived": archived, "seconds": seconds})
    else:
        counted = ", ".join(f"{asset}: {count} files" for asset, count in done.items())
        console.print(f"{counted}; {seconds} s.")
        if archived:
            console.print(f"{archived} archived files were left out: media-assets reopen brings them back.")
        for failure in failures:
            progress_console.print(f"failed: {failure}", style="red", markup=False)
    raise SystemExit(EXIT_FAILED if failures else 0)


def _reprocess(
    library: Library, settings: Settings, assets: Sequence[str], *, only_stale: bool, quiet: bool
) -> tuple[dict[str, int], list[str]]:
    due = {
        asset: [media_id for media_id, state in freshness_of(library, asset) if not only_stale or state in REPROCESSED]
        for asset in dict.fromkeys(assets)
    }
    failures: list[str] = []
    counted = {asset: len(media_ids) for asset, media_ids in due.items()}
    if not any(counted.values()):
        return counted, failures
    os.environ["DAGSTER_HOME"] = str(prepare_home(settings))
    from media_assets.defs.headless import HeadlessRunner

    runner = HeadlessRunner(library)
    positions = runner.positions()
    with progress_bar(quiet) as progress:
        # Files that lack the same assets of one op are read once for all of them.
        for op, doing in _OPS.items():
            lacking: dict[str, set[str]] = {}
            for asset in op:
                for media_id in due.get(asset, ()):
                    lacking.setdefault(media_id, set()).add(asset)
            if not lacking:
                continue
            task = progress.add_task(doing, total=len(lacking))
            library.on_outcome = lambda outcome, task=task: progress.advance(task)
            library.on_analyzed = lambda count, task=task: progress.advance(task, count)
            library.on_shared = lambda outcomes, task=task: progress.advance(task, len(outcomes))
            for media_ids, wanted in contiguous_ranges(lacking, positions, settings.batch_max_files):
                message = runner.run_range(media_ids[0], media_ids[-1], wanted)
                if message is not None:
                    failures.append(message)
            progress.update(task, completed=len(lacking))
        if library.pending_parts():
            failures += compact_and_group(library, runner, group=True)
    return counted, failures
