"""Colours of high dynamic range (PQ, HLG) and wide gamut (BT.2020) as sRGB.

Lives here: the one curve for stills and clips. Must not: decode, know FFmpeg's objects. Sources: ITU-R BT.2100 (PQ and
HLG), BT.2408 (203 cd/m2 for diffuse white), BT.2390 (roll-off of highlights), IEC 61966-2-1 (sRGB).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from media_assets.media.errors import ScratchError

PQ, HLG = 16, 18
"""Transfer characteristics of high dynamic range, ITU-T H.273."""

BT2020 = 9
"""Colour primaries of wide gamut, ITU-T H.273."""

_WHITE_NITS = 203.0
_PEAK_NITS = 1000.0  # what phones and most gradings go up to; brighter parts are white
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
_HLG_GAMMA = 1.2  # of a display with 1000 cd/m2
_SDR_GAMMA = 2.4  # BT.1886
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
_709_FROM_2020 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]], np.float32
)
_CUBE_SIDE = 33

Floats = NDArray[np.float32]


def needs_tone_map(transfer: int, primaries: int) -> bool:
    """Tell whether values of this coding would look wrong when they are shown as sRGB."""
    return transfer in {PQ, HLG} or primaries == BT2020


def to_srgb(signal: Floats, transfer: int) -> Floats:
    """Return sRGB values of BT.2020 values.

    Highlights above half of diffuse white are rolled off (BT.2390) by the largest of the three channels, so that hues
    stay.

    Args:
        signal: Coded red, green and blue, 0-1, shape (..., 3).
        transfer: :data:`PQ`, :data:`HLG`, or any other for the range of usual displays.
    """
    if transfer == PQ:
        linear = _pq_to_nits(signal) / _WHITE_NITS
    elif transfer == HLG:
        linear = _hlg_to_nits(signal) / _WHITE_NITS
    else:
        linear = np.clip(signal, 0, 1) ** _SDR_GAMMA
    rgb = np.maximum(linear @ _709_FROM_2020.T, 0)
    if transfer in {PQ, HLG}:
        largest = rgb.max(axis=-1, keepdims=True)
        rgb = rgb * (_roll_off(largest) / np.maximum(largest, 1e-6))
    rgb = np.clip(rgb, 0, 1)
    coded = np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)
    return np.asarray(coded, np.float32)


def write_cube(path: Path, transfer: int) -> None:
    """Write :func:`to_srgb` as a table for FFmpeg's filter ``lut3d``.

    Raises:
        ScratchError: It could not be written.
    """
    steps = np.linspace(0, 1, _CUBE_SIDE, dtype=np.float32)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")  # red changes fastest
    table = to_srgb(np.stack([red, green, blue], axis=-1).reshape(-1, 3), transfer)
    lines = "\n".join(f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in table.tolist())
    try:
        path.write_text(f"LUT_3D_SIZE {_CUBE_SIDE}\n{lines}\n", encoding="ascii")
    except OSError as error:
        raise ScratchError(f"A table of colours could not be written ({error.strerror}).") from error


def _pq_to_nits(signal: Floats) -> Floats:
    root = np.clip(signal, 0, 1) ** np.float32(1 / _M2)
    return np.asarray(10_000 * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1), np.float32)


def _nits_to_pq(nits: Floats | float) -> Floats:
    power = (np.asarray(nits, np.float32) / 10_000) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2, np.float32)


def _hlg_to_nits(signal: Floats) -> Floats:
    signal = np.clip(signal, 0, 1)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _HLG_C) / _HLG_A) + _HLG_B) / 12)
    luminance = np.maximum(scene @ _LUMA_2020, 1e-6)[..., None]
    return np.asarray(_PEAK_NITS * luminance ** (_HLG_GAMMA - 1) * scene, np.float32)


def _roll_off(white: Floats) -> Floats:
    """Bring 0 to 1000 cd/m2 into the range up to diffuse white (1.0): BT.2390, 5.4, without a lift of black."""
    peak = _nits_to_pq(_PEAK_NITS)
    value = np.minimum(_nits_to_pq(white * _WHITE_NITS) / peak, 1)
    largest = float(_nits_to_pq(_WHITE_NITS) / peak)
    knee = 1.5 * largest - 0.5
    t = np.maximum(value - knee, 0) / (1 - knee)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * largest
    mapped = np.where(value < knee, value, bent)
    return _pq_to_nits(np.asarray(mapped * peak, np.float32)) / np.float32(_WHITE_NITS)
