"""The review queue: which files wait for a person, and recording what that person says."""

import uuid
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from media_assets.pipeline.consent import read_consents
from media_assets.pipeline.library import Library
from media_assets.pipeline.review import Decision, Level, PublicationGate, read_gate
from media_assets.storage import catalog
from media_assets.storage.present_table import read_present
from media_assets.storage.reviews import ReviewDecision, record_decision, time_of_decision
from media_assets.storage.tables import PartWriter

REVIEWS = "reviews"
CODE_VERSION = "review.1"


class ReviewError(Exception):
    """What was said cannot be recorded; the message says what to do."""


@dataclass(frozen=True)
class ReviewItem:
    """A file, and what stands between it and publication.

    Attributes:
        media_id: The file.
        owner: Whose it is.
        input_version: SHA-256 of its present bytes.
        decision: What holds now.
        level: What it is rated.
        score: Score of that rating, 0-1; ``None``: it has none.
        frame_s: Time of the frame with that score; ``None``: a picture.
        is_awaited: Whether the rating itself is still to come.
        said: The word of a person about these bytes.
        preview: Key of a rendition to look at; ``None``: there is none.
        may_publish: Whether the owner has consented to publication.
    """

    media_id: str
    owner: str
    input_version: str
    decision: Decision
    level: Level
    score: float | None
    frame_s: float | None
    is_awaited: bool
    said: ReviewDecision | None
    preview: str | None
    may_publish: bool

    @property
    def needs_review(self) -> bool:
        """Whether a person is asked: the owner wants to publish, and the policy leaves it to people."""
        return self.may_publish and self.decision == "waiting" and not self.is_awaited


def review_items(library: Library, *, owner: str | None = None) -> list[ReviewItem]:
    """Return all files that are flagged, not rated, or decided about; those with the highest scores first.

    Args:
        library: The library.
        owner: Only files of this owner.

    Raises:
        StorageError: A table, the decisions or the register cannot be read.
        SettingsError: The policy file is not usable.
        ModelError: The settings name a model that does not exist.
    """
    gate, consents = read_gate(library), read_consents(library)
    files = read_present(library.store, "files", ("media_id", "owner", "input_version"))
    if owner is not None:
        files = files.filter(pc.equal(files["owner"], pa.scalar(owner)))
    rows = [row for row in files.to_pylist() if _is_remarkable(gate, row)]
    previews = _previews(library, {row["media_id"] for row in rows})
    items = [
        _item(gate, row, previews.get(row["media_id"]), consents.allows(row["owner"], "publication")) for row in rows
    ]
    return sorted(items, key=lambda one: (-(one.score or 0.0), one.media_id))


def decide(
    library: Library,
    media_ids: tuple[str, ...],
    decision: Literal["allow", "block"],
    *,
    recorded_by: str,
    note: str | None = None,
) -> list[ReviewDecision]:
    """Record what a person says about the present bytes of files: durably, and in table ``reviews``.

    Args:
        library: The library.
        media_ids: The files, each accepted.
        decision: What is said.
        recorded_by: Who says it.
        note: Why.

    Returns:
        What was recorded, in the order of ``media_ids``.

    Raises:
        ReviewError: A file is unknown or was never accepted; nothing is recorded then.
        StorageError: The store refused. What was recorded stays; saying it again does no harm.
    """
    if not recorded_by.strip():
        raise ReviewError("A decision needs the name of who decides. Give it with --by.")
    wanted = list(dict.fromkeys(media_ids))
    entries = library.ledger.entries(wanted)
    versions = {one: entries[one].sha256 for one in wanted if one in entries}
    if unknown := [one for one in wanted if versions.get(one) is None]:
        raise ReviewError(
            f"{unknown[0]} is no accepted file of this library. Copy a media_id from `media-assets review list --all`."
        )
    at = time_of_decision(library.store, wanted)
    made = [
        ReviewDecision(
            media_id=one,
            owner=entries[one].owner,
            input_version=versions[one] or "",
            decision=decision,
            recorded_by=recorded_by.strip(),
            recorded_at=at,
            note=note or None,
        )
        for one in wanted
    ]
    rows: dict[str, list[dict[str, Any]]] = {}
    for one in made:
        record_decision(library.store, one)  # first: this is what counts, the rows only tell of it
        rows.setdefault(entries[one.media_id].month, []).append(_row(one))
    writer = PartWriter(library.store, f"review-{uuid.uuid4().hex}")
    for month, of_month in sorted(rows.items()):
        writer.append(REVIEWS, month, of_month)
    return made


def _row(decision: ReviewDecision) -> dict[str, Any]:
    return {
        **decision.model_dump(exclude={"format"}),
        "code_version": CODE_VERSION,
        "model": None,
        "computed_at": decision.recorded_at,
    }


def _is_remarkable(gate: PublicationGate, row: dict[str, Any]) -> bool:
    media_id, version = row["media_id"], row["input_version"]
    return gate.said(media_id, version) is not None or gate.level(media_id, version) != "harmless"


def _item(gate: PublicationGate, row: dict[str, Any], preview: str | None, may_publish: bool) -> ReviewItem:
    media_id, version = row["media_id"], row["input_version"]
    rating = gate.rating(media_id, version)
    return ReviewItem(
        media_id=media_id,
        owner=row["owner"],
        input_version=version,
        decision=gate.decision(media_id, version),
        level=gate.level(media_id, version),
        score=rating.score if rating is not None else None,
        frame_s=rating.frame_s if rating is not None else None,
        is_awaited=gate.is_awaited(media_id, version),
        said=gate.said(media_id, version),
        preview=preview,
        may_publish=may_publish,
    )


def _previews(library: Library, media_ids: set[str]) -> dict[str, str]:
    """Keys of the previews of files, as far as the catalog knows them."""
    rows = catalog.read_current(library.store, "renditions", ("media_id", "kind", "path"))
    previews = rows.filter(pc.equal(rows["kind"], pa.scalar("preview"))).to_pylist()
    return {row["media_id"]: row["path"] for row in previews if row["media_id"] in media_ids}
