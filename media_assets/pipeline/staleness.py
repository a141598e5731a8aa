"""Which results are out of date: made by other code, other parameters, or of another version of the file.

The same answer for the command line and for "redo exactly what is out of date". Pure decisions over the ledger.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from media_assets.pipeline.assets import ANALYZE_ASSETS, INGEST_ASSETS, PROTECT_ASSETS, SHAREABLE, ledger_version
from media_assets.pipeline.consent import PURPOSE_OF, read_consents
from media_assets.pipeline.library import Library
from media_assets.pipeline.recipe import recipe_of
from media_assets.pipeline.sharing_selection import shared_states
from media_assets.pipeline.skips import NO_CONSENT
from media_assets.storage.ledger_copies import ShareRow
from media_assets.storage.ledger_schema import ResultVersion

Freshness = Literal["current", "out_of_date", "missing", "failed"]

REPROCESSED: tuple[Freshness, ...] = ("out_of_date", "missing", "failed")


@dataclass(frozen=True)
class AssetFreshness:
    """How the results of one asset stand, over all accepted files that are not archived."""

    asset: str
    counts: Counter[Freshness]


def freshness_of(library: Library, asset: str, *, archived: bool = False) -> Iterator[tuple[str, Freshness]]:
    """Yield, for each accepted file, its media id and how its result of ``asset`` stands.

    Args:
        library: The library.
        asset: Name of the asset.
        archived: Only archived files, instead of those that are not: nothing of them is computed again.

    Raises:
        StorageError: The ledger or the register of consents cannot be read.
        ModelError: The settings name a model that does not exist.
        SettingsError: The policy file is not usable.
    """
    if asset == SHAREABLE:
        for share, verdict in shared_states(library, archived=archived):
            yield share.media_id, _freshness(share, verdict.version)
        return
    recipe, consents = recipe_of(library.settings), read_consents(library)
    purpose, expected = PURPOSE_OF.get(asset), dict[str, str]()
    for row in library.ledger.result_versions(asset, archived=archived):
        owner = row.owner
        if owner not in expected:
            is_denied = purpose is not None and not consents.allows(owner, purpose)
            recognizes, locates = consents.allows(owner, "recognition"), consents.allows(owner, "location")
            version = ledger_version(asset, recipe, recognizes=recognizes, locates=locates)
            expected[owner] = NO_CONSENT if is_denied else version
        yield row.media_id, _freshness(row, expected[owner])


def _freshness(row: ResultVersion | ShareRow, expected: str) -> Freshness:
    if row.state is None:
        return "missing"
    if row.state == "failed":
        return "failed"
    if row.input_version != row.sha256 or row.code_version != expected:
        return "out_of_date"
    return "current"


def library_freshness(library: Library) -> list[AssetFreshness]:
    """Return how the results of every per-file asset stand; assets that are off, and archived files, are left out."""
    vision = recipe_of(library.settings).vision
    assets = (*INGEST_ASSETS, *(asset for asset in ANALYZE_ASSETS if vision.is_on(asset)), *PROTECT_ASSETS)
    return [
        AssetFreshness(asset, Counter(freshness for _, freshness in freshness_of(library, asset))) for asset in assets
    ]
