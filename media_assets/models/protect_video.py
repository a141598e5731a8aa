"""Copies of videos that may be shared."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from media_assets.models.protect_records import ProtectedCopy, ProtectOptions, ReadText
from media_assets.models.records import BoxPx
from media_assets.models.registry import ModelPlaces


def protect_video(
    source: Path,
    folder: Path,
    *,
    known_faces_by_s: Mapping[float, Sequence[BoxPx]],
    known_texts_by_s: Mapping[float, Sequence[ReadText]],
    options: ProtectOptions,
    places: ModelPlaces,
    on_progress: Callable[[float], None],
) -> ProtectedCopy:
    raise NotImplementedError
