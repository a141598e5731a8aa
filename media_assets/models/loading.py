"""Loading of models: once per process, when a task first needs one."""

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

from media_assets.models.errors import ModelError
from media_assets.models.registry import ModelPlaces, model_named


@cache
def load_model(name: str, places: ModelPlaces) -> Any:
    """Return a model of the registry, ready to run; later calls return the same object.

    Args:
        name: Its name in the registry.
        places: Where models lie.

    Returns:
        An object with the interfaces of the model's tasks (``media_assets.models.records``).

    Raises:
        ModelError: It is missing, damaged, or cannot be run here; the message names the command to run.
    """
    spec = model_named(name)
    module, _, function = spec.loader.partition(":")
    try:
        load: Callable[..., Any] = getattr(importlib.import_module(module), function)
        return load(spec, places)
    except ModelError:
        raise
    except ImportError as error:
        raise ModelError(
            f"Model {name} needs the package {error.name or error}, which cannot be imported. Install it with: "
            "pip install 'media_assets'" + ("[hub]" if spec.tier == "hub" else "")
        ) from error
    except MemoryError as error:
        raise ModelError(
            f"Model {name} does not fit into memory. Raise MEDIA_ASSETS_ANALYSIS_MEMORY_BYTES, or choose a smaller "
            "model: media-assets models list"
        ) from error
    except Exception as error:  # whatever a runtime raises on a file or a machine that it cannot use
        raise ModelError(
            f"Model {name} cannot be loaded ({type(error).__name__}: {str(error)[:200]}). Fetch it anew with: "
            f"media-assets models pull {name}"
        ) from error
