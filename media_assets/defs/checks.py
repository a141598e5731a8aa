"""Asset checks of op ``ingest`` and of the catalog.

Each looks at all files of its run, or at the whole library when it is executed on its own.

Specs and the results computed from outcomes; where they are yielded is in ``defs.assets``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import dagster as dg

from media_assets.media.resize import RENDITION_SIZES, fit_box
from media_assets.pipeline.assets import ORIGINAL, REJECTED_TABLE, THUMBNAILS
from media_assets.pipeline.library import Library
from media_assets.pipeline.outcomes import FileOutcome
from media_assets.storage import catalog
from media_assets.storage.errors import ObjectMissing

_LISTED = 20

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
        "dimensions_match",
        asset=THUMBNAILS,
        description="Every rendition has the size of the upright original fitted into its box.",
    ),
)

CATALOG_CHECK = dg.AssetCheckSpec(
    "one_row_per_key", asset="catalog", description="No key stands twice in a table of the catalog, over all months."
)


@dataclass
class CheckFacts:
    """What the checks of a run need to know of its outcomes; filled chunk by chunk, pictures are not kept."""

    files: int = 0
    rejected: list[str] = field(default_factory=list)
    stored: int = 0
    unverified: list[str] = field(default_factory=list)
    renditions: int = 0
    wrong_size: list[str] = field(default_factory=list)

    def add(self, outcomes: Sequence[FileOutcome]) -> None:
        """Take note of a chunk."""
        for outcome in outcomes:
            self.files += 1
            if outcome.error is not None:
                self.rejected.append(f"{outcome.entry.media_id}: {outcome.error.reason}")
            if outcome.state != "materialized" or outcome.result is None:
                continue
            if ORIGINAL in outcome.assets:
                self.stored += 1
                if not outcome.verified:
                    self.unverified.append(outcome.entry.media_id)
            facts = outcome.result.facts
            boxes = {size.kind: fit_box(facts.width_px, facts.height_px, size.longest_px) for size in RENDITION_SIZES}
            for rendition in outcome.renditions:
                self.renditions += 1
                if boxes[rendition.kind] != (rendition.width_px, rendition.height_px):
                    self.wrong_size.append(f"{outcome.entry.media_id}: {rendition.kind}")

    def result(self, name: str) -> dg.AssetCheckResult:
        """Return the result of one of ``INGEST_CHECKS``."""
        asset, bad, count = {
            "decodable": (ORIGINAL, self.rejected, self.files),
            "checksum_matches": (ORIGINAL, self.unverified, self.stored),
            "dimensions_match": (THUMBNAILS, self.wrong_size, self.renditions),
        }[name]
        return dg.AssetCheckResult(
            passed=not bad,
            asset_key=asset,
            check_name=name,
            severity=dg.AssetCheckSeverity.WARN if name == "decodable" else dg.AssetCheckSeverity.ERROR,
            metadata={
                "checked": dg.MetadataValue.int(count),
                "not_passed": dg.MetadataValue.int(len(bad)),
                **({"first": dg.MetadataValue.md("\n".join(f"- `{line}`" for line in bad[:_LISTED]))} if bad else {}),
            },
        )


def facts_of_library(library: Library) -> CheckFacts:
    """Return the facts of everything that the catalog names; reads every stored original once.

    Raises:
        StorageError: The catalog or the store cannot be read. A missing original is a fact, not an error.
    """
    facts = CheckFacts()
    rejected = catalog.read_current(library.store, REJECTED_TABLE, ["media_id", "reason_code"]).to_pylist()
    facts.rejected = [f"{row['media_id']}: {row['reason_code']}" for row in rejected]
    columns = ["media_id", "sha256", "original_path", "width_px", "height_px"]
    files = {row["media_id"]: row for row in catalog.read_current(library.store, "files", columns).to_pylist()}
    facts.files, facts.stored = len(files) + len(rejected), len(files)
    intact: dict[str, bool] = {}  # equal files share an original
    for media_id, row in files.items():
        path = row["original_path"]
        if path not in intact:
            try:
                intact[path] = library.store.sha256(path) == row["sha256"]
            except ObjectMissing:
                intact[path] = False
        if not intact[path]:
            facts.unverified.append(media_id)
    columns = ["media_id", "kind", "width_px", "height_px"]
    longest = {size.kind: size.longest_px for size in RENDITION_SIZES}
    for row in catalog.read_current(library.store, "renditions", columns).to_pylist():
        facts.renditions += 1
        file = files.get(row["media_id"])
        box = fit_box(file["width_px"], file["height_px"], longest[row["kind"]]) if file is not None else None
        if box != (row["width_px"], row["height_px"]):
            facts.wrong_size.append(f"{row['media_id']}: {row['kind']}")
    return facts
