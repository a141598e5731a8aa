"""Which partition keys the orchestrator should have: a comparison of its keys with the ledger.

Pure. What is removed and added, and when that must wait, is in ``defs.archiving``.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from media_assets.storage.ledger_archive import PartitionFacts


@dataclass(frozen=True)
class KeyComparison:
    """What is wrong with the keys of the orchestrator; each file is named once.

    Attributes:
        unknown: Keys of files that the ledger does not know.
        without_original: Keys of files that were refused, or left the inbox, and never had an accepted version.
        archived: Keys of archived files.
        missing: Files that should have a key and have none, in the order in which they came.
    """

    unknown: tuple[str, ...] = ()
    without_original: tuple[str, ...] = ()
    archived: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def stale(self) -> tuple[str, ...]:
        """Keys that are to go."""
        return (*self.unknown, *self.without_original, *self.archived)


def compare_keys(present: Collection[str], facts: Iterable[PartitionFacts]) -> KeyComparison:
    """Compare the keys of the orchestrator with what the ledger says.

    What waits or is in work is left alone: the sensor gives it its key, at the place that its run's range needs, and a
    range must not lose one of its ends.

    Args:
        present: Keys that the orchestrator has. Read before the ledger: a key is only added for what the ledger knows.
        facts: What the ledger says of all files.
    """
    have = set(present)
    known: set[str] = set()
    without_original: list[str] = []
    archived: list[str] = []
    missing: list[str] = []
    for one in facts:
        known.add(one.media_id)
        if one.is_in_work:
            continue
        should_have = one.has_original and not one.is_archived
        if should_have and one.media_id not in have:
            missing.append(one.media_id)
        elif not should_have and one.media_id in have:
            (archived if one.is_archived else without_original).append(one.media_id)
    unknown = tuple(key for key in present if key not in known)
    return KeyComparison(unknown, tuple(without_original), tuple(archived), tuple(missing))
