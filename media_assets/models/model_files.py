"""Files of models: read whole, checked against their SHA-256 before anything parses them."""

import hashlib
from pathlib import Path

from media_assets.models.errors import ModelCorruptError, ModelMissingError


def read_checked(path: Path, sha256: str, model: str) -> bytes:
    """Return the contents of a file of a model.

    The bytes that were checked are the bytes to load: pass them on, not the path.

    Args:
        path: The file.
        sha256: What it must hash to, 64 hex digits.
        model: Name of the model, for messages.

    Raises:
        ModelMissingError: It is not there or cannot be read.
        ModelCorruptError: It is another file, or was cut or altered.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelMissingError(
            f"Model {model}: {path} cannot be read ({error.strerror}). Fetch it with: media-assets models pull {model}"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelCorruptError(
            f"Model {model}: {path} is not the expected file (its SHA-256 differs). Remove it and run: media-assets "
            f"models pull {model}"
        )
    return content
