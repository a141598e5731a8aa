"""Whether an owner has consented to a use of their pictures: the one place where that is decided.

Without consent nothing that identifies people is computed. Finding that there are faces, which privacy needs too,
identifies nobody and takes no consent.
"""

from typing import Literal

from media_assets.settings import Settings

Purpose = Literal["recognition"]
"""``recognition``: encoding of faces, and their grouping into people."""

EVERYONE = "*"


def allows(settings: Settings, owner: str, purpose: Purpose) -> bool:
    """Return whether ``owner`` has consented to ``purpose``; the default is no."""
    assert purpose == "recognition"  # noqa: S101 - the only one yet
    return EVERYONE in settings.recognition_owners or owner in settings.recognition_owners
