"""Brings table ``near_duplicates`` up to date: files of one owner that show the same, in groups.

Two files are near when their bytes are equal, when both perceptual hashes say so, or when the hashes are not far apart
and the vectors of the whole pictures agree. Groups are stars: every member is near the representative itself, so that
no chain of small differences joins pictures that have nothing in common.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from media_assets.media.hamming import distance, mirrored_dhash, mirrored_phash, pairs_between, pairs_within
from media_assets.pipeline.derived_tables import Row, Rows, maintained, rows_by_media, write_changes
from media_assets.pipeline.library import Library
from media_assets.pipeline.stable_ids import new_id, stable_ids
from media_assets.storage import catalog
from media_assets.storage.current_batches import current_batches
from media_assets.storage.objects import ObjectStore

NEAR_DUPLICATES = "near_duplicates"
"""Name of asset and table."""

PHASH_NEAR, DHASH_NEAR = 8, 12
"""Different bits of both hashes up to which two pictures look the same."""

PHASH_MODERATE, DHASH_MODERATE, COSINE_SAME = 14, 14, 0.85
"""Different bits up to which, and cosine similarity from which, two pictures look alike and show the same.

Of unrelated photos of COCO the most similar pair has a cosine of 0.75; edits that change the hashes so much keep
0.74 in the median."""

PHASH_MIRRORED = 10
"""Different bits of ``phash`` to the mirrored picture, beside :data:`DHASH_NEAR`: the mirrored hash is not exact."""

DURATION_SHARE, DURATION_S = 0.02, 0.5
"""Videos and animations that show the same differ in length by no more than this: 2 %, or half a second."""

_VERSION = 1  # raise it when the same files would be grouped otherwise
_CODE_VERSION = hashlib.sha256(
    repr(
        (
            *(_VERSION, PHASH_NEAR, DHASH_NEAR, PHASH_MODERATE, DHASH_MODERATE, COSINE_SAME),
            *(PHASH_MIRRORED, DURATION_SHARE, DURATION_S),
        )
    ).encode()
).hexdigest()[:16]
_COMPARED = (
    *("group_id", "representative_media_id", "distance", "method"),
    *("owner", "input_version", "code_version", "model"),
)

Method = Literal["sha256", "phash", "phash+embedding", "phash+mirror"]


@dataclass(frozen=True)
class ComparedFile:
    """What is compared of a file.

    Attributes:
        media_id: The file.
        owner: Whose it is.
        sha256: Of its bytes.
        media_type: ``image`` or ``video``.
        duration_s: Length of a video or animation, 0 of a still.
        pixels: Width times height.
        phash: Perceptual hash; ``None``: not computed.
        dhash: Difference hash; ``None``: not computed.
    """

    media_id: str
    owner: str
    sha256: str
    media_type: str
    duration_s: float
    pixels: int
    phash: int | None
    dhash: int | None


@dataclass(frozen=True)
class Vector:
    """The vector of a whole picture and the model that made it."""

    values: NDArray[np.float32]
    model: str | None


ReadVectors: TypeAlias = Callable[[Collection[str]], Mapping[str, Vector]]
"""Called with media ids, returns the vectors of those pictures that have one."""


@dataclass(frozen=True)
class NearDuplicatesReport:
    """What an update did.

    Attributes:
        files: Files that have near-duplicates.
        groups: Groups of them.
        methods: Files by what they have in common with the representative; representatives are not counted.
        files_written: Files whose rows were written.
        files_removed: Files that have no row any more.
    """

    files: int
    groups: int
    methods: Mapping[str, int]
    files_written: int
    files_removed: int


@dataclass
class _Look:
    """Files of one owner that cannot be told apart by their hashes: one node of the graph of what is near."""

    files: list[ComparedFile]
    phash: int | None
    dhash: int | None
    near: dict[int, tuple[Method, str | None]] = field(default_factory=dict)

    @property
    def first(self) -> ComparedFile:
        return self.files[0]


def update_near_duplicates(library: Library, run_id: str) -> NearDuplicatesReport:
    """Group all files and write the rows of those whose group changed.

    Raises:
        TableBusyError: Another process is doing it.
        CompactionBusyError: The catalog is being compacted and does not become free.
        StorageError: A table cannot be read, or rows cannot be written.
    """
    with maintained(library, NEAR_DUPLICATES, ["files", "appearance", "embeddings"]):
        before = rows_by_media(library, NEAR_DUPLICATES)
        after: dict[str, list[Row]] = {}
        for files in _files_by_owner(library.store):
            after |= rows_of_groups(files, before, lambda media_ids: read_vectors(library.store, media_ids))
        changes = write_changes(library, NEAR_DUPLICATES, run_id, before=before, after=after, compared=_COMPARED)
    rows = [row for found in after.values() for row in found]
    methods: dict[str, int] = defaultdict(int)
    for row in rows:
        if row["method"] is not None:
            methods[row["method"]] += 1
    return NearDuplicatesReport(
        files=len(rows),
        groups=len({row["group_id"] for row in rows}),
        methods=dict(methods),
        files_written=changes.files_written,
        files_removed=changes.files_removed,
    )


def rows_of_groups(files: Sequence[ComparedFile], before: Rows, vectors: ReadVectors) -> dict[str, list[Row]]:
    """Return the rows of the files of one owner that have near-duplicates, by media id.

    Args:
        files: All files of the owner.
        before: The rows of before, by media id: groups keep their identifiers and, among equals, representatives.
        vectors: Returns the vectors of those files that have one.
    """
    were = {row["representative_media_id"] for rows in before.values() for row in rows}
    looks = _looks_of(files, were)
    _connect(looks, vectors)
    stars = _stars(looks, were)
    members = [
        (group, file.media_id) for group, star in enumerate(stars) for look in star for file in looks[look].files
    ]
    old = [before[media_id][0]["group_id"] if media_id in before else None for _, media_id in members]
    first = {
        group: min(file.media_id for look in star for file in looks[look].files) for group, star in enumerate(stars)
    }
    owner = files[0].owner if files else ""
    ids = stable_ids([group for group, _ in members], old, lambda group: new_id("g", owner, first[group]))
    rows: dict[str, list[Row]] = {}
    for group, star in enumerate(stars):
        center = looks[star[0]]
        for look in star:
            for file in looks[look].files:
                rows[file.media_id] = [_row(file, center, looks[look], center.near.get(look), ids[group])]
    return rows


def read_vectors(store: ObjectStore, media_ids: Collection[str]) -> dict[str, Vector]:
    """Return the vectors of whole pictures; only these are held in memory.

    Raises:
        CatalogError: The catalog is damaged.
        StorageError: The store could not be read.
    """
    found: dict[str, Vector] = {}
    if not media_ids:
        return found
    wanted = pa.array(sorted(media_ids), pa.string())
    for rows in current_batches(store, "embeddings", ["media_id", "model", "frame_s", "vector"]):
        chosen = rows.filter(pc.and_(pc.is_in(rows["media_id"], value_set=wanted), pc.is_null(rows["frame_s"])))
        for row in chosen.to_pylist():
            found[row["media_id"]] = Vector(np.asarray(row["vector"], np.float32), row["model"])
    return found


def _files_by_owner(store: ObjectStore) -> list[list[ComparedFile]]:
    hashes = {
        row["media_id"]: (row["phash"], row["dhash"])
        for row in catalog.read_current(store, "appearance", ["media_id", "phash", "dhash"]).to_pylist()
    }
    columns = ["media_id", "owner", "sha256", "media_type", "duration_s", "width_px", "height_px"]
    by_owner: dict[str, list[ComparedFile]] = defaultdict(list)
    for row in catalog.read_current(store, "files", columns).to_pylist():
        phash, dhash = hashes.get(row["media_id"], (None, None))
        by_owner[row["owner"]].append(
            ComparedFile(
                media_id=row["media_id"],
                owner=row["owner"],
                sha256=row["sha256"],
                media_type=row["media_type"],
                duration_s=row["duration_s"] or 0.0,
                pixels=row["width_px"] * row["height_px"],
                phash=phash,
                dhash=dhash,
            )
        )
    return [by_owner[owner] for owner in sorted(by_owner)]


def _looks_of(files: Sequence[ComparedFile], were: Collection[str]) -> list[_Look]:
    """Files by their hashes, or by their bytes where there are none; in each the best file first."""
    by_look: dict[tuple[object, ...], list[ComparedFile]] = defaultdict(list)
    hashed = {file.sha256: file for file in files if file.phash is not None and file.dhash is not None}
    for file in files:
        # Equal bytes look the same, even where one of them has not been analysed yet.
        known = hashed.get(file.sha256)
        if known is None:
            by_look["bytes", file.sha256].append(file)
        else:
            by_look[known.media_type, known.duration_s, known.phash, known.dhash].append(file)
    looks = []
    for key in sorted(by_look, key=repr):
        best_first = sorted(by_look[key], key=lambda file: (file.media_id not in were, -file.pixels, file.media_id))
        known = hashed.get(best_first[0].sha256, best_first[0])
        looks.append(_Look(best_first, known.phash, known.dhash))
    return looks


def _connect(looks: Sequence[_Look], vectors: ReadVectors) -> None:
    """Fill in which looks are near each other."""
    hashed = [at for at, look in enumerate(looks) if look.phash is not None and look.dhash is not None]
    phashes = np.array([looks[at].phash for at in hashed], np.uint64)
    dhashes = np.array([looks[at].dhash for at in hashed], np.uint64)
    first, second, bits = pairs_within(phashes, PHASH_MODERATE)
    other_bits = np.bitwise_count(dhashes[first] ^ dhashes[second])
    is_near = (bits <= PHASH_NEAR) & (other_bits <= DHASH_NEAR)
    is_moderate = ~is_near & (other_bits <= DHASH_MODERATE)
    doubtful: list[tuple[int, int]] = []
    chosen = np.nonzero(is_near | is_moderate)[0]
    for pair, near in zip(chosen.tolist(), is_near[chosen].tolist(), strict=True):
        a, b = hashed[first[pair]], hashed[second[pair]]
        if not _is_alike(looks[a].first, looks[b].first):
            continue
        if near:
            looks[a].near[b] = looks[b].near[a] = ("phash", None)
        else:
            doubtful.append((a, b))
    _connect_mirrored(looks, hashed, phashes, dhashes.tolist())
    known = vectors({file.media_id for pair in doubtful for at in pair for file in looks[at].files})
    for a, b in doubtful:
        one, other = _vector(looks[a], known), _vector(looks[b], known)
        if one is None or other is None or one.model != other.model or len(one.values) != len(other.values):
            continue
        if float(one.values @ other.values) >= COSINE_SAME:
            looks[a].near[b] = looks[b].near[a] = ("phash+embedding", one.model)


def _connect_mirrored(
    looks: Sequence[_Look], hashed: Sequence[int], phashes: NDArray[np.uint64], dhashes: Sequence[int]
) -> None:
    mirrored = np.array([mirrored_phash(one) for one in phashes.tolist()], np.uint64)
    first, second, _ = pairs_between(phashes, mirrored, PHASH_MIRRORED)
    once = first < second  # each pair is found from both sides
    for one, other in zip(first[once].tolist(), second[once].tolist(), strict=True):
        a, b = hashed[one], hashed[other]
        if b in looks[a].near or not _is_alike(looks[a].first, looks[b].first):
            continue
        if distance(dhashes[one], mirrored_dhash(dhashes[other])) <= DHASH_NEAR:
            looks[a].near[b] = looks[b].near[a] = ("phash+mirror", None)


def _is_alike(a: ComparedFile, b: ComparedFile) -> bool:
    longer = max(a.duration_s, b.duration_s)
    return a.media_type == b.media_type and abs(a.duration_s - b.duration_s) <= max(DURATION_S, DURATION_SHARE * longer)


def _vector(look: _Look, known: Mapping[str, Vector]) -> Vector | None:
    return next((known[file.media_id] for file in look.files if file.media_id in known), None)


def _stars(looks: Sequence[_Look], were: Collection[str]) -> list[list[int]]:
    """Groups of at least two files: the representative's look first, then all that are near it and free yet.

    The one with most files around it begins; a known representative comes before others, and more pixels before fewer.
    """

    def rank(at: int) -> tuple[object, ...]:
        look = looks[at]
        around = len(look.files) + sum(len(looks[other].files) for other in look.near)
        return -around, look.first.media_id not in were, -look.first.pixels, look.first.media_id

    free = set(range(len(looks)))
    stars = []
    for center in sorted(free, key=rank):
        if center not in free:
            continue
        star = [center, *sorted(other for other in looks[center].near if other in free)]
        if sum(len(looks[at].files) for at in star) > 1:
            stars.append(star)
            free.difference_update(star)
    return stars


def _row(file: ComparedFile, center: _Look, look: _Look, link: tuple[Method, str | None] | None, group_id: str) -> Row:
    representative = center.first
    method, model = link if link is not None else ("phash", None)
    if file.sha256 == representative.sha256:
        method, model = "sha256", None
    bits = 0
    if center.phash is not None and look.phash is not None:
        bits = distance(center.phash, mirrored_phash(look.phash) if method == "phash+mirror" else look.phash)
    return {
        "media_id": file.media_id,
        "owner": file.owner,
        "input_version": file.sha256,
        "code_version": _CODE_VERSION,
        "model": model,
        "group_id": group_id,
        "representative_media_id": representative.media_id,
        "distance": bits,
        "method": None if file.media_id == representative.media_id else method,
    }
