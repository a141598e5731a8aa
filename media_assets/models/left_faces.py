"""What is left to be seen of faces in a copy: the verification of pictures and of frames."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from media_assets.media.covers import Polygon, area_mask
from media_assets.models.face_search import Care, FaceSearch, FoundFace
from media_assets.models.records import BoxPx, Picture

_HIDDEN_SHARE = 0.9  # of a finding below solid covers: what is seen there is the cover itself


def faces_left(search: FaceSearch, copy: Picture, solid: Sequence[Polygon], care: Care = "proof") -> list[FoundFace]:
    """Return what the detectors take for a face in a copy, without what consists of solid covers.

    Args:
        search: The detectors.
        copy: As decoded from the bytes that would be published.
        solid: What is covered without leaving anything.
        care: How hard they look.
    """
    hidden = area_mask((copy.shape[0], copy.shape[1]), solid)
    return [face for face in search.find(copy, care) if hidden_share(hidden, face.box) < _HIDDEN_SHARE]


def hidden_share(hidden: NDArray[np.bool_], box: BoxPx) -> float:
    """Return how much of the part of a box that lies in the picture is hidden, 0-1; 1 outside of it.

    Args:
        hidden: Which pixels of the picture are, shape (height, width).
        box: In its pixels.
    """
    height, width = hidden.shape
    left, upper = max(0, int(np.floor(box[0]))), max(0, int(np.floor(box[1])))
    right, lower = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    part = hidden[upper:lower, left:right]
    return float(part.mean()) if part.size else 1.0
