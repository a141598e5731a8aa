"""Which two files are halves of one shot (``metadata.pair_media_id``), and the rows that have to be told so.

Halves arrive in any order and in different runs. The row of the half that comes second names its partner at once; that
of the other one is written again at the end of the run. What the ledger keeps for it is in ``storage.ledger_pairs``.
"""

import hashlib
import re
import time
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from media_assets.media.signatures import RAW_FORMATS
from media_assets.pipeline.assets import METADATA, TABLE_OF
from media_assets.pipeline.library import Library
from media_assets.pipeline.liveness import is_dead_holder, new_holder
from media_assets.pipeline.outcomes import FileOutcome
from media_assets.storage.ledger_schema import MediaEntry, PairFacts
from media_assets.storage.present import present_rows
from media_assets.storage.tables import PartWriter

MAX_CLIP_S = 10.0
"""A longer video is no live or motion photo, whatever it is called: Apple's are 3 s long, Google's shorter."""

MAX_APART = timedelta(days=1)
"""Files of one name whose capture times differ by more are two shots: cameras count from 1 again."""

_STILLS = {"heic": 0, "heif": 0, "jpeg": 1}  # the first choice first: where there is a HEIC, the JPEG is an export
_RAW_COMPANIONS = {"jpeg": 0, "heic": 1, "heif": 1}
_CLIPS = frozenset({"mov", "mp4"})

_EXTENSION = re.compile(r"(.+)\.[^.]{1,8}", re.DOTALL)
# Google's camera: PXL_x.MP.jpg + PXL_x.MP or PXL_x.MP4; PXL_x.RAW-01.MP.COVER.jpg + PXL_x.RAW-02.ORIGINAL.dng.
_GOOGLE_NAME = re.compile(
    r"(?P<shot>(?:pxl|mvimg)_.+?)(?:\.(?:raw|motion)-[0-9]{2})?(?:\.mp)?(?:\.(?:cover|original))?"
)

_RELINKS_AT_ONCE = 500
_LEASE_ATTEMPTS, _LEASE_WAIT_S = 20, 0.5


def name_key(source_key: str) -> str:
    """Return what the files of one folder and stem have in common: 32 hex digits; letter case does not count."""
    folder, _, name = unicodedata.normalize("NFC", source_key).casefold().rpartition("/")
    match = _EXTENSION.fullmatch(name)
    stem = match[1] if match is not None else name
    google = _GOOGLE_NAME.fullmatch(stem)
    return _hashed(folder, google["shot"] if google is not None else stem)


def live_key(owner: str, content_id: str | None) -> str | None:
    """Return what the halves of one live photo of one owner have in common, ``None`` without an identifier."""
    return None if content_id is None else _hashed(owner, content_id.casefold())


def _hashed(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def facts_of(outcome: FileOutcome) -> PairFacts | None:
    """Return what decides about the pair of a file, ``None`` if its metadata was not computed."""
    result = outcome.result
    if outcome.state != "materialized" or METADATA not in outcome.assets or result is None or result.metadata is None:
        return None
    found = result.metadata
    captured_at = found.captured_at
    if captured_at is None and found.captured_at_local is not None:
        captured_at = found.captured_at_local.replace(tzinfo=UTC)
    return PairFacts(
        media_id=outcome.entry.media_id,
        name_key=name_key(outcome.entry.source_key),
        live_key=live_key(outcome.entry.owner, found.live_photo_id),
        media_type=result.facts.media_type,
        format=result.facts.format[:16],  # text of a decoder process, which is not trusted
        duration_s=result.facts.duration_s,
        captured_at=captured_at,
    )


def match_pairs(files: Sequence[PairFacts]) -> dict[str, str]:
    """Return the partner of each file that has one, by media id. The order of ``files`` does not matter.

    1. A photo and a video of one owner with the same content identifier (Apple), those of one name first.
    2. A HEIC or JPEG and a MOV or MP4 of one folder and stem: at most 10 s long, captured at most a day apart. Files
       with different identifiers are no pair.
    3. A RAW and a JPEG or HEIC of one folder and stem, captured at most a day apart.

    A file has one partner. Of three files of one shot (RAW + JPEG + MOV) the picture names its clip, which nothing else
    refers to, and both the clip and the RAW name the picture: so all of them are found from the picture's id.
    """
    partners: dict[str, str] = {}
    for photo, clip in sorted((*_same_identifier(files), *_same_name(files)), key=_preference):
        if photo.media_id not in partners and clip.media_id not in partners:
            partners[photo.media_id], partners[clip.media_id] = clip.media_id, photo.media_id
    for raw, still in sorted(_raw_and_still(files), key=_raw_preference):
        if raw.media_id not in partners:
            partners[raw.media_id] = still.media_id
            partners.setdefault(still.media_id, raw.media_id)
    return partners


_Edge = tuple[PairFacts, PairFacts]


def _same_identifier(files: Sequence[PairFacts]) -> Iterator[_Edge]:
    groups: dict[str, list[PairFacts]] = defaultdict(list)
    for one in files:
        if one.live_key is not None:
            groups[one.live_key].append(one)
    for group in groups.values():
        photos = [one for one in group if one.media_type == "image"]
        yield from _crossed(photos, [one for one in group if one.media_type == "video"])


def _same_name(files: Sequence[PairFacts]) -> Iterator[_Edge]:
    for group in _by_name(files):
        clips = [
            one for one in group if one.format in _CLIPS and one.duration_s is not None and one.duration_s <= MAX_CLIP_S
        ]
        for photo, clip in _crossed([one for one in group if one.format in _STILLS], clips):
            if (photo.live_key is None or clip.live_key is None) and _same_day(photo, clip):
                yield photo, clip


def _raw_and_still(files: Sequence[PairFacts]) -> Iterator[_Edge]:
    for group in _by_name(files):
        raws = [one for one in group if one.format in RAW_FORMATS]
        for raw, still in _crossed(raws, [one for one in group if one.format in _RAW_COMPANIONS]):
            if _same_day(raw, still):
                yield raw, still


def _by_name(files: Sequence[PairFacts]) -> Iterator[list[PairFacts]]:
    groups: dict[str, list[PairFacts]] = defaultdict(list)
    for one in files:
        groups[one.name_key].append(one)
    yield from groups.values()


_MOST_OF_A_KIND = 64


def _crossed(one: Sequence[PairFacts], other: Sequence[PairFacts]) -> Iterator[_Edge]:
    """Every file of one kind with every one of another; more than 64 of a kind under one key are no shot."""
    first, second = (sorted(files, key=_media_id)[:_MOST_OF_A_KIND] for files in (one, other))
    yield from product(first, second)


def _media_id(file: PairFacts) -> str:
    return file.media_id


def _apart(one: PairFacts, other: PairFacts) -> timedelta | None:
    if one.captured_at is None or other.captured_at is None:
        return None
    return abs(one.captured_at - other.captured_at)


def _same_day(one: PairFacts, other: PairFacts) -> bool:
    apart = _apart(one, other)
    return apart is None or apart <= MAX_APART


def _nearness(one: PairFacts, other: PairFacts) -> timedelta:
    apart = _apart(one, other)
    return timedelta.max if apart is None else apart


def _preference(edge: _Edge) -> tuple[Any, ...]:
    photo, clip = edge
    by_identifier = photo.live_key is not None and photo.live_key == clip.live_key
    return (
        not by_identifier,
        photo.name_key != clip.name_key,
        _STILLS.get(photo.format, 2),
        _nearness(photo, clip),
        photo.media_id,
        clip.media_id,
    )


def _raw_preference(edge: _Edge) -> tuple[Any, ...]:
    raw, still = edge
    return (_RAW_COMPANIONS[still.format], _nearness(raw, still), raw.media_id, still.media_id)


def relink(library: Library, writer: PartWriter) -> int:
    """Write the rows of files again whose partner came, changed or went in this run or an earlier one.

    Needs no events: such a row was computed from the same bytes by the same code, its data version is the same and its
    materialization shows nothing of the partner. Marking the partition would also need a run that covers it.

    Returns:
        How many rows were written.

    Raises:
        StorageError: Rows cannot be read or written; what is left is done by the next run.
    """
    done = 0
    if not library.ledger.unwritten_pairs(1):
        return done
    for _ in range(_LEASE_ATTEMPTS):
        with library.ledger.lease("pairs", new_holder(), timedelta(minutes=5), is_dead=is_dead_holder) as obtained:
            while obtained and (due := library.ledger.unwritten_pairs(_RELINKS_AT_ONCE)):
                done += _write_again(library, writer, due)
        if obtained or not library.ledger.unwritten_pairs(1):
            break
        time.sleep(_LEASE_WAIT_S)
    return done


def _write_again(library: Library, writer: PartWriter, due: Sequence[tuple[MediaEntry, str | None]]) -> int:
    table = TABLE_OF[METADATA]
    months: dict[str, dict[str, str | None]] = defaultdict(dict)
    for entry, partner in due:
        months[entry.month][entry.media_id] = partner
    written = 0
    for month, partners in months.items():
        rows = [
            _linked(row, partners[media_id])
            for media_id, row in present_rows(library.store, table, month, partners).items()
        ]
        if rows:
            writer.append(table, month, rows)
        written += len(rows)
        # Files without a row, which was deleted by hand, have nothing to correct.
        library.ledger.pairs_written(partners.items())
    return written


def _linked(row: Mapping[str, Any], partner: str | None) -> dict[str, Any]:
    """The same row with another partner; only a microsecond younger: what was computed meanwhile must win over it."""
    computed_at: datetime = row["computed_at"]
    kept = {name: value for name, value in row.items() if name != "run_id"}
    return {**kept, "pair_media_id": partner, "computed_at": computed_at + timedelta(microseconds=1)}
