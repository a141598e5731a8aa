"""``media-assets process``: everything for a folder, headless, through the same Dagster definitions."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import Progress

from media_assets.commands.catalog_runs import compact_and_group
from media_assets.commands.output import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    UserError,
    console,
    json_option,
    library_option,
    print_json,
    print_table,
    progress_console,
    reports_errors,
)
from media_assets.commands.progress import progress_bar
from media_assets.instance import prepare_home
from media_assets.pipeline.analysis_recipe import vision_recipe_of
from media_assets.pipeline.assets import (
    ANALYZE_ASSETS,
    INGEST_ASSETS,
    METADATA,
    ORIGINAL,
    PER_FILE_ASSETS,
    PROTECT_ASSETS,
    SHAREABLE,
    THUMBNAILS,
)
from media_assets.pipeline.claims import claim
from media_assets.pipeline.consent import read_consents
from media_assets.pipeline.departures import depart
from media_assets.pipeline.intake import contiguous_ranges, plan_batches, sweep
from media_assets.pipeline.library import CompactionBusyError, Library
from media_assets.pipeline.outcomes import FileOutcome
from media_assets.pipeline.revocation.applied import owners_pending
from media_assets.pipeline.sharing_outcomes import SharedOutcome
from media_assets.pipeline.sharing_selection import files_to_share, read_rules
from media_assets.pipeline.sharing_skips import note_denied
from media_assets.pipeline.sharing_withdrawal import withdraw_copies
from media_assets.settings import Settings
from media_assets.storage.inbox import Inbox
from media_assets.storage.inbox_views import view_url
from media_assets.storage.ledger_schema import Batch

if TYPE_CHECKING:
    from media_assets.defs.headless import HeadlessRunner

_SHOWN_REJECTS = 20


@dataclass
class Report:
    """What one call did; also its JSON form."""

    path: str
    library: str
    listed: int = 0
    new: int = 0
    unchanged: int = 0
    sidecars: int = 0
    sidecars_without_media: int = 0  # in the whole library
    left: int = 0  # to be done by the next call, because something failed before their turn
    states: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    rejected: list[dict[str, object]] = field(default_factory=list)
    analyzed: int = 0
    copies: Counter[str] = field(default_factory=Counter)  # by state, of those that were made or decided now
    copies_withdrawn: int = 0
    left_inbox: int = 0  # uploads that `after_ingest` let leave
    seconds: float = 0.0

    def note(self, outcome: FileOutcome) -> None:
        """Count one finished file."""
        self.states[outcome.state] += 1
        if outcome.error is not None:
            self.rejected.append(
                {
                    "source_key": outcome.entry.source_key,
                    "reason_code": str(outcome.error.reason),
                    "message": outcome.error.message,
                }
            )

    @property
    def exit_code(self) -> int:
        """0 when every file was processed or cleanly rejected."""
        return EXIT_FAILED if self.failures else 0


@click.command()
@click.argument("path", metavar="PATH")
@library_option
@click.option("--assets", metavar="A,B,...", help="Only these assets. Default: all that the settings leave on.")
@click.option("--owner", metavar="NAME", help="Owner of all files, instead of the first folder below PATH.")
@click.option("--workers", type=click.IntRange(min=1), help="Decoder processes.  [default: one per core]")
@json_option
@reports_errors
def process(
    path: str, library: str | None, assets: str | None, owner: str | None, workers: int | None, as_json: bool
) -> None:
    """Process every media file below PATH (a folder, a file, or s3://bucket/prefix) into the library.

    Files that were processed before and have not changed are skipped. Interrupted work continues where it stopped.
    Exit status: 0 when every file was processed or cleanly rejected, 1 when something failed, 2 on wrong usage.
    """
    settings = Settings.load(library=library, inbox=path, workers=workers)
    wanted = _parse_assets(assets, settings)
    _check_source(settings)
    opened = Library(settings)
    try:
        opened.check_store()
        report = _process(opened, settings, wanted, owner, quiet=as_json)
    except KeyboardInterrupt:
        raise UserError("Stopped. Run the same command again to continue.", EXIT_INTERRUPTED) from None
    finally:
        opened.close()
    if as_json:
        counts = {"states": dict(report.states), "copies": dict(report.copies)}
        print_json({**report.__dict__, **counts, "exit_code": report.exit_code})
    else:
        _print(report)
    raise SystemExit(report.exit_code)


def _parse_assets(text: str | None, settings: Settings) -> tuple[str, ...]:
    vision = vision_recipe_of(settings)
    if text is None:
        analyses = (asset for asset in ANALYZE_ASSETS if settings.analyze and vision.is_on(asset))
        return (*INGEST_ASSETS, *analyses, *(PROTECT_ASSETS if settings.share else ()))
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in PER_FILE_ASSETS]
    if unknown or not names:
        raise UserError(
            f"Unknown asset {unknown[0] if unknown else '(none)'}. Known: {', '.join(PER_FILE_ASSETS)}.", EXIT_USAGE
        )
    return names


def _check_source(settings: Settings) -> None:
    """Name the user's own mistake before anything is created."""
    if "://" in settings.inbox_url:
        return
    source = Path(settings.inbox_url)
    if not source.exists():
        raise UserError(f"{source} does not exist. Check the path.", EXIT_USAGE)
    if not (source.is_file() or source.is_dir()):
        raise UserError(f"{source} is a pipe, socket or device. Name a file or a folder.", EXIT_USAGE)
    if not os.access(source, os.R_OK | (os.X_OK if source.is_dir() else 0)):
        raise UserError(f"{source} cannot be read. Fix its permissions (chmod, chown).", EXIT_USAGE)
    if source.is_file() and any("\udc80" <= char <= "\udcff" for char in source.name):
        raise UserError("The name of the file is not valid UTF-8. Rename the file.", EXIT_USAGE)
    if settings.is_local and source.resolve() == settings.library_root.resolve():
        raise UserError(f"{source} is the library itself. Name the folder that holds the media files.", EXIT_USAGE)


def _source(library: Library, owner: str | None) -> Inbox:
    """Open what is to be processed; the user says that it is complete, so there is no settle time."""
    url = library.settings.inbox_url
    path = None if "://" in url else Path(url)
    if path is not None and path.is_file():
        url = view_url(str(path.parent), owner=owner, file=path.name)
    else:
        url = view_url(url, owner=owner)
    return library.inbox(url, settle_s=0.0)


def _process(library: Library, settings: Settings, wanted: Sequence[str], owner: str | None, *, quiet: bool) -> Report:
    started = datetime.now(UTC)
    inbox = _source(library, owner)
    analyses = [asset for asset in ANALYZE_ASSETS if asset in wanted]
    # What is analysed is the preview.
    ingested = [asset for asset in INGEST_ASSETS if asset in wanted or (analyses and asset == THUMBNAILS)]
    report = Report(path=settings.inbox_url, library=settings.library_url)
    with progress_bar(quiet) as progress:
        _list(library, inbox, report, progress)
        runner = _Runner(library, prepare_home(settings))
        if report.sidecars:
            report.sidecars_without_media = library.ledger.lone_sidecars(0)[0]
        if owners_pending(library, read_consents(library)):
            _follow_consents(runner, report)
        _work(library, inbox, runner, ingested, report, progress)
        if analyses:
            _analyze(library, inbox, runner, analyses, report, progress)
        if SHAREABLE in wanted:
            rules = read_rules(library)
            report.copies_withdrawn += withdraw_copies(
                library, forget_events=lambda ids: runner.get().forget_copies(ids)
            )
            note_denied(library, rules, inbox=inbox.url)
        _compact(library, runner, report, progress, group=bool(analyses))
        if SHAREABLE in wanted:
            _share(library, inbox, runner, report, progress)
            _compact(library, runner, report, progress, group=False)
    if owner is None and _is_configured_inbox(library, inbox):
        _depart(library, inbox, report)
    report.seconds = round((datetime.now(UTC) - started).total_seconds(), 2)
    return report


def _follow_consents(runner: "_Runner", report: Report) -> None:
    """First of all: what is denied goes, and what is allowed is due below."""
    try:
        report.copies_withdrawn += runner.get().follow_consents().copies_withdrawn
    except CompactionBusyError as error:
        report.failures.append(f"Consents were not followed yet: {error}")


def _is_configured_inbox(library: Library, inbox: Inbox) -> bool:
    """Whether PATH is the inbox of the configuration. The files of any other folder are never moved or deleted."""
    configured = Settings.load(library=library.settings.library)
    return configured.after_ingest != "keep" and library.inbox(configured.inbox_url).url == inbox.url


def _depart(library: Library, inbox: Inbox, report: Report) -> None:
    done = depart(library, inbox, max_files=None, max_seconds=None)
    report.left_inbox = done.left
    report.failures += [f"{source_key} stays in the inbox: {message}" for source_key, message in done.held]


class _Runner:
    """Imports Dagster when the first run is needed: a call with nothing to do stays quick."""

    def __init__(self, library: Library, home: Path) -> None:
        self._library = library
        self._home = home
        self._runner: HeadlessRunner | None = None

    def get(self) -> "HeadlessRunner":
        if self._runner is None:
            os.environ["DAGSTER_HOME"] = str(self._home)
            from media_assets.defs.headless import HeadlessRunner

            self._runner = HeadlessRunner(self._library)
        return self._runner


def _list(library: Library, inbox: Inbox, report: Report, progress: Progress) -> None:
    task = progress.add_task("Listing", total=None)
    found = sweep(
        library.ledger,
        inbox,
        page_size=library.settings.inbox_page_size,
        max_pages=None,
        take_over=False,
        on_page=lambda listed: progress.update(task, completed=listed),
    )
    progress.update(task, total=found.listed, completed=found.listed)
    if found.conflicts:
        library.ledger.forget_waiting(inbox.url)  # with an owner they have other keys
        raise UserError(
            f"{len(found.conflicts)} files have the names of other files that came from another folder, for example "
            f"{found.conflicts[0]}. Give these an owner of their own: --owner NAME.",
            EXIT_USAGE,
        )
    report.listed, report.new, report.sidecars = found.listed, found.new, found.sidecars


def _work(
    library: Library, inbox: Inbox, runner: _Runner, wanted: Sequence[str], report: Report, progress: Progress
) -> None:
    settings = library.settings
    while plan_batches(  # a bounded number of files at a time, which is meant for ticks
        library.ledger,
        inbox.url,
        lambda: runner.get().positions(),
        max_files=settings.batch_max_files,
        max_bytes=settings.batch_max_bytes,
    ):
        continue
    claimed = claim(library, inbox.url, lambda: runner.get().positions())
    batches = claimed.batches
    report.failures += [batch.message for batch in claimed.given_up if batch.message is not None]
    lacking = library.ledger.lacking(inbox.url, wanted)
    total = sum(batch.file_count for batch in batches) + len(lacking)
    report.unchanged = max(0, report.listed - report.sidecars - total)
    if not total:
        return
    task = progress.add_task("Processing", total=total)

    def note(outcome: FileOutcome) -> None:
        progress.advance(task)
        report.note(outcome)

    library.on_outcome = note
    for batch in batches:
        # Where a sidecar changed, only `metadata` is computed again, whatever assets are asked for.
        _run_batch(library, runner, batch, {METADATA} if batch.is_refresh else {ORIGINAL, *wanted}, report)
    for media_ids, assets in contiguous_ranges(lacking, runner.get().positions(), settings.batch_max_files):
        if (message := runner.get().run_range(media_ids[0], media_ids[-1], assets)) is not None:
            report.failures.append(message)
    progress.update(task, completed=total)
    report.left = max(0, total - sum(report.states.values()))


def _analyze(
    library: Library, inbox: Inbox, runner: _Runner, wanted: Sequence[str], report: Report, progress: Progress
) -> None:
    """Look at the previews of what has no result yet."""
    lacking = library.ledger.unanalyzed(wanted, inbox=inbox.url)
    if not lacking:
        return
    task = progress.add_task("Analysing", total=len(lacking))

    def note(files: int) -> None:
        report.analyzed += files
        progress.advance(task, files)

    library.on_analyzed = note
    failures: Counter[str] = Counter()
    for media_ids, assets in contiguous_ranges(lacking, runner.get().positions(), library.settings.batch_max_files):
        if (message := runner.get().run_analysis(media_ids[0], media_ids[-1], assets)) is not None:
            failures[message] += 1
    report.failures += failures
    progress.update(task, completed=len(lacking))


def _share(library: Library, inbox: Inbox, runner: _Runner, report: Report, progress: Progress) -> None:
    """Make the copies that may leave the library, of owners who consent; what was found decides what is covered."""
    due = files_to_share(library, inbox=inbox.url)
    if not due:
        return
    task = progress.add_task("Covering", total=len(due))

    def note(outcomes: Sequence[SharedOutcome]) -> None:
        report.copies.update(one.state or "failed" for one in outcomes)
        progress.advance(task, len(outcomes))

    library.on_shared = note
    failures: Counter[str] = Counter()
    lacking = {media_id: {SHAREABLE} for media_id in due}
    for media_ids, _ in contiguous_ranges(lacking, runner.get().positions(), library.settings.batch_max_files):
        if (message := runner.get().run_sharing(media_ids[0], media_ids[-1])) is not None:
            failures[message] += 1
    report.failures += failures
    progress.update(task, completed=len(due))


def _compact(library: Library, runner: _Runner, report: Report, progress: Progress, *, group: bool) -> None:
    """Bring the catalog up to date, if there is anything new."""
    if not library.pending_parts():
        return
    task = progress.add_task("Catalog", total=1)
    report.failures += compact_and_group(library, runner.get(), group=group)
    progress.advance(task)


def _run_batch(library: Library, runner: _Runner, batch: Batch, assets: set[str], report: Report) -> None:
    members = library.ledger.pending_members(batch.batch_id)
    if not members:  # newer versions of all its files wait in other batches
        runner.get().close_batch(batch)
        return
    try:
        message = runner.get().run_batch(batch, members, assets)
    except KeyboardInterrupt:  # no death of its process: nothing is suspected
        library.ledger.reopen_batch(batch, message="Stopped.", not_before=datetime.now(UTC), max_attempts=None)
        raise
    if message is not None:
        report.failures.append(message)
        library.ledger.reopen_batch(batch, message=message, not_before=datetime.now(UTC), max_attempts=None)


def _print(report: Report) -> None:
    done = ", ".join(f"{count} {state}" for state, count in sorted(report.states.items())) or "nothing to do"
    if report.analyzed:
        done += f"; {report.analyzed} analysed"
    if report.copies:
        done += "; copies: " + ", ".join(f"{count} {state}" for state, count in sorted(report.copies.items()))
    left = f", {report.left} not reached" if report.left else ""
    counted = f"{report.listed} files listed, {report.unchanged} unchanged"
    if report.sidecars:
        counted += f", {report.sidecars} sidecar{'' if report.sidecars == 1 else 's'}"
    console.print(f"{counted}; {done}{left}; {report.seconds} s.")
    if report.copies_withdrawn:
        console.print(f"{report.copies_withdrawn} copies were withdrawn.")
    if report.left_inbox:
        console.print(f"{report.left_inbox} uploads left the inbox.")
    if report.sidecars_without_media:
        console.print(f"{report.sidecars_without_media} sidecars have no media file: media-assets status lists them.")
    if report.rejected:
        print_table(
            ("rejected file", "reason", "message"),
            [(row["source_key"], row["reason_code"], row["message"]) for row in report.rejected[:_SHOWN_REJECTS]],
        )
        if len(report.rejected) > _SHOWN_REJECTS:
            console.print(f"... and {len(report.rejected) - _SHOWN_REJECTS} more: media-assets rejected")
    for failure in report.failures:
        progress_console.print(f"failed: {failure}", style="red", markup=False)
    console.print(f"Library: {report.library}", markup=False, soft_wrap=True)
