"""``media-assets gallery``: look at what is in a library, as a page for the browser or as contact sheets."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click

from media_assets.commands.existing import open_existing
from media_assets.commands.output import UserError, console, json_option, library_option, print_json, reports_errors
from media_assets.gallery.contents import Addresses, Contents, fetch, read_contents, summary
from media_assets.pipeline.library import Library
from media_assets.settings import Settings
from media_assets.storage.objects import ObjectStore

KINDS = ("thumb_150", "thumb_300", "thumb_600", "thumb_1200", "preview")
_DEFAULT_PAGE = Path("gallery.html")
_SHEET_QUALITY = 88


@click.command()
@library_option
@click.option(
    "--out",
    metavar="FILE.html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The page to write.  [default: gallery.html, unless only contact sheets are asked for]",
)
@click.option(
    "--contact-sheet",
    metavar="FILE.jpg",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write all thumbnails into one picture; above 200 files also FILE-2.jpg and so on.",
)
@click.option("--owner", metavar="NAME", help="Only files of this owner.")
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="Files at most.")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default="thumb_300",
    show_default=True,
    help="Rendition that is shown in the grid.",
)
@click.option(
    "--embed",
    is_flag=True,
    help="Put the thumbnails into the page and link nothing: a file that can be sent to somebody.",
)
@json_option
@reports_errors
def gallery(
    library: str | None,
    out: Path | None,
    contact_sheet: Path | None,
    owner: str | None,
    limit: int,
    kind: str,
    embed: bool,
    as_json: bool,
) -> None:
    """Show the files of a library by time of capture: a page to click through, or contact sheets.

    The page needs no server and runs no script. It finds pictures of a local library by relative path, so keep page and
    library where they are to each other; those of a bucket by public address, or by signed ones that stop working after
    a while (setting url_expiry_s).

    Example: media-assets gallery --library demo/library --out gallery.html
    """
    if contact_sheet is not None and contact_sheet.suffix.lower() not in (".jpg", ".jpeg"):
        raise click.BadParameter("the name must end in .jpg", param_hint="--contact-sheet")
    settings = Settings.load(library=library)
    opened = open_existing(settings)
    try:
        contents = read_contents(opened.store, kind=kind, owner=owner, limit=limit)
        page = out or (_DEFAULT_PAGE if contact_sheet is None else None)
        if page is not None:
            _write_page(page, opened, contents, embed=embed)
        sheets = (
            [] if contact_sheet is None else _write_sheets(contact_sheet, opened.store, contents, settings.library_url)
        )
    finally:
        opened.close()
    if as_json:
        print_json(
            {
                "library": settings.library_url,
                "page": None if page is None else str(page.absolute()),
                "contact_sheets": [str(path.absolute()) for path in sheets],
                "files": contents.total,
                "shown": len(contents.items),
                "videos": sum(item.is_video for item in contents.items),
                "without_thumbnail": sum(item.thumb is None for item in contents.items),
                "rejected": contents.rejected,
            }
        )
        return
    console.print(f"{summary(contents)}.", markup=False)
    for path in ([page] if page is not None else []) + sheets:
        console.print(str(path.absolute()), markup=False, soft_wrap=True)


def _write_page(path: Path, library: Library, contents: Contents, *, embed: bool) -> None:
    from media_assets.gallery.page import gallery_page

    store, settings = library.store, library.settings
    thumbs = fetch(store, [item.thumb for item in contents.items if item.thumb is not None]) if embed else None
    addresses = Addresses(store, path, settings.url_expiry_s)
    text = gallery_page(contents, addresses, title=settings.library_url, made_at=datetime.now(UTC), embedded=thumbs)
    # Paths may hold bytes that are no UTF-8.
    _write(path, lambda unfinished: unfinished.write_bytes(text.encode("utf-8", "replace")))


def _write_sheets(first: Path, store: ObjectStore, contents: Contents, title: str) -> list[Path]:
    from media_assets.gallery.sheets import contact_sheets, page_paths

    paths = page_paths(first, len(contents.items))
    for path, sheet in zip(paths, contact_sheets(store, contents, title=title), strict=True):
        _write(path, lambda unfinished, sheet=sheet: sheet.save(unfinished, "JPEG", quality=_SHEET_QUALITY))  # type: ignore[misc]
    return paths


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole or not at all.

    Raises:
        UserError: It cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        write(unfinished)
        unfinished.replace(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}). Name another file with --out or --contact-sheet."
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
