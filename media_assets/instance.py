"""The embedded Dagster instance of a library: its home folder and what it is configured with.

No Dagster is imported here, so that commands that need no run start quickly.
"""

import os
from importlib import resources
from pathlib import Path

from media_assets.settings import Settings, SettingsError

CONFIG_NAME = "dagster.yaml"


def instance_config() -> str:
    """Return the text of the embedded instance's configuration."""
    return resources.files("media_assets").joinpath(CONFIG_NAME).read_text(encoding="utf-8")


def prepare_home(settings: Settings) -> Path:
    """Return the folder that Dagster uses as its home, created and configured if it is new.

    ``DAGSTER_HOME``, if it is set, names the instance of a deployment and is left as it is.

    Raises:
        SettingsError: The folder cannot be created or written.
    """
    given = os.environ.get("DAGSTER_HOME")
    home = Path(given).absolute() if given else settings.state_dir
    config = home / CONFIG_NAME
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not config.exists():
            config.write_text(instance_config(), encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"The state folder {home} cannot be used ({error.strerror}). Choose another with MEDIA_ASSETS_STATE."
        ) from error
    return home


def environment(settings: Settings, home: Path) -> dict[str, str]:
    """Return the environment for processes that serve a library: what they need to open the same one."""
    return {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "MEDIA_ASSETS_LIBRARY": settings.library_url,
        "MEDIA_ASSETS_INBOX": settings.inbox_url,
        "MEDIA_ASSETS_STATE": str(settings.state_dir),
    }
