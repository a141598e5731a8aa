"""``media-assets export``: a copy of the tables for analysts, without what identifies people, places and files."""

from collections.abc import Iterator
from pathlib import Path

import click

from media_assets.commands.existing import open_existing
from media_assets.commands.output import (
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
from media_assets.media.places import PlaceDataError
from media_assets.pipeline.export.export import MANIFEST, ExportError, ExportOptions, ExportReport, export_tables
from media_assets.pipeline.export.policy import PRIVACY, TIMES, Privacy, Times, UndecidedColumnError
from media_assets.pipeline.export.roles import options_for
from media_assets.settings import Settings


@click.command()
@click.option(
    "--privacy",
    type=click.Choice(PRIVACY),
    help="How exactly the copy tells where pictures were taken; required without a role of setting export_roles.",
)
@click.option(
    "--to",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="A new or empty folder.",
)
@click.option(
    "--times", type=click.Choice(TIMES), help="How exactly it tells when.  [default: that of the role, else exact]"
)
@click.option(
    "--k",
    type=click.IntRange(min=1),
    help="Places and cameras of fewer files count as rare.  [default: that of the role, else 5]",
)
@click.option("--suppress-rare", is_flag=True, help="Leave rare places out, instead of warning of them.")
@click.option("--role", metavar="NAME", help="For whom the copy is; it never tells more than setting export_roles.")
@library_option
@json_option
@reports_errors
def export(
    privacy: Privacy | None,
    folder: Path,
    times: Times | None,
    k: int | None,
    suppress_rare: bool,
    role: str | None,
    library: str | None,
    as_json: bool,
) -> None:
    """Write a copy of the tables that may be given to analysts: one Parquet file for each table.

    Names, texts, captions, hashes, vectors, file names and paths are left out at every level; files and owners get
    pseudonyms that are new in each copy. MANIFEST.json says what became of every column.

    Example: media-assets export --privacy city --to for-analysts
    """
    settings = Settings.load(library=library)
    opened = open_existing(settings)
    try:
        options = options_for(settings, role=role, privacy=privacy, times=times, k=k, suppress_rare=suppress_rare)
        report = export_tables(opened, folder.absolute(), options)
    except ExportError as error:
        raise UserError(str(error), EXIT_USAGE) from error
    except (PlaceDataError, UndecidedColumnError) as error:
        raise UserError(str(error)) from error
    finally:
        opened.close()
    for warning in _warnings(report, options):
        progress_console.print(warning, markup=False, style="yellow", soft_wrap=True)
    if as_json:
        rare = report.rare
        print_json(
            {
                "folder": str(report.folder),
                "privacy": options.privacy,
                "times": options.times,
                "k": options.k,
                "rows": dict(report.rows),
                "size_bytes": report.size_bytes,
                "rare_places": None if rare is None else rare.places,
                "rare_place_files": None if rare is None else rare.files,
                "rare_places_suppressed": None if rare is None else rare.suppressed,
                "single_owner_places": None if rare is None else rare.single_owner,
            }
        )
        return
    print_table(("table", "rows"), report.rows.items())
    console.print(
        f"{report.folder}: {len(report.rows)} tables; {MANIFEST} says what became of each column.",
        markup=False,
        soft_wrap=True,
    )


def _warnings(report: ExportReport, options: ExportOptions) -> Iterator[str]:
    """Say what still gives people away, in numbers only."""
    rare = report.rare
    if options.privacy == "exact":
        yield "Positions are exact: homes can be read from them. --privacy city tells the city only."
    if options.times == "exact":
        yield "Times are exact: who has one of the pictures finds its row. --times day tells the day only."
    if rare is not None and rare.places and not rare.suppressed:
        coarser = "none" if options.privacy == "country" else "country"
        places, files = _counted(rare.places, "place"), _counted(rare.files, "file")
        yield (
            f"{places} with fewer than {options.k} files each, {files} in all: who knows that somebody was there finds "
            f"the pictures. Use --suppress-rare, or --privacy {coarser}."
        )
    if rare is not None and rare.single_owner and not rare.suppressed:
        yield f"In {_counted(rare.single_owner, 'place')}, all files are of one owner."


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
