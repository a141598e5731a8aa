"""Identifiers of groups that are computed anew: the same group keeps its identifier, whatever its new number is.

Pure; used for people and for groups of near-duplicates.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

_DIGITS = 12


def stable_ids(
    groups: Sequence[int],
    before: Sequence[str | None],
    make: Callable[[int], str],
    *,
    pinned: Mapping[int, str] | None = None,
    taken: AbstractSet[str] = frozenset(),
) -> dict[int, str]:
    """Choose an identifier for each group.

    An old identifier stays with the group that holds most of its members; a group that holds members of several takes
    the one of which it has most. Ties go to the smaller identifier and number, so that the result never depends on
    the order of anything. What is left gets a new one.

    Args:
        groups: Group of each member.
        before: Identifier that each member had, ``None`` for a new one.
        make: Returns an identifier for a group without an old one, as :func:`new_id` makes it. Should it be in use (its
            first member once belonged to another group), it is hashed again.
        pinned: Identifiers that are decided already, by group.
        taken: Identifiers that must not be given to a group without members that had them.

    Returns:
        Identifier by group; no two groups have the same one.
    """
    chosen = dict(pinned or {})
    used = set(chosen.values())
    counts = Counter((group, old) for group, old in zip(groups, before, strict=True) if old is not None)
    for (group, old), _ in sorted(counts.items(), key=lambda item: (-item[1], item[0][1], item[0][0])):
        if group not in chosen and old not in used:
            chosen[group] = old
            used.add(old)
    used |= taken | {old for old in before if old is not None}
    for group in sorted(set(groups) - chosen.keys()):
        chosen[group] = make(group)
        while chosen[group] in used:
            chosen[group] = new_id(chosen[group][0], chosen[group])
        used.add(chosen[group])
    return chosen


def new_id(letter: str, *parts: object) -> str:
    """Return an identifier: a letter, a dash and 12 hex digits of a hash of ``parts``."""
    text = "\n".join(str(part) for part in parts)
    return f"{letter}-{hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}"
