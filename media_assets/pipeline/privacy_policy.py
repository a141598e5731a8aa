"""The policy file: which purposes are allowed where an owner has said nothing."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from media_assets.settings import Settings, SettingsError
from media_assets.storage.consents import PURPOSES, Purpose

DEFAULT_ALLOWED: Mapping[Purpose, bool] = MappingProxyType(
    {
        "faces": True,
        "recognition": False,
        "text": True,
        "location": True,
        "analysis": True,
        "publication": False,
    }
)
"""Nothing that identifies people, and nothing that leaves the library, without a consent."""

EVERYONE = "*"
_WORDS = {"allowed": True, "denied": False}


@dataclass(frozen=True)
class PrivacyPolicy:
    """What counts where nothing is on record.

    Attributes:
        defaults: For every owner.
        owners: Purposes that are decided otherwise for single owners.
        source: Where it comes from, for people.
    """

    defaults: Mapping[Purpose, bool] = field(default_factory=lambda: DEFAULT_ALLOWED)
    owners: Mapping[str, Mapping[Purpose, bool]] = field(default_factory=dict)
    source: str = "built-in default"

    def allows(self, owner: str, purpose: Purpose) -> bool:
        """Return whether ``purpose`` is allowed for the files of ``owner``."""
        of_owner = self.owners.get(owner, {})
        return of_owner[purpose] if purpose in of_owner else self.defaults[purpose]


def read_policy(settings: Settings) -> PrivacyPolicy:
    """Read the policy of an installation: the file, and setting ``recognition_owners``.

    Raises:
        SettingsError: The file cannot be read, or says something that is not understood; the message names it.
    """
    path = settings.privacy_policy
    defaults, owners, source = dict(DEFAULT_ALLOWED), {}, "built-in default"
    if path is not None:
        content = _loaded(path)
        unknown = sorted(content.keys() - {"default", "owners"})
        if unknown:
            raise _wrong(path, f"[{unknown[0]}] is not known. Use [default] and [owners.NAME]")
        defaults |= _answers(path, "default", content.get("default", {}))
        named = content.get("owners", {})
        if not isinstance(named, dict):
            raise _wrong(path, "[owners] needs a table for each owner, as [owners.alice]")
        owners = {owner: _answers(path, f"owners.{owner}", answers) for owner, answers in named.items()}
        source = str(path)
    for owner in settings.recognition_owners:
        if owner == EVERYONE:
            defaults["recognition"] = True
        else:
            owners[owner] = {"recognition": True, **owners.get(owner, {})}
    return PrivacyPolicy(defaults, owners, source)


def _loaded(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"privacy_policy: {path} cannot be read ({error}). Correct the path or its rights."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise _wrong(path, f"it is no TOML: {error}") from error


def _answers(path: Path, table: str, answers: object) -> dict[Purpose, bool]:
    if not isinstance(answers, dict):
        raise _wrong(path, f"[{table}] is no table")
    found: dict[Purpose, bool] = {}
    for purpose, word in answers.items():
        if purpose not in PURPOSES:
            raise _wrong(path, f"[{table}] has {purpose!r}. The purposes are {', '.join(PURPOSES)}")
        if word not in _WORDS:
            raise _wrong(path, f'[{table}] has {purpose} = {word!r}. Write "allowed" or "denied"')
        found[purpose] = _WORDS[word]
    return found


def _wrong(path: Path, reason: str) -> SettingsError:
    return SettingsError(f"privacy_policy: {path}: {reason}.")
