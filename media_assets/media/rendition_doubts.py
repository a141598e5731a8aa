"""What is wrong with a rendition, by its facts: a size that does not follow from the original, a poor web version.

Lives here: judgement over values that are known. Must not: read files, encode, resize.
"""

from media_assets.media.records import Rendition
from media_assets.media.rendering import FRAME_KINDS
from media_assets.media.resize import FRAME_LONGEST_PX, RENDITION_SIZES, WEB_LONGEST_PX, fit_box

LEAST_SSIM = 0.95
"""Similarity to the original below which nobody should see a web version."""

_LONGEST_PX = {size.kind: size.longest_px for size in RENDITION_SIZES}


def doubts_about_thumbnail(made: Rendition, full_size: tuple[int, int]) -> tuple[str, ...]:
    """Return what is wrong with a thumbnail, a preview, or a frame that is analysed.

    Args:
        made: The rendition.
        full_size: Width and height of the upright original in pixels.
    """
    longest = FRAME_LONGEST_PX if made.kind in FRAME_KINDS else _LONGEST_PX.get(made.kind)
    if longest is None:
        return (f"{made.kind} is no kind of thumbnail.",)
    side = min(longest, *full_size)
    expected = fit_box(*full_size, longest) if made.crop is None else (side, side)
    if expected == (made.width_px, made.height_px):
        return ()
    return (f"{made.kind} is {made.width_px} x {made.height_px} px.",)


def doubts_about_web_version(made: Rendition, source_bytes: int) -> tuple[str, ...]:
    """Return what is wrong with a web version of a picture; the other kinds have no rule.

    Args:
        made: The rendition.
        source_bytes: Size of the file that it stands for.
    """
    if made.kind != "optimized":
        return ()
    found = []
    if max(made.width_px, made.height_px) > WEB_LONGEST_PX:
        found.append(f"{made.kind} ({made.format}) is {made.width_px} x {made.height_px} px.")
    if made.size_bytes > source_bytes:
        found.append(f"{made.kind} ({made.format}) has {made.size_bytes} bytes, the file {source_bytes}.")
    if made.ssim is not None and made.ssim < LEAST_SSIM:
        found.append(f"{made.kind} ({made.format}) has SSIM {made.ssim:.3f}.")
    return tuple(found)
