"""``media-assets review``: which files wait for a person before they may be published, and what that person says."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Literal, ParamSpec, TypeVar

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
    reports_errors,
)
from media_assets.models.errors import ModelError
from media_assets.pipeline.library import Library
from media_assets.pipeline.review_queue import ReviewError, ReviewItem, decide, review_items
from media_assets.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")


class _ListsByDefault(click.Group):
    """`media-assets review` alone lists the queue."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_help = bool({"-h", "--help"} & set(args[:1]))
        return super().parse_args(ctx, args if is_help or (args and args[0] in self.commands) else ["list", *args])


@click.group(cls=_ListsByDefault)
def review() -> None:
    """Look at what the content filter holds back, and decide. Without a command the queue is listed.

    What is rated `review` waits for you, what is rated `sensitive` is blocked, unless settings publish_review and
    publish_sensitive say otherwise. Your word about a file counts until its bytes are replaced by another upload.
    """


def _reports_review_errors(command: Callable[P, R]) -> Callable[P, R]:
    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except ReviewError as error:
            raise UserError(str(error), EXIT_USAGE) from error
        except ModelError as error:
            raise UserError(str(error)) from error

    return reports_errors(wrapped)


@review.command("list")
@library_option
@click.option("--owner", metavar="NAME", help="Only files of this owner.")
@click.option("--all", "show_all", is_flag=True, help="Also what is blocked, decided, or not to be published at all.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Rows at most.")
@json_option
@_reports_review_errors
def list_queue(library: str | None, owner: str | None, show_all: bool, limit: int, as_json: bool) -> None:
    """List the files that wait for a decision, those with the highest scores first."""
    with _opened(library) as opened:
        items = review_items(opened, owner=owner)
        shown = items if show_all else [one for one in items if one.needs_review]
        looks = {one.media_id: _look_at(opened, one) for one in shown[:limit]}
    if as_json:
        print_json([_summary(one, looks[one.media_id]) for one in shown[:limit]])
        return
    if not shown:
        console.print(_nothing(items, show_all=show_all), markup=False)
        return
    print_table(
        ("media_id", "owner", "level", "score", "at s", "state", "look at"),
        [
            (one.media_id, one.owner, one.level, _short(one.score), one.frame_s, _state(one), looks[one.media_id])
            for one in shown[:limit]
        ],
    )
    if len(shown) > limit:
        console.print(f"... and {len(shown) - limit} more (--limit).")
    if any(one.needs_review for one in shown):
        console.print("Decide with: media-assets review allow|block MEDIA_ID --by NAME", markup=False)


_MEDIA_IDS = click.argument("media_ids", nargs=-1, required=True, metavar="MEDIA_ID...")
_BY = click.option("--by", "recorded_by", metavar="NAME", required=True, help="Who decides; it is recorded.")
_NOTE = click.option("--note", metavar="TEXT", help="Why; it is recorded.")


@review.command()
@_MEDIA_IDS
@_BY
@_NOTE
@library_option
@_reports_review_errors
def allow(media_ids: Sequence[str], recorded_by: str, note: str | None, library: str | None) -> None:
    """Allow the publication of files, whatever they are rated.

    A copy is still made only where the owner has consented to publication, and only if no face is left in it.
    """
    _decide(library, media_ids, "allow", recorded_by, note)


@review.command()
@_MEDIA_IDS
@_BY
@_NOTE
@library_option
@_reports_review_errors
def block(media_ids: Sequence[str], recorded_by: str, note: str | None, library: str | None) -> None:
    """Forbid the publication of files, whatever they are rated. A copy that is public is withdrawn."""
    _decide(library, media_ids, "block", recorded_by, note)


@contextmanager
def _opened(library: str | None) -> Iterator[Library]:
    opened = open_existing(Settings.load(library=library))
    try:
        yield opened
    finally:
        opened.close()


def _decide(
    library: str | None, media_ids: Sequence[str], decision: Literal["allow", "block"], by: str, note: str | None
) -> None:
    with _opened(library) as opened:
        made = decide(opened, tuple(media_ids), decision, recorded_by=by, note=note)
    done = "Allowed" if decision == "allow" else "Blocked"
    follows = (
        "Copies are made by the next `media-assets process`, or by the sensor."
        if decision == "allow"
        else "Copies that are public are withdrawn by the next `media-assets process`, or by the sensor."
    )
    console.print(f"{done}: {len(made)} file{'' if len(made) == 1 else 's'}. {follows}", markup=False)


def _short(score: float | None) -> float | None:
    return None if score is None else round(score, 3)


def _state(item: ReviewItem) -> str:
    """One or two words for people."""
    if item.said is not None:
        return f"{'allowed' if item.said.decision == 'allow' else 'blocked'} by {item.said.recorded_by}"
    if item.is_awaited:
        return "to be rated"
    words = {"allow": "allowed by policy", "block": "blocked by policy", "waiting": "waits for you"}
    return words[item.decision] if item.may_publish else "not to be published"


def _nothing(items: Sequence[ReviewItem], *, show_all: bool) -> str:
    """Say why the list is empty, so that "nothing waits" is not taken for "nothing was looked at"."""
    if show_all or not items:
        return "Nothing to review: no file is flagged, unrated or decided about."
    states = Counter("decided" if one.said is not None else _state(one) for one in items)
    told = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    return f"Nothing waits for you. Beside that: {told} (--all shows them)."


def _look_at(library: Library, item: ReviewItem) -> str | None:
    """Where a person finds the picture: a path, or an address that stops working after ``url_expiry_s``."""
    if item.preview is None:
        return None
    local = library.store.local_path(item.preview)
    return str(local) if local else library.store.presigned_url(item.preview, library.settings.url_expiry_s)


def _summary(item: ReviewItem, look_at: str | None) -> dict[str, object]:
    said = item.said
    return {
        "media_id": item.media_id,
        "owner": item.owner,
        "input_version": item.input_version,
        "level": item.level,
        "score": item.score,
        "frame_s": item.frame_s,
        "decision": item.decision,
        "needs_review": item.needs_review,
        "may_publish": item.may_publish,
        "is_awaited": item.is_awaited,
        "decided_by": said.recorded_by if said is not None else None,
        "decided_at": said.recorded_at if said is not None else None,
        "note": said.note if said is not None else None,
        "look_at": look_at,
    }
