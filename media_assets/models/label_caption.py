"""A caption without a captioner: the likeliest labels in words, and nothing when no label is likely.

It says no more than the labels do, and ``caption_source`` says so: ``labels``.
"""

from collections.abc import Sequence

from media_assets.models.records import Caption, Label
from media_assets.models.registry import ModelPlaces, ModelSpec

SOURCE = "labels"

# Of 125 pictures of ImageNet, 86 % have such a label, and 94 % of these are right (bench/score_objects.py).
_LEAST_FIRST = 0.4
_LEAST_OTHERS = 0.15
_MOST = 3


class LabelCaption:
    """Puts labels into words."""

    def caption_labels(self, labels: Sequence[Label]) -> Caption | None:
        """Return the likely ones of ``labels`` (likeliest first) as a list; ``None``: not even the first one is."""
        if not labels or labels[0].score < _LEAST_FIRST:
            return None
        likely = [labels[0].label, *(one.label for one in labels[1:_MOST] if one.score >= _LEAST_OTHERS)]
        return Caption(", ".join(likely), SOURCE)


def load_label_caption(spec: ModelSpec, places: ModelPlaces) -> LabelCaption:
    """Return it; there is nothing to load."""
    return LabelCaption()
