"""What a role may be given, as the settings say: a copy for it may tell less, and never more."""

from media_assets.pipeline.export.export import ExportError, ExportOptions
from media_assets.pipeline.export.policy import PRIVACY, TIMES, Privacy, Times
from media_assets.privacy_settings import ExportRole
from media_assets.settings import Settings

_K = 5


def options_for(
    settings: Settings,
    *,
    role: str | None,
    privacy: Privacy | None,
    times: Times | None,
    k: int | None,
    suppress_rare: bool,
) -> ExportOptions:
    """Return what a copy tells: what was asked for, else what its role may have, else the defaults.

    Args:
        settings: Where roles are.
        role: For whom the copy is. One that the settings do not know is only a name.
        privacy: How exactly places are told; ``None``: as the role may have it.
        times: How exactly times are told; ``None``: as the role may have it, else exactly.
        k: Least number of files; ``None``: that of the role, else 5.
        suppress_rare: Whether rare places are left out; a role may demand it.

    Raises:
        ExportError: More was asked for than the role may have, or nobody said how exactly places are told.
    """
    limits = settings.export_roles.get(role) if role is not None else None
    if limits is None:
        if privacy is None:
            known = f" Roles of the settings: {', '.join(sorted(settings.export_roles))}." if role is not None else ""
            raise ExportError(f"Say how exactly the copy tells places: --privacy {'|'.join(PRIVACY)}.{known}")
        return ExportOptions(privacy, times or "exact", k or _K, suppress_rare, role)
    _check(role or "", limits, privacy, times, k)
    return ExportOptions(
        privacy or limits.privacy, times or limits.times, k or limits.k, suppress_rare or limits.suppress_rare, role
    )


def _check(role: str, limits: ExportRole, privacy: Privacy | None, times: Times | None, k: int | None) -> None:
    asked = [
        ("privacy", privacy, limits.privacy, privacy and PRIVACY.index(privacy) < PRIVACY.index(limits.privacy)),
        ("times", times, limits.times, times and TIMES.index(times) < TIMES.index(limits.times)),
        ("k", k, limits.k, k is not None and k < limits.k),
    ]
    for option, value, limit, is_too_much in asked:
        if is_too_much:
            raise ExportError(
                f"--{option} {value} tells more than role {role} may have ({limit}). Leave --{option} out, or change "
                "setting export_roles."
            )
