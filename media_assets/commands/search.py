"""``media-assets search``: by words, by look, by time, place and label."""

import re
from datetime import datetime
from pathlib import Path
from typing import Literal

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
from media_assets.models.errors import ModelError
from media_assets.pipeline.search.dates import Period, parse_period
from media_assets.pipeline.search.records import (
    BadRequestError,
    Circle,
    Filters,
    Hit,
    Reason,
    SearchAnswer,
    SearchError,
    SearchRequest,
)
from media_assets.pipeline.search.search import search as search_library
from media_assets.settings import Settings
from media_assets.storage.objects import ObjectStore

_MAY_BE_ID = re.compile(r"[a-z0-9_-]+")
_HALF_ROUND_KM = 20_100  # half of the way around the Earth: everywhere
_MAX_WHY = 60  # characters of a value that the table shows


def _period(ctx: click.Context, param: click.Parameter, value: str | None) -> Period | None:
    """Read a year, a month, a day or a minute."""
    if value is None:
        return None
    try:
        return parse_period(value)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(str(error), ctx, param) from None


def _circle(ctx: click.Context, param: click.Parameter, value: str | None) -> Circle | None:
    """Read a point and a radius."""
    if value is None:
        return None
    try:
        latitude, longitude, radius = (float(part) for part in value.split(","))
    except ValueError:
        message = f'{value!r} is no place; write latitude, longitude and km, as "48.85,2.35,10"'
        raise click.BadParameter(message, ctx, param) from None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180 and 0 < radius <= _HALF_ROUND_KM):
        message = f"latitude is -90 to 90, longitude -180 to 180, the radius 0 to {_HALF_ROUND_KM} km"
        raise click.BadParameter(message, ctx, param)
    return Circle(latitude, longitude, radius)


@click.command()
@click.argument("text", required=False)
@click.option("--like", metavar="FILE|MEDIA_ID", help="Pictures that look like this one, most alike first.")
@click.option(
    "--from", "since", metavar="DATE", callback=_period, help="Captured then or later: 2024, 2024-05, 2024-05-03."
)
@click.option(
    "--to", "until", metavar="DATE", callback=_period, help="Captured then or earlier; 2024 includes all of that year."
)
@click.option(
    "--near", metavar="LAT,LON,KM", callback=_circle, help='Captured within so many km of a point: "48.85,2.35,10".'
)
@click.option("--place", metavar="NAME", help="Captured in this city, region or country.")
@click.option("--label", "labels", metavar="LABEL", multiple=True, help="Shows this object or scene; repeat for more.")
@click.option("--owner", metavar="NAME", help="Only files of this owner.")
@click.option("--type", "media_type", type=click.Choice(["image", "video"]), help="Only pictures or only videos.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Results at most.")
@click.option(
    "--exact/--approximate",
    "exact",
    default=None,
    help="Compare all vectors, or ask an index.  [default: exact up to 50,000 vectors]",
)
@library_option
@json_option
@reports_errors
def search(
    text: str | None,
    like: str | None,
    since: Period | None,
    until: Period | None,
    near: Circle | None,
    place: str | None,
    labels: tuple[str, ...],
    owner: str | None,
    media_type: Literal["image", "video"] | None,
    limit: int,
    exact: bool | None,
    library: str | None,
    as_json: bool,
) -> None:
    """Find pictures and videos by words, by look, or by time, place and label alone.

    Words are looked for in labels, captions, text in the picture, titles, descriptions, keywords, file names, places
    and dates ("may 2024"). A model that reads text (tier hub) also compares what they mean with what pictures show.

    Example: media-assets search "dog beach 2024"
    """
    filters = Filters(since, until, near, place, labels, owner, media_type)
    if text is None and like is None and filters == Filters():
        raise click.UsageError("Name words, --like, or a filter such as --from or --label.")
    liked = _liked(like)
    settings = Settings.load(library=library)
    opened = open_existing(settings)
    try:
        request = SearchRequest(text, liked, filters, limit, _how(exact))
        answer = search_library(opened, request, _tell)
        if as_json:
            print_json(_plain(answer, opened.store, opened.settings.url_expiry_s))
        else:
            _show(answer)
    except BadRequestError as error:
        raise UserError(str(error), EXIT_USAGE) from error
    except (SearchError, ModelError) as error:
        raise UserError(str(error)) from error
    finally:
        opened.close()


def _liked(like: str | None) -> str | Path | None:
    """Tell files from media ids."""
    if like is None or Path(like).is_file():
        return None if like is None else Path(like)
    if not _MAY_BE_ID.fullmatch(like):
        raise click.BadParameter(f"{like} is no file and no media id. Check the path.", param_hint="--like")
    return like


def _how(exact: bool | None) -> Literal["exact", "approximate"] | None:
    return None if exact is None else "exact" if exact else "approximate"


def _tell(message: str) -> None:
    progress_console.print(message, markup=False)


def _show(answer: SearchAnswer) -> None:
    for note in answer.notes:
        progress_console.print(note, markup=False)
    if not answer.hits:
        console.print("Nothing was found.")
        return
    print_table(
        ("rank", "score", "media_id", "file_name", "captured_at", "why"),
        (
            (
                hit.rank,
                hit.score,
                hit.media_id,
                hit.file_name,
                hit.captured_at,
                "; ".join(map(_why, hit.reasons)) or None,
            )
            for hit in answer.hits
        ),
    )
    console.print(_summary(answer), markup=False)


def _why(reason: Reason) -> str:
    value = reason.value if len(reason.value) <= _MAX_WHY else f"{reason.value[: _MAX_WHY - 1]}\N{HORIZONTAL ELLIPSIS}"
    score = f" {reason.score:.2f}" if reason.score is not None and reason.field not in ("embedding", "phash") else ""
    frame = f" at {reason.frame_s:.1f} s" if reason.frame_s is not None else ""
    return f"{reason.field}: {value}{score}{frame}"


def _summary(answer: SearchAnswer) -> str:
    found = f"{len(answer.hits)} shown" if answer.found is None else f"{len(answer.hits)} of {answer.found} shown"
    parts = [found, f"ranked by {answer.ranked_by}"]
    if answer.vectors is not None:
        used = answer.vectors
        parts.append(f"{used.index} search in {used.count} vectors of {used.model}")
    return ", ".join(parts) + "."


def _plain(answer: SearchAnswer, store: ObjectStore, expires_s: int) -> dict[str, object]:
    return {
        "ranked_by": answer.ranked_by,
        "matched": answer.matched,
        "found": answer.found,
        "model": answer.vectors.model if answer.vectors else None,
        "vectors": answer.vectors.count if answer.vectors else None,
        "index": answer.vectors.index if answer.vectors else None,
        "notes": list(answer.notes),
        "results": [_plain_hit(hit, store, expires_s) for hit in answer.hits],
    }


def _plain_hit(hit: Hit, store: ObjectStore, expires_s: int) -> dict[str, object]:
    local = store.local_path(hit.preview) if hit.preview is not None else None
    signed = store.presigned_url(hit.preview, expires_s) if hit.preview is not None else None
    captured: datetime | None = hit.captured_at
    return {
        "rank": hit.rank,
        "score": hit.score,
        "media_id": hit.media_id,
        "owner": hit.owner,
        "file_name": hit.file_name,
        "media_type": hit.media_type,
        "captured_at": captured.isoformat() if captured is not None else None,
        "preview": hit.preview,
        "preview_path": str(local) if local is not None else None,
        "preview_url": signed,
        "why": [
            {"field": one.field, "value": one.value, "score": one.score, "frame_s": one.frame_s} for one in hit.reasons
        ],
    }
