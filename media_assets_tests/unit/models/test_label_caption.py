"""Captions of labels: they say what is likely and nothing else."""

import pytest

from media_assets.models.label_caption import LabelCaption
from media_assets.models.records import Caption, Label


def labels(*entries: tuple[str, float]) -> list[Label]:
    return [Label(name, score) for name, score in entries]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (labels(("tench", 0.9), ("coho", 0.05)), "tench"),
        (labels(("tench", 0.5), ("coho", 0.3), ("eel", 0.16), ("gar", 0.15)), "tench, coho, eel"),
        (labels(("tench", 0.4)), "tench"),
    ],
)
def test_likely_labels_are_listed(given: list[Label], text: str) -> None:
    assert LabelCaption().caption_labels(given) == Caption(text, "labels")


@pytest.mark.parametrize("given", [[], labels(("tench", 0.39), ("coho", 0.38))])
def test_without_a_likely_label_there_is_no_caption(given: list[Label]) -> None:
    assert LabelCaption().caption_labels(given) is None
