"""Searching bytes for many short sequences at once: what is left of files that were erased.

Pure: byte strings in, the sequences that occur in them out. What is searched for, and where, is decided in
``pipeline.erasure``. Every window of eight bytes is looked up in a table of the sequences' beginnings, about 100 MB/s
whatever their number.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

PIECE_BYTES = 64
"""Length of the pieces of an original that are searched for."""

PIECES = 8
"""Pieces of one original at most, spread over it."""

_WINDOW = 8
_LEAST_DIFFERENT = 40  # different byte values in 64: compressed data has 56, tables and padding far fewer
_FAIR_DIFFERENT = 12  # what a file without compressed data must reach: uncompressed pictures, text
_SOI, _SOS = b"\xff\xd8", 0xDA
_STEP = 32
_STEPS = 64
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class Needles:
    """Byte sequences to search for.

    Args:
        sequences: At least one byte each. Those under eight bytes are searched one by one.
    """

    def __init__(self, sequences: Iterable[bytes]) -> None:
        wanted = set(sequences)
        if b"" in wanted:
            raise ValueError("an empty sequence occurs everywhere")
        self._short = sorted(one for one in wanted if len(one) < _WINDOW)
        self._long: dict[bytes, list[bytes]] = defaultdict(list)
        for one in sorted(wanted):
            if len(one) >= _WINDOW:
                self._long[one[:_WINDOW]].append(one)
        self.longest = max(map(len, wanted), default=0)
        self._count = len(wanted)
        bits = min(26, max(16, len(self._long).bit_length() + 7))
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, np.bool_)
        if self._long:
            self._table[self._slots(np.frombuffer(b"".join(self._long), np.uint64))] = True

    def __len__(self) -> int:
        return self._count

    def _slots(self, windows: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return (windows * _MULTIPLIER) >> self._shift

    def find(self, data: bytes) -> set[bytes]:
        """Return the sequences that occur in ``data``."""
        found = {one for one in self._short if one in data}
        if not self._long:
            return found
        for start in range(_WINDOW):
            count = (len(data) - start) // _WINDOW
            if count <= 0:
                break
            windows = np.frombuffer(data, np.uint64, count, start)
            for at in np.flatnonzero(self._table[self._slots(windows)]):
                position = start + int(at) * _WINDOW
                for one in self._long.get(data[position : position + _WINDOW], ()):
                    if one not in found and data.startswith(one, position):
                        found.add(one)
        return found

    def find_in(self, chunks: Iterable[bytes]) -> set[bytes]:
        """Return the sequences that occur in a stream, also across the borders of its chunks."""
        found: set[bytes] = set()
        before = b""
        for chunk in chunks:
            data = before + chunk
            found |= self.find(data)
            before = data[-(self.longest - 1) :] if self.longest > 1 else b""
        return found


def pieces_of(data: bytes, count: int = PIECES) -> list[bytes]:
    """Choose pieces of a file that tell it from all others: of high entropy, spread over it.

    Tables of JPEG, colour profiles, padding and plain areas are the same in many files; pieces are taken from where
    most byte values differ, and the beginning is left out where the file is long enough.

    Args:
        data: The whole file.
        count: Pieces at most.

    Returns:
        Up to ``count`` pieces of 64 bytes; none for a file of fewer bytes, or one that has no telling piece.
    """
    if len(data) < PIECE_BYTES:
        return []
    # A tiny picture has less than a piece: then its last bytes, with the end of a table before them.
    data = data[min(_jpeg_scan(data), len(data) - PIECE_BYTES) :]
    best = _spread(data, count, _LEAST_DIFFERENT)
    return best or _spread(data, count, _FAIR_DIFFERENT)


def _jpeg_scan(data: bytes) -> int:
    """Where the compressed data of a JPEG begins, behind profiles and tables (ITU T.81, B.1.1); 0 of other files."""
    at = 2
    while data.startswith(_SOI) and data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == _SOS:
            return at + 2 + length
        at += 2 + length
    return 0


def _spread(data: bytes, count: int, least_different: int) -> list[bytes]:
    last = len(data) - PIECE_BYTES
    found: dict[bytes, None] = {}
    for number in range(count):
        # From a sixteenth on: what comes first is headers, profiles and thumbnails.
        start = last * (2 * number + 1) // (2 * count)
        for step in range(_STEPS):
            at = min(start + step * _STEP, last)
            piece = data[at : at + PIECE_BYTES]
            if len(set(piece)) >= least_different:
                found[piece] = None
                break
            if at == last:
                break
    return list(found)


def distinct(needles: Collection[bytes], others: Iterator[bytes]) -> list[bytes]:
    """Return those sequences that do not occur in ``others``, sorted: the ones whose presence says something."""
    common = Needles(needles).find_in(others) if needles else set()
    return sorted(set(needles) - common)
