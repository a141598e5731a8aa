"""Whether an owner has consented to a use of their pictures: the one place where that is decided.

The newest record of the register counts; where nothing is on record, the policy does. A permission that has expired is
no permission, whatever the policy says: somebody wanted it to end.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime

from media_assets.models.vision_recipe import EMBEDDINGS, FACES, OBJECTS, SAFETY, SCENES, TEXTS
from media_assets.pipeline.library import Library
from media_assets.pipeline.privacy_policy import EVERYONE, PrivacyPolicy, read_policy
from media_assets.storage.consents import PURPOSES, ConsentRecord, Purpose, read_records

__all__ = ["EVERYONE", "PURPOSES", "PURPOSE_OF", "Consents", "Purpose", "read_consents"]

PURPOSE_OF: dict[str, Purpose] = {
    EMBEDDINGS: "analysis",
    OBJECTS: "analysis",
    SCENES: "analysis",
    SAFETY: "analysis",
    FACES: "faces",
    TEXTS: "text",
}
"""The purpose without which an asset of op ``analyze`` is not computed."""


class Consents:
    """What owners allow; a snapshot.

    Args:
        records: The register.
        policy: What counts where nothing is on record.
    """

    def __init__(self, records: Iterable[ConsentRecord], policy: PrivacyPolicy) -> None:
        self._newest: dict[tuple[str, Purpose], ConsentRecord] = {}
        for record in sorted(records, key=lambda one: one.recorded_at):
            self._newest[record.owner, record.purpose] = record
        self.policy = policy

    @property
    def owners(self) -> set[str]:
        """Owners of whom something is on record."""
        return {owner for owner, _ in self._newest}

    def record(self, owner: str, purpose: Purpose) -> ConsentRecord | None:
        """Return what was said last, ``None`` where nothing was."""
        return self._newest.get((owner, purpose))

    def allows(self, owner: str, purpose: Purpose, at: datetime | None = None) -> bool:
        """Return whether a use of the pictures of ``owner`` is allowed.

        Args:
            owner: As in the tables.
            purpose: Which use.
            at: When (aware); ``None``: now.
        """
        record = self._newest.get((owner, purpose))
        if record is None:
            return self.policy.allows(owner, purpose)
        return record.granted and not _has_expired(record, at or datetime.now(UTC))

    def reason(self, owner: str, purpose: Purpose) -> str:
        """Return where the answer of :meth:`allows` comes from, as a code.

        ``policy``, ``granted``, ``revoked`` or ``expired``.
        """
        record = self._newest.get((owner, purpose))
        if record is None:
            return "policy"
        if not record.granted:
            return "revoked"
        return "expired" if _has_expired(record, datetime.now(UTC)) else "granted"

    def version_of(self, owner: str) -> str:
        """Return what changes when an answer does, or is given once more, 16 hex digits.

        An answer that is taken back is not what was before it: in between, work may have been done that it allowed.
        """
        answers = [self.allows(owner, purpose) for purpose in PURPOSES]
        records = [self._newest.get((owner, purpose)) for purpose in PURPOSES]
        said = [None if one is None else one.recorded_at.astimezone(UTC).isoformat() for one in records]
        return hashlib.sha256(json.dumps([answers, said]).encode()).hexdigest()[:16]


def _has_expired(record: ConsentRecord, at: datetime) -> bool:
    return record.expires_at is not None and record.expires_at <= at


def read_consents(library: Library) -> Consents:
    """Read what owners allow now.

    Raises:
        StorageError: The register cannot be read.
        SettingsError: The policy file is not usable.
    """
    return Consents(read_records(library.store), read_policy(library.settings))
