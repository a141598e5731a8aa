"""Deciding what an erasure erases: files, sidecars, bytes, objects, and what stays because others have it too."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from media_assets.pipeline.derived_tables import compact_tables
from media_assets.pipeline.erasure.rows import RowFacts, facts_of, versions_of_others
from media_assets.pipeline.library import Library
from media_assets.pipeline.people.editing import person_called, read_people
from media_assets.pipeline.people.update import PEOPLE
from media_assets.storage import keys
from media_assets.storage.erasure_records import (
    ErasedUpload,
    ErasurePlan,
    Kind,
    StoredContent,
    new_erasure_id,
    now,
)
from media_assets.storage.ledger_schema import MediaEntry
from media_assets.storage.traces import distinct


class UnknownTargetError(Exception):
    """Nothing in the library is of this owner, file or person."""


@dataclass(frozen=True)
class Target:
    """What somebody asks to be erased: one of these.

    Attributes:
        owner: An owner, with all files.
        media_ids: Single files, each by its media id or its source key.
        person: A person, by identifier or name: with every file in which the person was recognised.
    """

    owner: str | None = None
    media_ids: tuple[str, ...] = ()
    person: str | None = None

    @property
    def kind(self) -> Kind:
        """Kind of what is asked for."""
        return "owner" if self.owner is not None else "media" if self.media_ids else "person"


def make_plan(library: Library, target: Target) -> ErasurePlan:
    """Find everything that goes with a target. Nothing is changed, but table ``people`` is compacted for a person.

    Raises:
        UnknownTargetError: There is no such owner, file or person.
        PeopleEditError: There is no such person, or the name is that of several.
        CompactionBusyError: The catalog is being compacted and does not become free.
        StorageError: Ledger or tables cannot be read.
    """
    asked, people = _asked_for(library, target)
    ledger = library.ledger
    entries = {entry.media_id: entry for entry in ledger.entries(asked).values()}
    if target.owner is not None:
        entries |= {entry.media_id: entry for entry in ledger.entries_of(target.owner)}
    entries |= {entry.media_id: entry for entry in ledger.lonely_sidecars({*asked, *entries})}
    facts = facts_of(library.store, {*asked, *entries}, target.owner)
    media_ids = {*entries, *facts.media_ids}
    contents = _contents(library, media_ids, target.owner, facts)
    if not entries and not contents and not facts.source_keys:
        what = "owner" if target.owner is not None else "file"
        raise UnknownTargetError(f"Nothing in the library is of this {what}. See: media-assets query 'FROM files'")
    objects = {key for _, _, key, _ in ledger.contents_of(media_ids, target.owner)} | facts.object_keys
    objects |= {copy.path for copy in ledger.copies(media_ids)}
    return ErasurePlan(
        erasure_id=new_erasure_id(),
        kind=target.kind,
        owner=target.owner,
        people=tuple(sorted(people)),
        media_ids=tuple(sorted(media_ids)),
        uploads=tuple(_upload(entry) for _, entry in sorted(entries.items())),
        contents=tuple(contents),
        object_keys=tuple(sorted(objects)),
        source_keys=tuple(sorted({entry.source_key for entry in entries.values()} | facts.source_keys)),
        cells=tuple(sorted(facts.cells)),
        began_at=now(),
    )


def _asked_for(library: Library, target: Target) -> tuple[set[str], set[str]]:
    """Return the media ids that were asked for, and the persons."""
    if target.person is not None:
        compact_tables(library, [PEOPLE])
        person = person_called(read_people(library), target.person)
        return {row["media_id"] for row in person.rows}, {person.person_id}
    known = library.ledger.entries(target.media_ids)
    return {one if one in known or not _is_source_key(one) else keys.media_id(one) for one in target.media_ids}, set()


def _is_source_key(said: str) -> bool:
    """Media ids have no dots and slashes."""
    return "/" in said or "." in said


def _contents(library: Library, media_ids: Collection[str], owner: str | None, facts: RowFacts) -> list[StoredContent]:
    """Return the bytes of the files, all versions, and who keeps them."""
    ledger = library.ledger
    brought = {(of, sha256) for of, sha256, _, _ in ledger.contents_of(media_ids, owner)} | facts.versions
    owners = {entry.media_id: entry.owner for entry in ledger.entries(media_ids).values()}
    for media_id, versions in ledger.versions_of(media_ids).items():
        brought |= {(owners[media_id], sha256) for sha256 in versions if media_id in owners}
    sha256s = {sha256 for _, sha256 in brought}
    present, named = ledger.versions_of_others(sha256s, media_ids)
    if owner is not None:
        named = {(of, sha256) for of, sha256 in named if of != owner}
    named |= versions_of_others(library.store, sha256s, media_ids, owner)
    seen, mentioned = {sha256 for _, sha256 in present}, {sha256 for _, sha256 in present | named}
    holders, claims = ledger.holders(brought), ledger.claimed_by(brought)
    return [
        StoredContent(
            owner=content[0],
            sha256=content[1],
            heir=_heir([*(entry.media_id for entry in holders.get(content, ())), claims.get(content)], media_ids),
            is_seen=content[1] in seen,
            is_named=content[1] in mentioned,
        )
        for content in sorted(brought)
    ]


def _heir(candidates: Sequence[str | None], media_ids: Collection[str]) -> str | None:
    return next((one for one in candidates if one is not None and one not in media_ids), None)


def _upload(entry: MediaEntry) -> ErasedUpload:
    return ErasedUpload(
        media_id=entry.media_id,
        source_key=entry.source_key,
        inbox=entry.inbox,
        etag=entry.etag,
        size_bytes=entry.size_bytes,
        sha256=entry.sha256,
    )


def originals_that_stay(plan: ErasurePlan) -> set[tuple[str, str]]:
    """Owner and SHA-256 of the originals that another file of the same owner has too."""
    return {(one.owner, one.sha256) for one in plan.contents if one.heir is not None}


def names_of(plan: ErasurePlan, others: Collection[str]) -> list[str]:
    """Return what tells of the files wherever it stands: identifiers, checksums, names of uploads.

    Checksums of bytes that others have too are left out, and names that are part of another upload's name, or too
    short to mean anything.

    Args:
        plan: The plan.
        others: Source keys of the uploads that stay.
    """
    names = {*plan.media_ids, *(one.sha256 for one in plan.contents if not one.is_named and one.heir is None)}
    telling = [key for key in plan.source_keys if len(key) >= 5 and ("/" in key or "." in key)]
    encoded = {key.encode("utf-8", "surrogatepass"): key for key in telling}
    rest = "\n".join(others).encode("utf-8", "surrogatepass")
    found = {encoded[one] for one in distinct(list(encoded), iter([rest]))}
    # As JSON and addresses write them.
    forms = {json.dumps(key)[1:-1] for key in found} | {quote(key, errors="surrogatepass") for key in found}
    return sorted(names | found | forms)
