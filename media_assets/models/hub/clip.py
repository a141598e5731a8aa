"""CLIP and SigLIP: pictures and texts in one space of vectors, and labels by nearness to their words."""

import contextlib
import hashlib
import io
import weakref
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from media_assets.models.errors import ModelError
from media_assets.models.hub.runtime import Loaded, import_torch, load_pretrained
from media_assets.models.model_cache import read_converted, write_converted
from media_assets.models.records import Label, Picture, Vectors
from media_assets.models.registry import ModelPlaces, ModelSpec

_LABELS = Path(__file__).with_name("scene_labels.txt")
_TEMPLATE = "a photo of {}"
_TEXTS_AT_ONCE = 64


class HubClip:
    """Turns pictures and texts into comparable vectors; one pass serves vectors and labels of the same pictures."""

    def __init__(self, loaded: Loaded, labels: Sequence[str], label_file: Path) -> None:
        self._loaded = loaded
        self._labels = tuple(labels)
        self._label_file = label_file
        self._is_siglip = str(loaded.model.config.model_type).startswith("siglip")
        self._seen: tuple[list[weakref.ref[Picture]], Vectors] | None = None

    def embed(self, pictures: Sequence[Picture]) -> Vectors:
        """Return one L2-normalised vector a picture, shape (pictures, dim)."""
        if self._seen is not None:
            seen, vectors = self._seen
            if len(seen) == len(pictures) and all(ref() is one for ref, one in zip(seen, pictures, strict=True)):
                return vectors
        if not pictures:
            return np.zeros((0, self._dim), np.float32)
        torch = import_torch()
        inputs = self._loaded.processor(images=list(pictures), return_tensors="pt").to(self._loaded.device)
        with torch.inference_mode():
            vectors = _unit(self._loaded.model.get_image_features(pixel_values=inputs["pixel_values"]))
        vectors.setflags(write=False)  # it is handed out again
        self._seen = [weakref.ref(one) for one in pictures], vectors
        return vectors

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Return one L2-normalised vector a text, shape (texts, dim); what is too long for the model is cut."""
        parts = [self._embed_few(texts[at : at + _TEXTS_AT_ONCE]) for at in range(0, len(texts), _TEXTS_AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros((0, self._dim), np.float32)

    def classify(self, pictures: Sequence[Picture], top: int) -> list[list[Label]]:
        """Return the ``top`` likeliest labels of each picture, likeliest first.

        Scores are the softmax, over the written list of labels, of the similarities as the model was trained to scale
        them: they say which word of the list fits best, not that one of them fits.
        """
        similarities = self._scale * (self.embed(pictures) @ self._label_vectors.T)
        exponents = np.exp(similarities - similarities.max(axis=1, keepdims=True, initial=-np.inf))
        shares = exponents / exponents.sum(axis=1, keepdims=True)
        best = np.argsort(-shares, axis=1, kind="stable")[:, :top]
        return [
            [Label(_without_article(self._labels[index]), float(row[index])) for index in order]
            for row, order in zip(shares, best, strict=True)
        ]

    @cached_property
    def _dim(self) -> int:
        return int(self.embed_texts(["a"]).shape[1])

    @cached_property
    def _label_vectors(self) -> Vectors:
        """Vectors of all labels: half a minute on a processor for SigLIP, so they are kept in the cache."""
        name = str(self._label_file)
        with contextlib.suppress(ModelError, ValueError):  # a damaged file is made anew
            if (kept := read_converted(self._label_file, name)) is not None:
                vectors = np.load(io.BytesIO(kept), allow_pickle=False)
                if vectors.dtype == np.float32 and vectors.shape == (len(self._labels), self._dim):
                    return np.asarray(vectors)
        vectors = self.embed_texts([_TEMPLATE.format(label) for label in self._labels])
        content = io.BytesIO()
        np.save(content, vectors, allow_pickle=False)
        with contextlib.suppress(OSError):  # a cache that cannot be written costs time only
            write_converted(self._label_file, content.getvalue())
        return vectors

    @property
    def _scale(self) -> float:
        return float(self._loaded.model.logit_scale.detach().exp())

    def _embed_few(self, texts: Sequence[str]) -> Vectors:
        torch = import_torch()
        length = int(self._loaded.model.config.text_config.max_position_embeddings)
        # SigLIP saw texts in lower case, always padded to the full length and without a mask over the padding.
        words = [text.lower() for text in texts] if self._is_siglip else list(texts)
        padding = "max_length" if self._is_siglip else "longest"
        inputs: Any = self._loaded.processor(
            text=words, padding=padding, max_length=length, truncation=True, return_tensors="pt"
        ).to(self._loaded.device)
        mask = {} if self._is_siglip else {"attention_mask": inputs["attention_mask"]}
        with torch.inference_mode():
            return _unit(self._loaded.model.get_text_features(input_ids=inputs["input_ids"], **mask))


def _unit(features: Any) -> Vectors:
    """L2-normalise what transformers returns: a tensor until 4.x, an output with ``pooler_output`` since 5.0."""
    features = getattr(features, "pooler_output", features)
    vectors = features.float().cpu().numpy()
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)


def _without_article(words: str) -> str:
    """The model wants a phrase, a table wants a word: ``a beach`` is ``beach``."""
    first, _, rest = words.partition(" ")
    return rest if first in ("a", "an", "the") else words


def scene_labels() -> tuple[str, ...]:
    """Return the phrases that pictures are compared with: things, places and occasions."""
    lines = _LABELS.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def load_clip(spec: ModelSpec, places: ModelPlaces) -> HubClip:
    """Load a model of the CLIP family.

    Raises:
        ModelError: As ``load_pretrained``.
    """
    loaded = load_pretrained(spec, places, model_class="AutoModel", processor_class="AutoProcessor")
    labels = scene_labels()
    digest = hashlib.sha256("\n".join((_TEMPLATE, *labels)).encode()).hexdigest()
    return HubClip(loaded, labels, places.cache / spec.name / spec.revision / f"labels-{digest[:16]}.npy")
