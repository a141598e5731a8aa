"""``python -m media_assets.demo``: the main job on real sample photos, through a real Dagster daemon and code server.

Builds a sample library, starts the service on an empty library, copies the samples into its inbox as an uploader
would, waits until the sensor has processed them, shows the result and compares it with what must come out.
"""

import os
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.progress import Progress

from media_assets.commands.output import UserError, console, print_table, progress_console, reports_errors
from media_assets.demo.sample_library import SampleFile, build_sample_library
from media_assets.pipeline.analysis_recipe import vision_recipe_of
from media_assets.pipeline.assets import ANALYZE_ASSETS, REJECTED_TABLE
from media_assets.pipeline.library import Library
from media_assets.pipeline.sharing_selection import files_to_share
from media_assets.service import Service, ServiceError
from media_assets.settings import Settings
from media_assets.storage import catalog
from media_assets.storage.consents import ConsentRecord, record_consent
from media_assets.storage.query import run_query

_MARKER = ".media_assets_demo"
_TIMEOUT_S = 600.0
_PUBLISHER = "bob"  # lets copies be made that may leave the library; nobody else does
_QUERY = """\
select f.owner, f.file_name, f.format, f.width_px || ' x ' || f.height_px as size_px,
       m.captured_at_local, m.utc_offset_minutes, m.camera_model, m.place_city, m.place_country_code as country,
       count(r.kind) as renditions
from files f join metadata m using (media_id) left join renditions r using (media_id)
group by all order by f.owner, f.file_name"""

_SEEN = """\
select f.owner, f.file_name, any_value(s.caption) as caption, round(any_value(a.quality_score), 2) as quality,
       (select count(*) from faces where media_id = f.media_id) as faces,
       (select string_agg(text, ' ') from texts where media_id = f.media_id)[:40] as "text"
from files f left join scenes s on s.media_id = f.media_id and s.rank = 1 left join appearance a on a.media_id =
f.media_id
group by all order by f.owner, f.file_name"""

_SHARED = """\
select f.file_name, s.state, s.faces_covered, s.faces_left, s.tags_left, s.rounds, s.path
from shareable s join files f using (media_id) order by f.file_name"""


@click.command()
@click.option("--folder", default="demo", show_default=True, type=click.Path(path_type=Path), help="Where to work.")
@reports_errors
def main(folder: Path) -> None:
    """Run the demo."""
    started = time.monotonic()
    samples_dir, library_dir = _fresh(folder)
    console.print("[bold]1.[/bold] Building a sample library from photos that installed packages ship ...")
    samples = build_sample_library(samples_dir)
    console.print(f"   {len(samples)} files in {samples_dir}", markup=False)
    os.environ.setdefault("MEDIA_ASSETS_SENSOR_INTERVAL_S", "5")
    # The one bundled model that is fetched when it is first needed (144 MB, with npm); the demo does without.
    os.environ.setdefault("MEDIA_ASSETS_OBJECTS_MODEL", "none")
    settings = Settings.load(library=str(library_dir))
    library = Library(settings)
    library.ensure_inbox()
    record_consent(
        library.store,
        ConsentRecord(
            owner=_PUBLISHER,
            purpose="publication",
            granted=True,
            recorded_by="demo",
            recorded_at=datetime.now(UTC),
            note="The sample photos are free to use.",
        ),
    )
    try:
        console.print("[bold]2.[/bold] Starting a Dagster daemon and code server (SQLite instance, local folder) ...")
        with Service(settings) as service:
            console.print("[bold]3.[/bold] Copying the files into the inbox; the sensor does the rest ...")
            for sample in samples:
                _upload(samples_dir / sample.name, Path(settings.inbox_url) / sample.name)
            _wait(library, service, len(samples))
        console.print("[bold]4.[/bold] Everything that was started has been stopped. What happened:")
        wrong = _show(library, settings, samples)
    except ServiceError as error:
        raise UserError(str(error)) from error
    except KeyboardInterrupt:
        raise UserError("Stopped. Everything that was started has been ended.", 130) from None
    finally:
        library.close()
    console.print(f"\nDone in {time.monotonic() - started:.0f} s. Open the UI on this library with:  make serve")
    console.print(f"Look into {library_dir}/renditions and {library_dir}/catalog, or ask:", markup=False)
    console.print(
        f'  .venv/bin/media-assets query --library {library_dir} "from files limit 5"', markup=False, soft_wrap=True
    )
    if wrong:
        raise UserError(f"{len(wrong)} files did not come out as expected: {', '.join(wrong)}")


def _fresh(folder: Path) -> tuple[Path, Path]:
    """Empty the demo's own folder; any other folder is left alone."""
    marker = folder / _MARKER
    if folder.exists() and any(folder.iterdir()) and not marker.exists():
        raise UserError(f"{folder} is not a folder of the demo. Choose another one with --folder.", 2)
    for part in ("samples", "library"):
        shutil.rmtree(folder / part, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    marker.touch()
    return folder / "samples", folder / "library"


def _upload(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, partial)
    partial.rename(target)


def _wait(library: Library, service: Service, expected: int) -> None:
    """Wait until every file has a definite outcome, is analysed, and the catalog shows it."""
    deadline = time.monotonic() + _TIMEOUT_S
    vision = vision_recipe_of(library.settings)
    assets = [asset for asset in ANALYZE_ASSETS if library.settings.analyze and vision.is_on(asset)]
    with Progress(console=progress_console, transient=True) as progress:
        task = progress.add_task("   sensor", total=expected)
        while True:
            service.check()
            counts = library.ledger.counts()
            done = counts.get("accepted", 0) + counts.get("rejected", 0)
            progress.update(task, completed=done)
            is_ingested = done == expected and not library.ledger.unfinished(1)
            is_analyzed = is_ingested and not library.ledger.unanalyzed(assets) and not library.pending_parts()
            if is_analyzed and not files_to_share(library, never_tried=True):
                return
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"Only {done} of {expected} files were processed, and {len(library.ledger.unanalyzed(assets))} not "
                    f"analysed or covered, in {_TIMEOUT_S:.0f} s. The logs in {service.log_dir} say why."
                )
            time.sleep(0.5)


def _show(library: Library, settings: Settings, samples: Sequence[SampleFile]) -> list[str]:
    """Print files, rejects and a query; return the files that came out other than expected."""
    accepted = {row["source_key"]: row for row in catalog.read_current(library.store, "files").to_pylist()}
    rejected = {row["source_key"]: row for row in catalog.read_current(library.store, REJECTED_TABLE).to_pylist()}
    by_id = {row["media_id"]: row["source_key"] for row in accepted.values()}
    lines, wrong = [], []
    for sample in samples:
        row, refusal = accepted.get(sample.name), rejected.get(sample.name)
        state = "accepted" if row else "rejected" if refusal else "missing"
        reason = refusal["reason_code"] if refusal else None
        if (state, reason) != (sample.expected, None if sample.reason_code is None else str(sample.reason_code)):
            wrong.append(sample.name)
        note = refusal["message"] if refusal else sample.note
        if row and row["duplicate_of"]:
            note = f"same bytes as {by_id[row['duplicate_of']]}"
        lines.append((sample.name, state, row["format"] if row else reason, note))
    print_table(("file", "outcome", "format or reason", "note"), lines)
    console.print("\nA query over the Parquet catalog (DuckDB):", style="bold")
    console.print(_QUERY, markup=False, style="dim")
    _print_query(library, settings, _QUERY)
    console.print("\nWhat is to be seen in them:", style="bold")
    _print_query(library, settings, _SEEN)
    console.print(f"\nCopies that may leave the library, of {_PUBLISHER}, who consented:", style="bold")
    _print_query(library, settings, _SHARED)
    return wrong


def _print_query(library: Library, settings: Settings, query: str) -> None:
    result = run_query(library.store, query, settings.state_dir / "query-cache")
    print_table(result.column_names, zip(*(column.to_pylist() for column in result.columns), strict=True))


if __name__ == "__main__":
    sys.exit(main())
