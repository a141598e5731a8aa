"""Raters of sensitive content from the hub: classifiers with a class for what is harmless."""

from collections.abc import Sequence

from media_assets.models.hub.runtime import Loaded, import_torch, load_pretrained
from media_assets.models.records import Picture, SafetyScore
from media_assets.models.registry import ModelPlaces, ModelSpec

_HARMLESS = {"normal", "sfw", "safe", "neutral"}


class HubRater:
    """Rates pictures; the harmless class is no category."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        names = {int(key): str(name).lower() for key, name in loaded.model.config.id2label.items()}
        self._categories = {key: name for key, name in names.items() if name not in _HARMLESS}

    def rate(self, pictures: Sequence[Picture]) -> list[list[SafetyScore]]:
        """Return the probability of each category, for each picture."""
        if not pictures:
            return []
        torch = import_torch()
        inputs = self._loaded.processor(images=list(pictures), return_tensors="pt").to(self._loaded.device)
        with torch.inference_mode():
            shares = self._loaded.model(**inputs).logits.float().softmax(dim=-1).cpu().numpy()
        return [[SafetyScore(name, float(row[key])) for key, name in self._categories.items()] for row in shares]


def load_rater(spec: ModelSpec, places: ModelPlaces) -> HubRater:
    """Load a rater of sensitive content.

    Raises:
        ModelError: As ``load_pretrained``.
    """
    return HubRater(
        load_pretrained(
            spec, places, model_class="AutoModelForImageClassification", processor_class="AutoImageProcessor"
        )
    )
