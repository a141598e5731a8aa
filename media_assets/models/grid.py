"""The cells of a square feature map, as anchor-free detectors number them."""

import numpy as np

from media_assets.models.candidates import Floats


def cells(side: int) -> Floats:
    """Return column and row of each cell, row by row, shape (side * side, 2)."""
    rows, columns = np.divmod(np.arange(side * side), side)
    return np.stack([columns, rows], axis=1).astype(np.float32)
