"""Captioners of the hub: Florence-2 and BLIP."""

from collections.abc import Sequence

from media_assets.models.errors import ModelError
from media_assets.models.hub.runtime import Loaded, import_torch, load_pretrained
from media_assets.models.records import Caption, Picture
from media_assets.models.registry import ModelPlaces, ModelSpec

_PROMPTS = {"florence2": "<CAPTION>", "blip": "a picture of"}
"""What each family was trained to continue: Florence-2's task token, and the prompt of BLIP's fine-tuning on COCO."""
_MAX_TOKENS = 40
_BEAMS = 3
"""As in the evaluation of both papers."""


class HubCaptioner:
    """Writes one sentence about a picture."""

    def __init__(self, loaded: Loaded, name: str) -> None:
        self._loaded = loaded
        self._name = name
        self._prompt = _PROMPTS[loaded.model.config.model_type]
        self._is_continued = not self._prompt.startswith("<")  # then the answer begins with the prompt

    def caption(self, pictures: Sequence[Picture]) -> list[Caption | None]:
        """Return a sentence for each picture; ``None`` where the model wrote nothing."""
        if not pictures:
            return []
        torch, processor = import_torch(), self._loaded.processor
        inputs = processor(images=list(pictures), text=[self._prompt] * len(pictures), return_tensors="pt")
        with torch.inference_mode():
            written = self._loaded.model.generate(
                **inputs.to(self._loaded.device), max_new_tokens=_MAX_TOKENS, num_beams=_BEAMS, do_sample=False
            )
        texts = processor.batch_decode(written, skip_special_tokens=True)
        return [self._caption(text) for text in texts]

    def _caption(self, text: str) -> Caption | None:
        text = " ".join(text.split())
        if self._is_continued and text.lower().startswith(self._prompt):
            text = text[len(self._prompt) :].strip()
        return Caption(text, self._name) if text else None


def load_captioner(spec: ModelSpec, places: ModelPlaces) -> HubCaptioner:
    """Load a captioner.

    Raises:
        ModelError: As ``load_pretrained``, or it is of a family whose prompt is not known.
    """
    loaded = load_pretrained(spec, places, model_class="AutoModelForImageTextToText", processor_class="AutoProcessor")
    family = loaded.model.config.model_type
    if family not in _PROMPTS:
        raise ModelError(
            f"Model {spec.name} is of family {family}; captions are written by {', '.join(_PROMPTS)}. Choose another "
            "model: media-assets models list"
        )
    return HubCaptioner(loaded, spec.name)
