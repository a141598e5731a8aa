"""Asset checks of op ``ingest`` and of the catalog. Each looks at all files of its run.

Specs and the results computed from outcomes; where they are yielded is in ``defs.assets``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import dagster as dg

from media_assets.media.resize import RENDITION_SIZES, fit_box
from media_assets.pipeline.assets import ORIGINAL, THUMBNAILS
from media_assets.pipeline.outcomes import FileOutcome

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
                "first": dg.MetadataValue.md("\n".join(f"- `{line}`" for line in bad[:_LISTED]) or "none"),
            },
        )
