"""Asset checks of op ``ingest`` and of the catalog: verdicts on single files, and their sum over a run or the library.

The verdicts on a file go into its own materialization (``defs.events``), where the page of its partition shows them.
The checks that Dagster counts look at all files of a run, or at the whole library when they are executed on their own,
and name the partitions that did not pass. Why it is so: docs/decisions.md.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import dagster as dg

from media_assets.media.plausibility import TimeAndPlace, doubts_about_position, doubts_about_time
from media_assets.media.records import Crop, Rendition
from media_assets.media.rendition_doubts import doubts_about_thumbnail, doubts_about_web_version
from media_assets.pipeline.assets import METADATA, OPTIMIZED, ORIGINAL, REJECTED_TABLE, THUMBNAILS
from media_assets.pipeline.library import Library
from media_assets.pipeline.outcomes import FileOutcome
from media_assets.storage import catalog
from media_assets.storage.errors import ObjectMissing

_LISTED = 20
_REASONS = 3  # of one file and check; a file can carry hundreds of notes

INGEST_CHECKS = (
    dg.AssetCheckSpec(
        "decodable",
        asset=ORIGINAL,
        description="Every file of the run could be decoded. A warning lists those that were rejected.",
    ),
    dg.AssetCheckSpec(
        "checksum_matches",
        asset=ORIGINAL,
        description="Every stored original was compared with the SHA-256 of what was read.",
    ),
    dg.AssetCheckSpec(
        "plausible_time",
        asset=METADATA,
        description="No capture time is in the future, before 1826 or a day away from the position fix, and none was "
        "ignored as impossible. A file without a capture time passes.",
    ),
    dg.AssetCheckSpec(
        "plausible_position",
        asset=METADATA,
        description="No position is out of range, exactly 0, 0 or at an altitude below -500 m or above 20,000 m, none "
        "was ignored as impossible, and its time zone fits the offset of the capture time. A file without one passes.",
    ),
    dg.AssetCheckSpec(
        "dimensions_match",
        asset=THUMBNAILS,
        description="Every thumbnail has the size of the upright original fitted into its box, or of its square.",
    ),
    dg.AssetCheckSpec(
        "web_version_fits",
        asset=OPTIMIZED,
        description="No web version of a picture is larger than 2048 px, nor larger than the file that it stands for, "
        "nor less similar to it than SSIM 0.95; no web version was given up.",
    ),
)

CATALOG_CHECK = dg.AssetCheckSpec(
    "one_row_per_key", asset="catalog", description="No key stands twice in a table of the catalog, over all months."
)

_ASSET_OF = {spec.name: spec.asset_key.to_user_string() for spec in INGEST_CHECKS}
_WARNINGS = ("decodable", "plausible_time", "plausible_position", "web_version_fits", "nothing_to_review")
_SEVERITY = dict.fromkeys(_WARNINGS, dg.AssetCheckSeverity.WARN)
_RENDITION_COLUMNS = (
    *("kind", "path", "format", "width_px", "height_px", "size_bytes", "ssim"),
    *("crop_x_px", "crop_y_px", "crop_width_px", "crop_height_px", "crop_reason"),
)
_JUDGED = tuple(one.name for one in fields(TimeAndPlace))

Verdicts = Mapping[str, tuple[str, ...]]
"""Why a file does not pass, by name of the check; empty reasons: it passes. Checks that do not apply are missing."""


def verdicts(outcome: FileOutcome, now: datetime) -> Verdicts:
    """Judge one file by the checks of those assets that were asked for.

    Args:
        outcome: The file; one that failed or is gone is not judged.
        now: Aware time of the judgement.
    """
    if outcome.state == "rejected" and outcome.error is not None:
        return {"decodable": (str(outcome.error.reason),)}
    if outcome.state != "materialized" or outcome.result is None:
        return {}
    found: dict[str, tuple[str, ...]] = {"decodable": ()}
    if ORIGINAL in outcome.assets:
        found["checksum_matches"] = () if outcome.verified else ("It was not compared: see verify_originals.",)
    metadata = outcome.result.metadata
    if METADATA in outcome.assets and metadata is not None:
        found |= _doubts(TimeAndPlace(**{name: getattr(metadata, name) for name in _JUDGED}), now)
    facts = outcome.result.facts
    if THUMBNAILS in outcome.assets:
        size = (facts.width_px, facts.height_px)
        found["dimensions_match"] = tuple(
            doubt for one in outcome.renditions_of(THUMBNAILS) for doubt in doubts_about_thumbnail(one.made, size)
        )
    if OPTIMIZED in outcome.assets:
        source_bytes = outcome.size_bytes or 0
        found["web_version_fits"] = tuple(
            doubt
            for one in outcome.renditions_of(OPTIMIZED)
            for doubt in doubts_about_web_version(one.made, source_bytes)
        )
    elif OPTIMIZED in outcome.given_up:
        found["web_version_fits"] = (str(outcome.given_up[OPTIMIZED].reason),)
    return found


def _doubts(known: TimeAndPlace, now: datetime) -> dict[str, tuple[str, ...]]:
    return {"plausible_time": doubts_about_time(known, now), "plausible_position": doubts_about_position(known)}


def verdicts_text(found: Verdicts, asset: str) -> str | None:
    """Return the verdicts of the checks of one asset as Markdown, a line each, or ``None`` when none applies."""
    lines = [
        f"- {name}: passed" if not reasons else f"- {name}: **{_severity(name).value}** {_code(reasons)}"
        for name, reasons in found.items()
        if _ASSET_OF[name] == asset
    ]
    return "\n".join(lines) or None


def _severity(name: str) -> dg.AssetCheckSeverity:
    return _SEVERITY.get(name, dg.AssetCheckSeverity.ERROR)


def _code(reasons: Sequence[str]) -> str:
    """Reasons as Markdown in which nothing of them can act."""
    text = " ".join(reasons[:_REASONS]).replace("`", "'")
    more = f" and {len(reasons) - _REASONS} more" if len(reasons) > _REASONS else ""
    return f"`{text[:300]}`{more}"


@dataclass
class CheckFacts:
    """Sum of the verdicts on the files of a run or of the library; filled chunk by chunk.

    Attributes:
        asset_of: Asset of each check.
        checked: Number of files by check.
        not_passed: Number of files that did not pass, by check.
        listed: The first of those, by check: media id, reasons, whether it has a partition.
    """

    asset_of: Mapping[str, str] = field(default_factory=lambda: _ASSET_OF)
    checked: Counter[str] = field(default_factory=Counter)
    not_passed: Counter[str] = field(default_factory=Counter)
    listed: dict[str, list[tuple[str, tuple[str, ...], bool]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, media_id: str, found: Verdicts, *, has_partition: bool = True) -> None:
        """Count the verdicts on one file."""
        for name, reasons in found.items():
            self.checked[name] += 1
            if reasons:
                self.not_passed[name] += 1
                if len(self.listed[name]) < _LISTED:
                    self.listed[name].append((media_id, reasons, has_partition))

    def add_outcomes(self, outcomes: Sequence[FileOutcome], judged: Sequence[Verdicts]) -> None:
        """Count the verdicts on a chunk, which stand in the order of its outcomes."""
        for outcome, found in zip(outcomes, judged, strict=True):
            # A refused file that was never accepted loses its partition when its batch is closed.
            self.add(
                outcome.entry.media_id,
                found,
                has_partition=outcome.state != "rejected" or outcome.entry.original_key is not None,
            )

    def result(self, name: str) -> dg.AssetCheckResult:
        """Return the result of one of the checks."""
        asset = self.asset_of[name]
        lines = [
            (f"- [{media_id}](/assets/{asset}?view=partitions&partition={media_id})" if has_page else f"- `{media_id}`")
            + f": {_code(reasons)}"
            for media_id, reasons, has_page in self.listed[name]
        ]
        return dg.AssetCheckResult(
            passed=not self.not_passed[name],
            asset_key=asset,
            check_name=name,
            severity=_severity(name),
            description=f"{self.not_passed[name]} of {self.checked[name]} files did not pass.",
            metadata={
                "checked": dg.MetadataValue.int(self.checked[name]),
                "not_passed": dg.MetadataValue.int(self.not_passed[name]),
                **({"first": dg.MetadataValue.md("\n".join(lines))} if lines else {}),
            },
        )


def facts_of_library(library: Library, names: Iterable[str], now: datetime) -> CheckFacts:
    """Judge everything that the catalog names, with one pass over each table that a check needs.

    Args:
        library: Where; ``checksum_matches`` reads every stored original once.
        names: The checks that are wanted.
        now: Aware time of the judgement.

    Raises:
        StorageError: The catalog or the store cannot be read. A missing original is a fact, not an error.
    """
    wanted, facts = set(names), CheckFacts()
    if "decodable" in wanted:
        columns = ["media_id", "reason_code"]
        for row in _rows(library, REJECTED_TABLE, columns):
            facts.add(row["media_id"], {"decodable": (row["reason_code"],)}, has_partition=False)
    if wanted & {"plausible_time", "plausible_position"}:
        for row in _rows(library, "metadata", ["media_id", *_JUDGED]):
            found = _doubts(TimeAndPlace(**{name: row[name] for name in _JUDGED}), now)
            facts.add(row["media_id"], {name: found[name] for name in wanted & found.keys()})
    if wanted & {"decodable", "checksum_matches", "dimensions_match", "web_version_fits"}:
        columns = ["media_id", "sha256", "original_path", "width_px", "height_px", "size_bytes"]
        files = {row["media_id"]: row for row in _rows(library, "files", columns)}
        if "decodable" in wanted:
            facts.checked["decodable"] += len(files)
        if "checksum_matches" in wanted:
            _check_originals(library, files, facts)
        if wanted & {"dimensions_match", "web_version_fits"}:
            _check_renditions(library, files, wanted, facts)
    return facts


def _rows(library: Library, table: str, columns: Sequence[str]) -> Iterable[dict[str, Any]]:
    for batch in catalog.read_current(library.store, table, columns).to_batches():
        yield from batch.to_pylist()


def _check_originals(library: Library, files: Mapping[str, Mapping[str, Any]], facts: CheckFacts) -> None:
    intact: dict[str, bool] = {}  # equal files share an original
    for media_id, row in files.items():
        path = row["original_path"]
        if path not in intact:
            try:
                intact[path] = library.store.sha256(path) == row["sha256"]
            except ObjectMissing:
                intact[path] = False
        reasons = () if intact[path] else ("The stored original is missing or has other bytes.",)
        facts.add(media_id, {"checksum_matches": reasons})


def _check_renditions(
    library: Library, files: Mapping[str, Mapping[str, Any]], wanted: Collection[str], facts: CheckFacts
) -> None:
    found: dict[str, dict[str, list[str]]] = {}
    for row in _rows(library, "renditions", ["media_id", "asset", *_RENDITION_COLUMNS]):
        file = files.get(row["media_id"])
        name = "web_version_fits" if row["asset"] == OPTIMIZED else "dimensions_match"
        if name not in wanted:
            continue
        reasons = found.setdefault(name, {}).setdefault(row["media_id"], [])
        if file is None:
            reasons.append(f"{row['kind']} belongs to no accepted file.")
            continue
        made = _rendition(row)
        if row["asset"] == OPTIMIZED:
            reasons += doubts_about_web_version(made, file["size_bytes"])
        else:
            reasons += doubts_about_thumbnail(made, (file["width_px"], file["height_px"]))
    for name, by_file in found.items():
        for media_id, reasons in by_file.items():
            facts.add(media_id, {name: tuple(reasons)})


def _rendition(row: Mapping[str, Any]) -> Rendition:
    """A row of table ``renditions`` as the record that the judgement takes."""
    crop = None
    if row["crop_width_px"] is not None:
        left, top, width, height = (row[f"crop_{name}_px"] for name in ("x", "y", "width", "height"))
        crop = Crop(left, top, width, height, row["crop_reason"])
    facts = {name: row[name] for name in ("kind", "format", "width_px", "height_px", "size_bytes", "ssim")}
    return Rendition(file_name=row["path"].rpartition("/")[2], crop=crop, **facts)
