"""A lost ledger, made again from the tables of the library and a full listing of the inbox.

The tables tell every accepted and every refused upload with its version (``files.etag``), every stored original, every
result that has rows, and what decides about pairs. They do not tell which results have *no* rows because there was
nothing to find (no face, no text, no web version that is smaller): Dagster's records do, where they are left, and
otherwise these are computed again. So is ``metadata`` of files with sidecars. Batches, waiting uploads and failures are
found again by the listing.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from media_assets.models.vision_recipe import FACES
from media_assets.pipeline.assets import (
    ANALYZE_ASSETS,
    INGEST_ASSETS,
    METADATA,
    OPTIMIZED,
    ORIGINAL,
    RECOGNIZED,
    TABLE_OF,
    THUMBNAILS,
)
from media_assets.pipeline.library import Library
from media_assets.pipeline.pairs import live_key, match_pairs, name_key
from media_assets.pipeline.sharing_rebuild import restore_copies
from media_assets.storage import catalog, keys
from media_assets.storage.errors import ObjectMissing, PreconditionFailed
from media_assets.storage.inbox import Inbox, InboxObject
from media_assets.storage.ledger_rebuild import UNKNOWN_ETAG
from media_assets.storage.ledger_schema import MediaEntry, Outcome, PairFacts, Preview
from media_assets.storage.tables import read_parts

Row: TypeAlias = dict[str, Any]
Recorded: TypeAlias = Callable[[str], Mapping[str, str]]
"""From an asset to the data version of the newest materialization of each of its partitions."""

_MAY_HAVE_NO_ROWS = (OPTIMIZED, *ANALYZE_ASSETS)
_VERSIONS = ("media_id", "input_version", "code_version", "run_id", "computed_at")
_COLUMNS: dict[str, tuple[str, ...]] = {
    "files": (
        *("owner", "source_key", "sha256", "size_bytes", "media_type", "format", "width_px", "height_px"),
        *("duration_s", "duplicate_of", "original_path", "received_at", "etag"),
    ),
    "metadata": ("captured_at", "captured_at_local", "live_photo_id", "pair_media_id"),
    "renditions": ("asset", "kind", "path", "frame_s"),
    "rejected": ("owner", "source_key", "size_bytes", "etag", "attempts", "first_seen_at", "last_seen_at"),
    FACES: ("embedding_model",),
}
_PAIRS_AT_ONCE = 500


@dataclass
class RebuildReport:
    """What was found.

    Attributes:
        accepted: Uploads with a stored original.
        rejected: Uploads whose present version is refused.
        results: Results of assets.
        compared: Uploads of unknown version whose bytes were compared with the stored ones.
        listed: Objects that the inbox shows.
        new: Those of them that wait to be processed.
        media_ids: Files with a stored original, in the order in which they came.
    """

    accepted: int = 0
    rejected: int = 0
    results: int = 0
    compared: int = 0
    listed: int = 0
    new: int = 0
    media_ids: tuple[str, ...] = ()


def rebuild_ledger(
    library: Library, inbox: Inbox, recorded: Recorded, on_month: Callable[[str], None] = lambda month: None
) -> RebuildReport:
    """Fill the ledger, which should be empty; killed at any moment, call it again.

    Nothing else may work on the library meanwhile.

    Args:
        library: The library; its catalog is brought up to date first.
        inbox: The inbox whose uploads are known again.
        recorded: What Dagster knows; asked for assets whose results may have no rows.
        on_month: Told each month before it is read.

    Raises:
        StorageError: Tables, inbox or ledger cannot be read or written.
        CompactionBusyError: Another process is compacting the catalog.
    """
    inbox.list(None, 1)  # whether it is there, before anything is written
    library.compact()
    report, came = RebuildReport(), []
    known = {asset: recorded(asset) for asset in _MAY_HAVE_NO_ROWS}
    months = sorted(
        {*catalog.current_months(library.store, "files"), *catalog.current_months(library.store, "rejected")}
    )
    for month in months:
        on_month(month)
        tables = {name: _rows(library, name, month) for name in {*TABLE_OF.values(), "rejected"}}
        entries = [_entry(inbox.url, month, files, refused) for files, refused in _uploads(tables)]
        outcomes = list(_outcomes(tables, known))
        library.ledger.restore(entries, outcomes, _previews(tables), departing=library.settings.after_ingest != "keep")
        firsts = [row for rows in tables["files"].values() for row in rows if row["duplicate_of"] is None]
        library.ledger.restore_originals(
            (row["owner"], row["sha256"], row["original_path"], row["media_id"]) for row in firsts
        )
        came += sorted((entry.seen_at, entry.media_id) for entry in entries if entry.original_key is not None)
        report.accepted += sum(entry.state == "accepted" for entry in entries)
        report.rejected += sum(entry.state == "rejected" for entry in entries)
        report.results += len(outcomes)
        _restore_pairs(library, tables)
    _restore_originals(library)
    restore_copies(library)
    report.media_ids = tuple(media_id for _, media_id in came)
    _list_all(library, inbox, report)
    return report


def _rows(library: Library, table: str, month: str) -> dict[str, list[Row]]:
    """Current rows of a month by media id, with the columns that are needed."""
    found: dict[str, list[Row]] = {}
    columns = (*_VERSIONS, *_COLUMNS.get(table, ()))
    for row in catalog.read_month(library.store, table, month, columns).to_pylist():
        found.setdefault(row["media_id"], []).append(row)
    return found


def _uploads(tables: Mapping[str, Mapping[str, list[Row]]]) -> Iterator[tuple[Row | None, Row | None]]:
    files, rejected = tables["files"], tables["rejected"]
    for media_id in sorted({*files, *rejected}):
        yield (
            files[media_id][0] if media_id in files else None,
            rejected[media_id][0] if media_id in rejected else None,
        )


def _entry(inbox_url: str, month: str, files: Row | None, rejected: Row | None) -> MediaEntry:
    row = files or rejected
    assert row is not None  # noqa: S101 - at least one of them is there
    seen_at: datetime = files["received_at"] if files is not None else row["first_seen_at"]
    # A stored original that was damaged when it was read again is rejected under the version that was accepted.
    is_refused = rejected is not None and (files is None or rejected["etag"] != files["etag"])
    shown = rejected if is_refused and rejected is not None else row
    return MediaEntry(
        media_id=row["media_id"],
        source_key=row["source_key"],
        owner=row["owner"],
        inbox=inbox_url,
        month=month,
        first_seen_at=seen_at,
        etag=shown["etag"] or UNKNOWN_ETAG,
        size_bytes=shown["size_bytes"] or 0,
        modified_at=seen_at,
        seen_at=seen_at,
        state="rejected" if is_refused else "accepted",
        batch_id=None,
        attempts=rejected["attempts"] if is_refused and rejected is not None else 0,
        problem=None,
        problem_message=None,
        first_rejected_at=rejected["first_seen_at"] if rejected is not None else None,
        sha256=files["sha256"] if files is not None else None,
        original_key=files["original_path"] if files is not None else None,
    )


def _outcomes(
    tables: Mapping[str, Mapping[str, list[Row]]], known: Mapping[str, Mapping[str, str]]
) -> Iterator[Outcome]:
    for media_id, (files, *_) in tables["files"].items():
        for asset in (*INGEST_ASSETS, *ANALYZE_ASSETS):
            rows = tables[TABLE_OF[asset]].get(media_id, [])
            if asset in (THUMBNAILS, OPTIMIZED):
                rows = [row for row in rows if (row["asset"] or THUMBNAILS) == asset]
            if rows:
                # A face that was encoded tells that recognition was allowed.
                encoded = asset == FACES and any(row["embedding_model"] is not None for row in rows)
                yield _outcome(rows[0], asset, rows[0]["input_version"], encoded=encoded)
                continue
            made_of, _, code_version = known.get(asset, {}).get(media_id, "").partition(".")
            if code_version and files["sha256"].startswith(made_of):
                yield _outcome({**files, "code_version": code_version}, asset, files["sha256"])
    for media_id, (rejected, *_) in tables["rejected"].items():
        if media_id not in tables["files"]:
            yield _outcome(rejected, ORIGINAL, rejected["input_version"], state="rejected")


def _outcome(
    row: Row, asset: str, input_version: str | None, *, encoded: bool = False, state: Any = "materialized"
) -> Outcome:
    return Outcome(
        media_id=row["media_id"],
        asset=asset,
        state=state,
        input_version=input_version,
        code_version=row["code_version"] + (RECOGNIZED if encoded else ""),
        run_id=row["run_id"],
        root_run_id=row["run_id"],
        at=row["computed_at"],
    )


def _previews(tables: Mapping[str, Mapping[str, list[Row]]]) -> Iterator[Preview]:
    for media_id, (files, *_) in tables["files"].items():
        renditions = {row["kind"]: row for row in tables["renditions"].get(media_id, []) if row["asset"] != OPTIMIZED}
        preview = renditions.get("preview")
        if preview is None:
            continue
        frames = sorted((row["path"], row["frame_s"] or 0.0) for kind, row in renditions.items() if "frame_" in kind)
        yield Preview(
            media_id=media_id,
            input_version=preview["input_version"],
            data_version=f"{preview['input_version'][:16]}.{preview['code_version']}",
            preview_key=preview["path"] if files["media_type"] == "image" or frames else "",
            width_px=files["width_px"],
            height_px=files["height_px"],
            frames=tuple(frames),
        )


def _restore_pairs(library: Library, tables: Mapping[str, Mapping[str, list[Row]]]) -> None:
    facts, written = [], {}
    for media_id, (metadata, *_) in tables[TABLE_OF[METADATA]].items():
        files = tables["files"].get(media_id, [None])[0]
        if files is None:
            continue
        local: datetime | None = metadata["captured_at_local"]
        facts.append(
            PairFacts(
                media_id=media_id,
                name_key=name_key(files["source_key"]),
                live_key=live_key(files["owner"], metadata["live_photo_id"]),
                media_type=files["media_type"],
                format=files["format"][:16],
                duration_s=files["duration_s"],
                captured_at=metadata["captured_at"] or (local.replace(tzinfo=UTC) if local is not None else None),
            )
        )
        if metadata["pair_media_id"] is not None:
            written[media_id] = metadata["pair_media_id"]
    for start in range(0, len(facts), _PAIRS_AT_ONCE):
        library.ledger.record_pairs(facts[start : start + _PAIRS_AT_ONCE], written, match_pairs)


def _restore_originals(library: Library) -> None:
    """From all parts, after the current rows: bytes of older versions are stored too, and are not stored again."""
    columns = ("owner", "sha256", "original_path", "media_id", "duplicate_of", "computed_at")
    for with_duplicates in (False, True):
        for key, part in read_parts(library.store, TABLE_OF[ORIGINAL]):
            parsed = keys.parse_part_key(key)
            if parsed is None or parsed.removed:
                continue
            rows = part.select(list(columns)).to_pylist()
            rows = [row for row in rows if with_duplicates or row["duplicate_of"] is None]
            rows.sort(key=lambda row: (row["computed_at"], row["media_id"]))
            library.ledger.restore_originals(
                (row["owner"], row["sha256"], row["original_path"], row["duplicate_of"] or row["media_id"])
                for row in rows
            )


def _list_all(library: Library, inbox: Inbox, report: RebuildReport) -> None:
    """Compare with everything that the inbox shows, as a sweep does."""
    position = None
    while True:
        page = inbox.list(position, library.settings.inbox_page_size)
        report.compared += _adopt(library, inbox, page.objects)
        result = library.ledger.record_page(inbox.url, page.objects, page.position, take_over=True)
        report.listed += len(page.objects)
        report.new += result.new
        position = page.position
        if position is None:
            return


def _adopt(library: Library, inbox: Inbox, objects: tuple[InboxObject, ...]) -> int:
    """Find out by their bytes whether uploads of unknown version are the stored ones; return how many were compared."""
    by_id = {keys.media_id(found.source_key): found for found in objects if found.problem is None}
    entries = library.ledger.entries(by_id)
    unknown = [one for one in entries.values() if one.etag == UNKNOWN_ETAG and one.state == "accepted"]
    unknown = [one for one in unknown if one.size_bytes == by_id[one.media_id].size_bytes]
    same: list[str] = []
    with tempfile.TemporaryDirectory(dir=library.store.scratch_dir()) as folder:
        path = Path(folder) / "upload"
        for one in unknown:
            found = by_id[one.media_id]
            try:
                sha256 = inbox.fetch(found.source_key, found.etag, found.size_bytes, path, found.size_bytes)
            except (ObjectMissing, PreconditionFailed):
                continue  # gone or changed meanwhile: the next sweep tells
            if sha256 == one.sha256:
                same.append(one.media_id)
    library.ledger.adopt_versions([by_id[media_id] for media_id in same], same)
    return len(unknown)
