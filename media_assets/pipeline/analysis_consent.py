"""What consents leave of an analysis: decided before models look, and again before rows are written."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from media_assets.models.vision_recipe import FACES
from media_assets.pipeline.analysis_outcomes import AnalysisItem, AnalysisOutcome
from media_assets.pipeline.consent import PURPOSE_OF, Consents
from media_assets.pipeline.selection import RunIdentity
from media_assets.pipeline.skips import NO_CONSENT, PEOPLE, write_skips
from media_assets.storage.ledger_schema import MediaEntry
from media_assets.storage.tables import PartWriter


def denied_assets(consents: Consents, item: AnalysisItem) -> frozenset[str]:
    """Return those assets that the owner of a file has not consented to."""
    owner = item.entry.owner
    return frozenset(asset for asset in item.assets if not consents.allows(owner, PURPOSE_OF[asset]))


def without_consent(consents: Consents, outcome: AnalysisOutcome) -> AnalysisOutcome:
    """Return the outcome without what is not allowed now, vectors of faces included."""
    denied = outcome.denied | denied_assets(consents, outcome.item)
    made = {asset: found for asset, found in outcome.made.items() if asset not in denied}
    recognizes = outcome.recognizes and consents.allows(outcome.item.entry.owner, "recognition")
    if outcome.recognizes and not recognizes and FACES in made:
        bare = tuple(
            replace(one, faces=tuple(replace(face, vector=None) for face in one.faces)) for one in made[FACES].findings
        )
        made[FACES] = replace(made[FACES], findings=bare)
    failed = {asset: message for asset, message in outcome.failed.items() if asset not in denied}
    return replace(outcome, made=made, failed=failed, denied=denied, recognizes=recognizes)


def write_denied(writer: PartWriter, outcomes: Sequence[AnalysisOutcome], run: RunIdentity, at: datetime) -> None:
    """Say in table ``skipped`` what was left out, and remove rows of it that an earlier run may have written.

    Raises:
        StorageError: The rows cannot be written.
    """
    denied: dict[str, dict[MediaEntry, str]] = defaultdict(dict)
    rows: dict[tuple[str, str], list[str]] = defaultdict(list)
    for outcome in outcomes:
        entry = outcome.item.entry
        for asset in outcome.denied:
            denied[asset][entry] = NO_CONSENT
            if asset in outcome.item.computed_before:
                rows[asset, entry.month].append(entry.media_id)
        if not outcome.recognizes and FACES in outcome.made and any(one.faces for one in outcome.made[FACES].findings):
            denied[PEOPLE][entry] = NO_CONSENT
    for asset, of_files in sorted(denied.items()):
        write_skips(writer, asset, run, of_files, at)
    for (asset, month), media_ids in rows.items():
        writer.remove(asset, month, media_ids, at)
