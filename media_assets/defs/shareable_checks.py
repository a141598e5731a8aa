"""Asset checks of op ``protect``: how many faces the covering missed, and whether a copy says more than its picture.

Of a run they judge what its proofs found, held copies included. Executed on their own they look at all copies that are
public now, and read each of them anew.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import dagster as dg

from media_assets.defs.checks import CheckFacts, Verdicts
from media_assets.pipeline.assets import SHAREABLE, TABLE_OF
from media_assets.pipeline.library import Library
from media_assets.pipeline.published_tags import tags_of_copy
from media_assets.pipeline.sharing_outcomes import SharedOutcome
from media_assets.storage import catalog
from media_assets.storage.errors import ObjectMissing

PROTECT_CHECKS = (
    dg.AssetCheckSpec(
        "no_face_left",
        asset=SHAREABLE,
        description="In no copy do two detectors, at low thresholds and several scales, find a face that is not "
        "covered. A copy that does not pass is held: it is stored nowhere.",
    ),
    dg.AssetCheckSpec(
        "no_metadata_left",
        asset=SHAREABLE,
        description="No copy has a tag, a track or a byte beside its picture, its colour profile and, if that was "
        "chosen, its sound. Executed on its own it reads every published copy, with exiftool too where that is "
        "installed.",
    ),
)

_ASSET_OF = {spec.name: SHAREABLE for spec in PROTECT_CHECKS}


class SharingCheckFacts(CheckFacts):
    """Sum of the verdicts on the files of a run or of the library."""

    def __init__(self) -> None:
        super().__init__(asset_of=_ASSET_OF)

    def add_sharing(self, outcomes: Iterable[SharedOutcome]) -> None:
        """Count the verdicts on a chunk; only copies that were made are judged."""
        for outcome in outcomes:
            if outcome.copy is not None and outcome.state in ("published", "held"):
                self.add(outcome.media_id, _verdicts(outcome.copy.faces_left, outcome.copy.tags_left))


def _verdicts(faces_left: int, tags_left: Iterable[str]) -> Verdicts:
    found = (f"{faces_left} faces are left; the copy is held.",) if faces_left else ()
    return {"no_face_left": found, "no_metadata_left": tuple(tags_left)}


def facts_of_copies(library: Library, names: Iterable[str]) -> SharingCheckFacts:
    """Judge every file of table ``shareable``; a copy that is missing is a fact, not an error.

    Raises:
        StorageError: The catalog or the store cannot be read.
    """
    facts, wanted = SharingCheckFacts(), set(names)
    for row in _rows(library):
        if "no_face_left" in wanted and row["faces_left"] is not None:
            facts.add(row["media_id"], {"no_face_left": _verdicts(row["faces_left"], ())["no_face_left"]})
        if "no_metadata_left" in wanted and row["path"] is not None:
            try:
                left = tags_of_copy(library.store, row["path"])
            except ObjectMissing:
                left = ("The copy is missing. Materialize shareable again.",)
            facts.add(row["media_id"], {"no_metadata_left": left})
    return facts


def _rows(library: Library) -> Iterator[dict[str, Any]]:
    for batch in catalog.read_current(
        library.store, TABLE_OF[SHAREABLE], ["media_id", "path", "faces_left"]
    ).to_batches():
        yield from batch.to_pylist()
