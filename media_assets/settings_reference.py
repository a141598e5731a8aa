"""The configuration reference of the docs, generated from the settings so that it cannot be out of date.

``python -m media_assets.settings_reference`` prints it; ``make docs`` writes docs/configuration.md.
"""

from pathlib import Path

from pydantic import SecretStr

from media_assets.settings import CONFIG_FILE, Settings

_HEAD = f"""\
# Configuration

One settings object, read from three places; a later one wins:

1. the file `{CONFIG_FILE}` in the working directory (or the file that `MEDIA_ASSETS_CONFIG` names),
2. environment variables: the upper-case name after `MEDIA_ASSETS_`, for example `MEDIA_ASSETS_LIBRARY`,
3. options of the command line, where there is one.

```toml
# {CONFIG_FILE}
library = "s3://my-bucket/photos"
s3_endpoint_url = "http://127.0.0.1:9000"   # MinIO and other S3-compatible servers
batch_max_files = 256
```

Secrets belong into the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` or `MEDIA_ASSETS_S3_...`).

| setting | default | meaning |
|---|---|---|
"""


def _default(value: object) -> str:
    if value is None or value == ():
        return "-"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, Path | SecretStr):
        return "-"
    return f"`{value:,}`".replace(",", "_") if isinstance(value, int) and value > 9999 else f"`{value}`"


def settings_reference() -> str:
    """Return the reference as Markdown."""
    rows = (
        f"| `{name}` | {_default(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    )
    return _HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(settings_reference(), end="")
