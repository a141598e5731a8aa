"""Which files get a copy that may leave the library, which copies have to go, and which results are out of date.

Pure decisions over the ledger, the consents of owners and the decisions of reviewers.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from media_assets.models.vision_recipe import FACES, TEXTS
from media_assets.pipeline.assets import SHAREABLE, code_version
from media_assets.pipeline.consent import Consents, read_consents
from media_assets.pipeline.library import Library
from media_assets.pipeline.liveness import is_dead_holder
from media_assets.pipeline.recipe import Recipe, recipe_of
from media_assets.pipeline.review import PublicationGate, read_gate
from media_assets.pipeline.selection import RunIdentity
from media_assets.pipeline.sharing_outcomes import (
    REVIEW_BLOCKED,
    REVIEW_WAITING,
    TEXTS_NOT_READ,
    ShareState,
    SharingItem,
)
from media_assets.pipeline.skips import NO_CONSENT
from media_assets.storage.ledger_copies import SharedCopy, ShareRow

_UNKNOWN = (None, NO_CONSENT)
"""Versions of faces and texts that were not looked for."""

_ABANDONED_AFTER = timedelta(hours=1)
"""Age of a copy that is being stored, after which it is given up where nobody can tell whether the process lives."""


@dataclass(frozen=True)
class Verdict:
    """What is to become of a file.

    Attributes:
        state: ``published``: a copy is to be made. ``None``: its analysis comes first.
        reason: Why there will be no copy, as a code.
        version: Version of the result; what it ends with decides whether a file is taken up again without being asked.
        tells_location: Whether the owner lets the place be told.
    """

    state: ShareState | None
    reason: str | None
    version: str
    tells_location: bool = False


class SharingRules:
    """What decides about copies at one moment.

    Args:
        recipe: How copies are made.
        consents: What owners have allowed.
        gate: What reviewers have decided.
    """

    def __init__(self, recipe: Recipe, consents: Consents, gate: PublicationGate) -> None:
        self._recipe = recipe
        self._code_version = code_version(SHAREABLE, recipe)
        self._consents = consents
        self._gate = gate

    def is_allowed(self, owner: str) -> bool:
        """Return whether an owner has consented to publication."""
        return self._consents.allows(owner, "publication")

    def verdict(self, row: ShareRow) -> Verdict:
        """Decide about one file."""
        if not self.is_allowed(row.owner):
            return Verdict("denied", NO_CONSENT, NO_CONSENT)
        reason, is_ready = self._hindrance(row)
        if not is_ready:
            return Verdict(None, None, "")
        recipe = self._recipe
        tells = recipe.sharing.location != "none" and self._consents.allows(row.owner, "location")
        made_of = hashlib.sha256(json.dumps([row.faces, row.texts]).encode()).hexdigest()[:8]
        policy = reason or ("allow+location" if tells else "allow")
        version = f"{self._code_version}.{made_of}+{policy}"
        return Verdict("withheld" if reason else "published", reason, version, tells)

    def held_back(self, row: ShareRow) -> str | None:
        """Return why what a file shows must not be public, as a code; ``None``: it may."""
        decision = self._gate.decision(row.media_id, row.sha256)
        return {"block": REVIEW_BLOCKED, "waiting": REVIEW_WAITING, "allow": None}[decision]

    def _hindrance(self, row: ShareRow) -> tuple[str | None, bool]:
        """Return why there will be no copy, and whether the file is ready for a decision at all."""
        consents, vision, sharing = self._consents, self._recipe.vision, self._recipe.sharing
        # Without consent to `faces` none are on record; the search inside the op is what hides them then.
        if row.faces in _UNKNOWN and consents.allows(row.owner, "faces") and vision.is_on(FACES):
            return None, False
        reads = vision.is_on(TEXTS) and consents.allows(row.owner, "text")
        if row.texts in _UNKNOWN and reads:
            return None, False
        unread = TEXTS_NOT_READ if sharing.cover_texts and not reads else None
        return self.held_back(row) or unread, True


def read_rules(library: Library, recipe: Recipe | None = None) -> SharingRules:
    """Read what owners and reviewers say now.

    Raises:
        StorageError: The register of consents or the reviews cannot be read.
        SettingsError: The policy file is not usable.
        ModelError: The settings name a model that does not exist.
    """
    return SharingRules(recipe or recipe_of(library.settings), read_consents(library), read_gate(library))


def _policy(version: str | None) -> str:
    """The part of a version that owners and reviewers decide."""
    return "" if version is None else version.partition("+")[2] or version


def _is_due(row: ShareRow, verdict: Verdict) -> bool:
    """Whether a file is taken up without being asked: no result yet, or another decision than then."""
    if verdict.state is None:
        return False
    if row.state in (None, "failed") or row.input_version != row.sha256:
        return True
    return _policy(row.code_version) != _policy(verdict.version)


@dataclass(frozen=True)
class DueFiles:
    """Files for which op ``protect`` has something to do, by media id.

    Attributes:
        fresh: Those that were not tried with the present version of the file and the present decisions.
        failed: Those that failed.
    """

    fresh: tuple[str, ...]
    failed: tuple[str, ...]


def due_files(library: Library, rules: SharingRules, *, inbox: str | None = None) -> DueFiles:
    """Return the files that are taken up without being asked.

    What was made by other code or other settings is left: it is redone when asked. Files of owners who never consented
    are none of its business; :func:`denied_files` lists them.

    Args:
        library: The library.
        rules: What decides.
        inbox: Only files of this inbox.

    Raises:
        StorageError: The ledger or the ratings cannot be read.
    """
    owners = [owner for owner in library.ledger.share_owners() if rules.is_allowed(owner)]
    rows = library.ledger.share_rows(SHAREABLE, owners=owners, inbox=inbox) if owners else []
    due = [row for row in rows if _is_due(row, rules.verdict(row))]
    failed = {row.media_id for row in due if row.state == "failed" and row.input_version == row.sha256}
    fresh = tuple(row.media_id for row in due if row.media_id not in failed)
    return DueFiles(fresh, tuple(sorted(failed)))


def files_to_share(library: Library, *, inbox: str | None = None, never_tried: bool = False) -> list[str]:
    """Return the files that :func:`due_files` names now.

    Args:
        library: The library.
        inbox: Only files of this inbox.
        never_tried: Leave out what failed.

    Raises:
        StorageError: Ledger, register or reviews cannot be read.
        SettingsError: The policy file is not usable.
        ModelError: The settings name a model that does not exist.
    """
    due = due_files(library, read_rules(library), inbox=inbox)
    return sorted((*due.fresh, *(() if never_tried else due.failed)))


def denied_files(library: Library, rules: SharingRules, *, inbox: str | None = None) -> list[str]:
    """Return the files whose owners deny publication and of which table ``skipped`` does not say so yet.

    Raises:
        StorageError: The ledger cannot be read.
    """
    owners = [owner for owner in library.ledger.share_owners() if not rules.is_allowed(owner)]
    return library.ledger.without_version(SHAREABLE, NO_CONSENT, owners, inbox=inbox) if owners else []


def copies_to_withdraw(
    library: Library, rules: SharingRules | None = None, *, among: Collection[str] | None = None
) -> list[SharedCopy]:
    """Return the copies that must not be public any longer, or that nobody refers to.

    Args:
        library: The library.
        rules: What decides; ``None``: read now.
        among: Only copies of these files.

    Raises:
        StorageError: Ledger, register or reviews cannot be read.
        ModelError: The settings name a model that does not exist.
    """
    copies = library.ledger.copies(among)
    if not copies:
        return []
    rules = rules or read_rules(library)
    media_ids = {one.media_id for one in copies}
    rows = {row.media_id: row for row in library.ledger.share_rows(SHAREABLE, media_ids=media_ids, archived=True)}
    now = datetime.now(UTC)
    return [one for one in copies if _has_to_go(one, rows.get(one.media_id), rules, now)]


def _has_to_go(copy: SharedCopy, row: ShareRow | None, rules: SharingRules, now: datetime) -> bool:
    if copy.state == "writing":  # whoever stores it asks once more when it is stored
        return is_dead_holder(copy.holder) or now - copy.at > _ABANDONED_AFTER
    if copy.state != "published" or not rules.is_allowed(copy.owner):
        return True
    return row is None or row.sha256 != copy.input_version or rules.held_back(row) is not None


@dataclass(frozen=True)
class SharingSelection:
    """The work of a run of op ``protect``.

    Attributes:
        items: What to do, in order.
        already_done: Files of which nothing is left to do.
        not_analysed: Files whose faces or texts are not known: ``faces`` and ``texts`` have to be materialized first.
        unknown: Partition keys of no accepted file.
    """

    items: tuple[SharingItem, ...]
    already_done: tuple[str, ...]
    not_analysed: tuple[str, ...]
    unknown: tuple[str, ...]


def select_sharing(
    library: Library, media_ids: Sequence[str], run: RunIdentity, *, only_missing: bool
) -> SharingSelection:
    """Decide what a run over ``media_ids`` has to do.

    Args:
        library: The library.
        media_ids: The partitions of the run.
        run: Who asks. What an earlier run of its lineage has done is not done again.
        only_missing: Leave out what is there for the present version of the file and the same decisions.

    Raises:
        StorageError: Ledger, register or reviews cannot be read.
    """
    rules = read_rules(library, run.recipe)
    rows = {row.media_id: row for row in library.ledger.share_rows(SHAREABLE, media_ids=media_ids)}
    entries = library.ledger.entries(rows)
    done = library.ledger.done_in_lineage(run.root_run_id, list(rows))
    items, already_done, not_analysed = [], [], []
    for media_id in media_ids:
        row = rows.get(media_id)
        if row is None:
            continue
        verdict = rules.verdict(row)
        if verdict.state is None:
            not_analysed.append(media_id)
            continue
        is_same = row.input_version == row.sha256 and not _is_due(row, verdict)
        if is_same and (only_missing or SHAREABLE in done.get(media_id, ())):
            already_done.append(media_id)
            continue
        items.append(
            SharingItem(
                entry=entries[media_id],
                version=verdict.version,
                state=verdict.state,
                reason=verdict.reason,
                tells_location=verdict.tells_location,
                computed_before=row.state is not None,
                was_denied=row.code_version == NO_CONSENT,
            )
        )
    unknown = tuple(media_id for media_id in media_ids if media_id not in rows)
    return SharingSelection(tuple(items), tuple(already_done), tuple(not_analysed), unknown)


def shared_states(library: Library, *, archived: bool = False) -> Iterator[tuple[ShareRow, Verdict]]:
    """Yield accepted files whose owners consent to publication, and what is to become of each.

    Args:
        library: The library.
        archived: Only archived files, instead of those that are not.

    Raises:
        StorageError: Ledger, register or reviews cannot be read.
        ModelError: The settings name a model that does not exist.
    """
    rules = read_rules(library)
    owners = [owner for owner in library.ledger.share_owners() if rules.is_allowed(owner)]
    rows = library.ledger.share_rows(SHAREABLE, owners=owners, archived=archived)
    kept = set(library.ledger.archived_among([row.media_id for row in rows])) if archived else set()
    for row in rows:
        if not archived or row.media_id in kept:
            yield row, rules.verdict(row)
