"""Whether what a file shows may be published: by policy from its rating, and by what people decided.

A person's word about the very bytes that they saw counts more than any rating. A file that is still to be rated is not
public, whatever the policy: nobody knows yet what it shows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal
from weakref import WeakKeyDictionary

from media_assets.models.vision_recipe import SAFETY
from media_assets.pipeline.analysis_recipe import vision_recipe_of
from media_assets.pipeline.consent import PURPOSE_OF, read_consents
from media_assets.pipeline.library import Library
from media_assets.settings import Settings
from media_assets.storage.objects import ObjectInfo, ObjectStore
from media_assets.storage.present_table import present_folders, read_present
from media_assets.storage.reviews import ReviewDecision, read_decisions

Decision = Literal["allow", "block", "waiting"]
Level = Literal["harmless", "review", "sensitive", "unrated"]
Rule = Literal["block", "queue", "allow"]

_DECISION_OF: Mapping[Rule, Decision] = {"block": "block", "queue": "waiting", "allow": "allow"}
_RANK: Mapping[str | None, int] = {None: 0, "review": 1, "sensitive": 2}
_LEVELS: tuple[Level, ...] = ("harmless", "review", "sensitive")


@dataclass(frozen=True)
class Rating:
    """The worst of what a file shows, over its frames and categories.

    Attributes:
        input_version: SHA-256 of the bytes that were rated.
        level: Of the flags of table ``safety``.
        score: The highest score, 0-1.
        frame_s: Time of the frame with that score; ``None``: a picture.
    """

    input_version: str
    level: Level
    score: float
    frame_s: float | None


@dataclass(frozen=True)
class PublicationPolicy:
    """What follows from a rating.

    Attributes:
        review: For level ``review``.
        sensitive: For level ``sensitive``.
        unrated: For files that nothing will rate.
    """

    review: Rule = "queue"
    sensitive: Rule = "block"
    unrated: Rule = "queue"

    def rule(self, level: Level) -> Rule:
        """Return what is to be done with files of a level."""
        rules: Mapping[Level, Rule] = {
            "harmless": "allow",
            "review": self.review,
            "sensitive": self.sensitive,
            "unrated": self.unrated,
        }
        return rules[level]


def policy_of(settings: Settings) -> PublicationPolicy:
    """Return the policy of an installation."""
    return PublicationPolicy(settings.publish_review, settings.publish_sensitive, settings.publish_unrated)


class PublicationGate:
    """What reviewers and the policy say; a snapshot. Ratings are read when the first file is asked for.

    Args:
        policy: What follows from a rating.
        decisions: The latest word of people, by media id and version of the bytes.
        ratings: Reads the ratings by media id.
        will_be_rated: Whether a file without a rating will get one.
    """

    def __init__(
        self,
        policy: PublicationPolicy,
        decisions: Mapping[tuple[str, str], ReviewDecision],
        ratings: Callable[[], Mapping[str, Rating]],
        will_be_rated: Callable[[str], bool],
    ) -> None:
        self._policy = policy
        self._decisions = decisions
        self._read_ratings = ratings
        self._will_be_rated = will_be_rated

    @cached_property
    def _ratings(self) -> Mapping[str, Rating]:
        return self._read_ratings()

    def said(self, media_id: str, input_version: str) -> ReviewDecision | None:
        """Return the latest word of a person about these bytes, if there is one."""
        return self._decisions.get((media_id, input_version))

    def rating(self, media_id: str, input_version: str) -> Rating | None:
        """Return the rating of these bytes, if there is one."""
        rating = self._ratings.get(media_id)
        return rating if rating is not None and rating.input_version == input_version else None

    def is_awaited(self, media_id: str, input_version: str) -> bool:
        """Return whether these bytes are still to be rated."""
        return self.rating(media_id, input_version) is None and self._will_be_rated(media_id)

    def level(self, media_id: str, input_version: str) -> Level:
        """Return what these bytes are rated, ``unrated`` where nothing has rated them."""
        rating = self.rating(media_id, input_version)
        return rating.level if rating is not None else "unrated"

    def decision(self, media_id: str, input_version: str) -> Decision:
        """Return whether a copy of a file may be published, as far as its content decides.

        Args:
            media_id: The file.
            input_version: SHA-256 of its bytes.

        Raises:
            StorageError: The ratings cannot be read.
        """
        said = self.said(media_id, input_version)
        if said is not None:
            return said.decision
        if self.is_awaited(media_id, input_version):
            return "waiting"
        return _DECISION_OF[self._policy.rule(self.level(media_id, input_version))]


def read_gate(library: Library) -> PublicationGate:
    """Read what reviewers have decided, and the policy.

    Raises:
        StorageError: The decisions or the register of consents cannot be read.
        SettingsError: The policy file is not usable.
        ModelError: The settings name a model that does not exist.
    """
    consents = read_consents(library)
    rates = vision_recipe_of(library.settings).is_on(SAFETY)

    def will_be_rated(media_id: str) -> bool:
        entry = library.ledger.entries([media_id]).get(media_id) if rates else None
        return entry is not None and consents.allows(entry.owner, PURPOSE_OF[SAFETY])

    return PublicationGate(
        policy_of(library.settings),
        read_decisions(library.store),
        lambda: read_ratings(library.store),
        will_be_rated,
    )


# Sensors ask every few seconds, and the table seldom changes: it is read again when its objects are others.
_read: "WeakKeyDictionary[ObjectStore, tuple[list[ObjectInfo], dict[str, Rating]]]" = WeakKeyDictionary()


def read_ratings(store: ObjectStore) -> Mapping[str, Rating]:
    """Return the ratings of all files by media id, whether the catalog has absorbed them yet or not.

    Raises:
        StorageError: Table ``safety`` cannot be read.
    """
    objects = [info for folder in present_folders(SAFETY) for info in store.list(folder)]
    known = _read.get(store)
    if known is None or known[0] != objects:
        known = _read[store] = (objects, _ratings(store))
    return known[1]


def _ratings(store: ObjectStore) -> dict[str, Rating]:
    found: dict[str, Rating] = {}
    ranks: dict[str, int] = {}
    columns = ("media_id", "input_version", "level", "score", "frame_s")
    for batch in read_present(store, SAFETY, columns).to_batches():
        for media_id, version, level, score, frame_s in zip(*(one.to_pylist() for one in batch.columns), strict=True):
            rank, before = max(_RANK[level], ranks.get(media_id, 0)), found.get(media_id)
            ranks[media_id] = rank
            if before is not None and before.score >= score:
                score, frame_s = before.score, before.frame_s
            found[media_id] = Rating(version, _LEVELS[rank], score, frame_s)
    return found
