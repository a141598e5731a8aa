"""Judging what a decoder process answered. Nothing in it is trusted: a hostile file may have taken the process over.

Lives here: checks of answers and the errors they become. Must not: talk to processes.
"""

import re
import stat
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.records import Appearance, MediaResult, Rendition, WebVideo
from media_assets.media.rendering import EXTENSION_OF, FRAME_KINDS, OPTIMIZED_KINDS
from media_assets.media.resize import RENDITION_SIZES
from media_assets.media.text import clean_text

MAX_TEXT = 2000
"""Characters of a text that a process sends."""

_RESULT = TypeAdapter(MediaResult)
_WEB_VIDEO = TypeAdapter(WebVideo)
_MAX_NOTES = 20
_MAX_COLORS = 5
_COLOR = re.compile(r"#[0-9a-f]{6}")
_THUMBNAIL_KINDS = frozenset((*(size.kind for size in RENDITION_SIZES), *FRAME_KINDS))
_WEB_KINDS = frozenset(OPTIMIZED_KINDS)
_EXTENSION = re.compile(r"[a-z0-9]{1,8}")


def media_result(answer: object, scratch: Path) -> MediaResult:
    """Return the result of a file if what it names can be stored.

    Raises:
        ValueError: It cannot, or is no result.
        OSError: A file is not there.
    """
    result = _RESULT.validate_python(answer, strict=False)
    if not _EXTENSION.fullmatch(result.facts.extension):
        raise ValueError("extension")
    for rendition in (*result.renditions, *result.optimized):
        _check_file(rendition, scratch, _THUMBNAIL_KINDS | _WEB_KINDS)
    _check_frames(result.renditions)
    if result.appearance is not None:
        _check_appearance(result.appearance)
    return result


def _check_frames(renditions: Sequence[Rendition]) -> None:
    """Analysis reads frames as JPEG, and tells those of a video apart by their times."""
    frames = [one for one in renditions if one.kind in FRAME_KINDS]
    times = [one.frame_s for one in renditions if one.frame_s is not None]
    if [one.kind for one in frames] != list(FRAME_KINDS[: len(frames)]) or len(times) != len(frames):
        raise ValueError("frames")
    if any(one.frame_s is None or one.format != "jpeg" for one in frames) or times != sorted(set(times)):
        raise ValueError("frames")
    if not all(isfinite(at_s) and at_s >= 0 for at_s in times):
        raise ValueError("times of frames")


def _check_appearance(found: Appearance) -> None:
    """Numbers in their ranges and hashes of 64 bits, or no table could hold them."""
    shares = (
        *(found.brightness, found.saturation, found.noise_score, found.contrast, found.quality_score),
        *(color.share for color in found.dominant_colors),
        *(() if found.blur_score is None else (found.blur_score,)),
        (found.exposure + 1) / 2,
    )
    if not all(-1e-6 <= share <= 1 + 1e-6 for share in shares) or len(found.dominant_colors) > _MAX_COLORS:
        raise ValueError("appearance")
    if found.color_temperature is not None and not 1_000 <= found.color_temperature <= 100_000:
        raise ValueError("colour temperature")
    if not all(_COLOR.fullmatch(color.rgb_hex) for color in found.dominant_colors):
        raise ValueError("colour")
    if not all(0 <= value < 2**64 for value in (found.phash, found.dhash)):
        raise ValueError("hash")


def web_video(answer: object, scratch: Path) -> WebVideo:
    """Return the web renditions of a video if they can be stored, with notes that can be shown.

    Raises:
        ValueError: They cannot, or are none.
        OSError: A file is not there.
    """
    made = _WEB_VIDEO.validate_python(answer, strict=False)
    if len({rendition.kind for rendition in made.renditions}) < len(made.renditions):
        raise ValueError("the same kind twice")
    for rendition in made.renditions:
        _check_file(rendition, scratch, _WEB_KINDS)
    cleaned = (clean_text(note[:MAX_TEXT]) for note in made.notes[:_MAX_NOTES])
    return WebVideo(made.renditions, tuple(note for note in cleaned if note))


def _check_file(rendition: Rendition, scratch: Path, kinds: frozenset[str]) -> None:
    """Own files of the task only, no links that lead elsewhere."""
    extension = EXTENSION_OF.get(rendition.format)
    if rendition.kind not in kinds or rendition.file_name != f"{rendition.kind}.{extension}":
        raise ValueError("rendition")
    # A link would be followed when the file is stored, to any file that the run may read.
    found = (scratch / rendition.file_name).lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size != rendition.size_bytes:
        raise ValueError("rendition file")


def stated_error(details: Mapping[str, Any]) -> ContentError:
    """Return the error that a process states.

    Raises:
        ValueError: There is no such reason.
        TypeError: It is no object with texts.
        KeyError: Something is missing.
    """
    return ContentError(
        ReasonCode(details["reason"]), str(details["message"])[:MAX_TEXT], str(details["stage"])[:MAX_TEXT]
    )


def short(error: Exception) -> str:
    """Return what is impossible about an answer, without quoting it."""
    return f"{error.error_count()} fields" if isinstance(error, ValidationError) else type(error).__name__


def exit_reason(status: int) -> str:
    """Return an exit status for people; negative ones are signals."""
    return f"signal {-status}" if status < 0 else f"exit status {status}"
