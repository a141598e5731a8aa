"""Follows consents: derived data of what is denied go, and what is allowed again is computed again.

Everything is decided anew from the register, the ledger and the tables, in an order in which a kill anywhere leaves the
answers on record as not followed; the next call completes it. Doing it again changes nothing.
"""

import shutil
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from media_assets.models.vision_recipe import FACES
from media_assets.pipeline.assets import ANALYZE_ASSETS, METADATA, RECOGNIZED, SHAREABLE, UNLOCATED
from media_assets.pipeline.consent import PURPOSE_OF, Consents, read_consents
from media_assets.pipeline.derived_tables import compact_tables
from media_assets.pipeline.library import CompactionBusyError, Library
from media_assets.pipeline.liveness import is_dead_holder, new_holder
from media_assets.pipeline.recipe import recipe_of
from media_assets.pipeline.revocation.applied import (
    Following,
    mark_seen,
    owner_mark,
    owners_pending,
    read_applied,
    write_applied,
)
from media_assets.pipeline.revocation.row_edits import RULES
from media_assets.pipeline.search.search import INDEX_FOLDER
from media_assets.pipeline.selection import RunIdentity
from media_assets.pipeline.sharing_selection import read_rules
from media_assets.pipeline.sharing_skips import note_denied
from media_assets.pipeline.sharing_withdrawal import withdraw_copies
from media_assets.pipeline.skips import NO_CONSENT, PEOPLE, SKIPPED, clear_skips, write_skips
from media_assets.storage import catalog
from media_assets.storage.catalog_editing import edit_current
from media_assets.storage.consents import publish_records
from media_assets.storage.ledger_schema import Outcome, ResultVersion
from media_assets.storage.tables import PartWriter, list_parts, read_part, replace_part

_LEASE_FOR = timedelta(minutes=30)
_LEASE_ATTEMPTS, _LEASE_WAIT_S = 120, 0.5
_QUERY_CACHE = "query-cache"
_FILES_AT_ONCE = 5_000

ForgetEvents = Callable[[str, Collection[str]], int]
"""Deletes the events of an asset about some files from Dagster; returns how many."""


@dataclass
class ConsentReport:
    """What following the consents did.

    Attributes:
        owners: Owners whose answers had changed.
        rows: Rows that were deleted or blanked, by table; those of superseded parts included.
        copies_withdrawn: Copies that were deleted.
        results_denied: Results that are on record as denied now, by asset.
        results_due: Results that are computed again, by asset.
        events: Dagster events that were deleted.
        awaited: Runs that went on meanwhile and may write by older answers.
    """

    owners: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    copies_withdrawn: int = 0
    results_denied: Counter[str] = field(default_factory=Counter)
    results_due: Counter[str] = field(default_factory=Counter)
    events: int = 0
    awaited: frozenset[str] = frozenset()

    @property
    def is_settled(self) -> bool:
        """Whether nothing went on that could still write by older answers."""
        return not self.awaited


def apply_consents(
    library: Library,
    forget_events: ForgetEvents,
    *,
    run_id: str | None = None,
    everyone: bool = False,
    going_on: Callable[[], Collection[str]] = tuple,
) -> ConsentReport:
    """Make the library what the consents say.

    Args:
        library: The library.
        forget_events: Deletes events from Dagster.
        run_id: Who does it.
        everyone: Look at all owners, instead of those whose answers have changed.
        going_on: Which other runs go on. As long as one does that may have read older answers, they stay on record as
            not followed, so that they are followed once more after it.

    Raises:
        CompactionBusyError: The catalog is being compacted and does not become free.
        StorageError: Store or ledger refuse; call it again.
        SettingsError: The policy file is not usable.
    """
    run_id = run_id or f"consent-{uuid.uuid4().hex[:12]}"
    consents, report = read_consents(library), ConsentReport()
    going = set(going_on())  # after the answers were read: a run that begins from now on reads no older ones
    publish_records(library.store)
    owners = library.ledger.share_owners() | consents.owners if everyone else set(owners_pending(library, consents))
    if not owners:
        return report
    report.owners = len(owners)
    following = {
        # The version that the work begins with: a permission that ends meanwhile is followed by the next call.
        one: Following(seen.version, awaited=tuple(run for run in seen.awaited if run in going))
        for one, seen in mark_seen(library.store, consents, owners, going).items()
    }
    report.copies_withdrawn = withdraw_copies(library)
    _edit_tables(library, consents, report)
    _forget_local_indexes(library)
    for asset in (*ANALYZE_ASSETS, METADATA, SHAREABLE):
        _settle_results(library, consents, owners, asset, run_id, forget_events, report)
    note_denied(library, read_rules(library))
    compact_tables(library, [SKIPPED])  # so that the reasons are seen as soon as the rows are gone
    if _clear_what_is_allowed(library, consents, run_id):
        compact_tables(library, [SKIPPED])
    report.awaited = frozenset(run for one in following.values() for run in one.awaited)
    followed = {owner_mark(one): found for one, found in following.items()}
    write_applied(library.store, {**read_applied(library.store), **followed})
    return report


@contextmanager
def _catalog(library: Library) -> Iterator[None]:
    """Keep others from compacting, as soon as nobody does."""
    for _ in range(_LEASE_ATTEMPTS):
        with library.ledger.lease("catalog", new_holder(), _LEASE_FOR, is_dead=is_dead_holder) as obtained:
            if obtained:
                yield
                return
        time.sleep(_LEASE_WAIT_S)
    raise CompactionBusyError("Another process is compacting the catalog. Wait for it and try again.")


def _edit_tables(library: Library, consents: Consents, report: ConsentReport) -> None:
    with _catalog(library):
        for rule in RULES:
            edit = rule.edit(consents)
            for key in list_parts(library.store, rule.table):
                before = read_part(library.store, key)
                if "owner" not in before.column_names:
                    continue
                after = edit(before)
                if after is not before:
                    report.rows[rule.table] += rule.count(before, consents)
                    replace_part(library.store, key, after)
            edit_current(library.store, rule.table, edit)


def _forget_local_indexes(library: Library) -> None:
    """Search indexes and copies of tables on this machine; they are made again when they are asked for."""
    for folder in (INDEX_FOLDER, _QUERY_CACHE):
        shutil.rmtree(library.settings.state_dir / folder, ignore_errors=True)


def _settle_results(
    library: Library,
    consents: Consents,
    owners: Collection[str],
    asset: str,
    run_id: str,
    forget_events: ForgetEvents,
    report: ConsentReport,
) -> None:
    """Let Dagster and the ledger agree with the tables about one asset."""
    recipe = recipe_of(library.settings)
    run = RunIdentity(run_id, run_id, recipe=recipe)
    for some in _some(_results(library, asset, owners)):
        denied = [one for one in some if _is_denied(consents, asset, one)]
        versions = {one.media_id: _bare_version(consents, asset, one) for one in some if one not in denied}
        bare = {media_id: version for media_id, version in versions.items() if version is not None}
        due = [one.media_id for one in some if _is_due(consents, asset, one)]
        # Denied ones are seen again on each call: what their events showed may be left by a call that was killed.
        if denied:
            report.events += forget_events(asset, [one.media_id for one in denied])
        at = datetime.now(UTC)
        writer = PartWriter(library.store, run_id)
        entries = library.ledger.entries([one.media_id for one in some])
        new = [one for one in denied if one.state is not None and one.code_version != NO_CONSENT]
        if asset in PURPOSE_OF and new:
            told = {entries[one.media_id]: NO_CONSENT for one in new if one.media_id in entries}
            write_skips(writer, asset, run, told, at)
        if bare:
            skipped = PEOPLE if asset == FACES else METADATA
            write_skips(writer, skipped, run, {entries[one]: NO_CONSENT for one in bare if one in entries}, at)
        by_id = {one.media_id: one for one in some}
        marked = {one.media_id: NO_CONSENT for one in new if asset in PURPOSE_OF} | bare
        library.ledger.record_results(
            [_outcome(by_id[media_id], asset, version, run_id, at) for media_id, version in marked.items()]
        )
        if asset == METADATA:
            library.ledger.renew_metadata(due)  # what is left of it stays until then
        elif due:
            library.ledger.forget_results(asset, due)
        report.results_denied[asset] += len(marked)
        report.results_due[asset] += len(due)


def _clear_what_is_allowed(library: Library, consents: Consents, run_id: str) -> bool:
    """Remove what table ``skipped`` says of uses that are allowed now, whoever has computed it since."""
    wrong: dict[str, list[str]] = defaultdict(list)
    for row in catalog.read_current(library.store, SKIPPED, ["media_id", "owner", "asset", "purpose"]).to_pylist():
        if consents.allows(row["owner"], row["purpose"]):
            wrong[row["asset"]].append(row["media_id"])
    at, writer = datetime.now(UTC), PartWriter(library.store, run_id)
    for asset, media_ids in wrong.items():
        clear_skips(writer, asset, library.ledger.entries(media_ids).values(), at)
    return bool(wrong)


def _results(library: Library, asset: str, owners: Collection[str]) -> Iterator[ResultVersion]:
    for archived in (False, True):
        for row in library.ledger.result_versions(asset, archived=archived):
            if row.owner in owners:
                yield row


def _some(rows: Iterator[ResultVersion]) -> Iterator[list[ResultVersion]]:
    chunk: list[ResultVersion] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) >= _FILES_AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _is_denied(consents: Consents, asset: str, row: ResultVersion) -> bool:
    if asset == SHAREABLE:
        return not consents.allows(row.owner, "publication")
    return asset in PURPOSE_OF and not consents.allows(row.owner, PURPOSE_OF[asset])


def _bare_version(consents: Consents, asset: str, row: ResultVersion) -> str | None:
    """The version of a result that loses a part of itself; ``None``: it loses nothing."""
    if row.state is None or row.code_version is None:
        return None
    version = row.code_version
    if asset == FACES and version.endswith(RECOGNIZED) and not consents.allows(row.owner, "recognition"):
        return version.removesuffix(RECOGNIZED)
    if asset == METADATA and not version.endswith(UNLOCATED) and not consents.allows(row.owner, "location"):
        return version + UNLOCATED
    return None


def _is_due(consents: Consents, asset: str, row: ResultVersion) -> bool:
    """Whether a result is to be computed again, because more is allowed now than when it was made."""
    if asset == METADATA:
        is_bare = row.state == "materialized" and (row.code_version or "").endswith(UNLOCATED)
        return is_bare and consents.allows(row.owner, "location")
    if asset not in PURPOSE_OF or not consents.allows(row.owner, PURPOSE_OF[asset]):
        return False
    if row.code_version == NO_CONSENT:
        return True
    is_bare = asset == FACES and not (row.code_version or "").endswith(RECOGNIZED)
    return is_bare and row.state == "materialized" and consents.allows(row.owner, "recognition")


def _outcome(row: ResultVersion, asset: str, version: str, run_id: str, at: datetime) -> Outcome:
    return Outcome(
        media_id=row.media_id,
        asset=asset,
        state="rejected" if version == NO_CONSENT else "materialized",
        input_version=row.input_version,
        code_version=version,
        run_id=run_id,
        root_run_id=run_id,
        at=at,
    )


def summary(report: ConsentReport) -> Mapping[str, int]:
    """Return the counts of a report in one mapping, for logs and commands."""
    return {
        "owners": report.owners,
        **{f"rows of {table}": count for table, count in sorted(report.rows.items()) if count},
        "copies withdrawn": report.copies_withdrawn,
        **{f"{asset} denied": count for asset, count in sorted(report.results_denied.items()) if count},
        **{f"{asset} due again": count for asset, count in sorted(report.results_due.items()) if count},
        "events deleted": report.events,
    }
