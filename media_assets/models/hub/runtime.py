"""How hub models are run: loaded from a checked folder by transformers, on the GPU where there is one.

torch and transformers are imported here and by name only, so that the package type-checks where they are not installed.
"""

import importlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from media_assets.models.errors import ModelError
from media_assets.models.hub.offline import verified_snapshot
from media_assets.models.registry import ModelPlaces, ModelSpec


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to run.

    Attributes:
        model: The transformers model, in evaluation mode, on ``device``.
        processor: Makes its inputs of pictures and texts.
        device: ``cuda`` or ``cpu``.
    """

    model: Any
    processor: Any
    device: str


def import_torch() -> Any:
    """Return the module ``torch``."""
    return importlib.import_module("torch")


def load_pretrained(spec: ModelSpec, places: ModelPlaces, *, model_class: str, processor_class: str) -> Loaded:
    """Load a model with its processor. No code of the repository runs, and nothing connects to the hub.

    Pictures are prepared by Pillow even where torchvision is installed: the two resample differently, and results must
    agree between machines. For the same reason weights are float32 on every device.

    Args:
        spec: The model.
        places: Where models lie.
        model_class: Auto class of transformers for the model.
        processor_class: Auto class for its processor.

    Raises:
        ModelError: torch or transformers is missing, or the files are missing, damaged or cannot be fetched.
    """
    try:
        torch = import_torch()
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        raise ModelError(
            f"Model {spec.name} needs torch and transformers, and {error.name or 'one of them'} cannot be imported. "
            "Install them with: pip install 'media_assets[hub]'"
        ) from error
    folder = verified_snapshot(spec, places)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)  # worker processes run side by side, one for each core
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about old configuration files: nothing that a user could mend
        processor = _load(transformers, processor_class, folder, backend="pil")
        model = _load(transformers, model_class, folder, use_safetensors=True, dtype=torch.float32)
    return Loaded(model.eval().to(device), processor, device)


def _load(transformers: Any, auto_class: str, folder: Path, **options: Any) -> Any:
    return getattr(transformers, auto_class).from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False, **options
    )
