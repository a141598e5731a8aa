"""Files whose owners deny publication: table ``skipped`` says so once, and what was said of their copies goes.

Nothing is computed for them, so that it takes no run.
"""

import uuid
from collections import defaultdict
from datetime import UTC, datetime
from itertools import islice

from media_assets.pipeline.assets import SHAREABLE, TABLE_OF
from media_assets.pipeline.library import Library
from media_assets.pipeline.recipe import recipe_of
from media_assets.pipeline.selection import RunIdentity
from media_assets.pipeline.sharing_selection import SharingRules, denied_files
from media_assets.pipeline.skips import NO_CONSENT, write_skips
from media_assets.storage.ledger_schema import Outcome
from media_assets.storage.tables import PartWriter


def note_denied(library: Library, rules: SharingRules, *, inbox: str | None = None, limit: int | None = None) -> int:
    """Note the files that are not shared for lack of consent; return how many were new.

    Copies of them are to be withdrawn before (``sharing_withdrawal``).

    Args:
        library: The library.
        rules: What decides.
        inbox: Only files of this inbox.
        limit: How many at most; ``None``: all.

    Raises:
        StorageError: Tables or ledger cannot be written; nothing is recorded then.
        ModelError: The settings name a model that does not exist.
    """
    denied = list(islice(denied_files(library, rules, inbox=inbox), limit))
    if not denied:
        return 0
    entries = [one for one in library.ledger.entries(denied).values() if one.sha256 is not None]
    had_results = library.ledger.results_of(denied, (SHAREABLE,))
    at, run_id = datetime.now(UTC), f"consent-{uuid.uuid4().hex}"
    run = RunIdentity(run_id, run_id, recipe=recipe_of(library.settings))
    writer = PartWriter(library.store, run_id)
    by_month: dict[str, list[str]] = defaultdict(list)
    for one in entries:
        if one.media_id in had_results:
            by_month[one.month].append(one.media_id)
    for month, media_ids in by_month.items():
        writer.remove(TABLE_OF[SHAREABLE], month, media_ids, at)
    write_skips(writer, SHAREABLE, run, dict.fromkeys(entries, NO_CONSENT), at)
    library.ledger.record_results(
        [
            Outcome(
                media_id=one.media_id,
                asset=SHAREABLE,
                state="materialized",
                input_version=one.sha256,
                code_version=NO_CONSENT,
                run_id=run_id,
                root_run_id=run_id,
                at=at,
            )
            for one in entries
        ]
    )
    return len(entries)
