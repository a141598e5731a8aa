"""Copies that may be shared: covered, encoded, decoded again and searched for what is left.

Lives here: the order of the steps for a picture, and what callers import. Must not: know the library, decide whether a
copy may be published. The same is done for videos in ``protect_video``.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from media_assets.media.covers import Area, Polygon, area_mask, face_polygon
from media_assets.media.encode import store
from media_assets.media.limits import Limits
from media_assets.media.shared_picture import (
    OpenedPicture,
    covered,
    decode_copy,
    encode_copy,
    hash_of_copy,
    open_original,
)
from media_assets.models.face_search import FaceSearch, FoundFace, load_face_search
from media_assets.models.left_faces import faces_left, hidden_share
from media_assets.models.protect_records import Cover, CoverKind, ProtectedCopy, ProtectOptions, ReadText
from media_assets.models.protect_version import protect_version
from media_assets.models.protect_video import protect_video
from media_assets.models.records import BoxPx
from media_assets.models.registry import ModelPlaces
from media_assets.models.text_covers import text_covers

__all__ = [
    "Cover",
    "CoverKind",
    "ProtectOptions",
    "ProtectedCopy",
    "ReadText",
    "protect_picture",
    "protect_version",
    "protect_video",
]

_REPAIR_GROWTH = 1.15  # each round covers more around what is still seen


def protect_picture(
    source: Path,
    folder: Path,
    *,
    known_faces: Sequence[BoxPx],
    known_texts: Sequence[ReadText],
    options: ProtectOptions,
    places: ModelPlaces,
) -> ProtectedCopy:
    """Write the copy of a picture into a folder, and say what is left to be seen in it.

    Args:
        source: The original.
        folder: Existing; receives ``copy.jpg`` or ``copy.png``.
        known_faces: Faces that the library knows, in pixels of the upright original: they are covered in any case.
        known_texts: Texts that were read in it.
        options: How.
        places: Where models lie.

    Raises:
        ContentError: The original cannot be decoded.
        ModelError: A detector cannot be loaded: nothing is covered by less than both.
        ScratchError: There is no space.
    """
    search = load_face_search(places)
    opened = open_original(source, Limits(), longest_px=options.longest_px)
    covers = _face_covers(search, opened, known_faces)
    if options.cover_texts:
        covers += text_covers(known_texts, opened.scale, frame_s=None)
    solid: list[Cover] = []
    rounds = 0
    while True:
        data = encode_copy(covered(opened, _areas(covers, solid, options)), opened.format, options.jpeg_quality)
        copy = decode_copy(data)
        left = faces_left(search, copy, _solid_polygons(covers, solid, options))
        rounds += 1
        if not left or rounds > options.most_rounds:
            break
        solid += [_face_cover(face, growth=_REPAIR_GROWTH**rounds) for face in left]
    path = folder / ("copy.jpg" if opened.format == "jpeg" else "copy.png")
    size_bytes = store(data, path)
    faces = [one for one in covers if one.kind == "face"]
    return ProtectedCopy(
        path=path,
        format=opened.format,
        mime_type=f"image/{opened.format}",
        width_px=copy.shape[1],
        height_px=copy.shape[0],
        size_bytes=size_bytes,
        duration_s=None,
        sha256=hashlib.sha256(data).hexdigest(),
        phash=hash_of_copy(copy),
        covers=(*covers, *solid),
        faces_covered=len(faces) + _count_apart(solid, faces),
        texts_covered=len(covers) - len(faces),
        faces_left=len(left),
        verified_with=search.versions,
        rounds=rounds,
    )


def _solid_polygons(covers: Sequence[Cover], repairs: Sequence[Cover], options: ProtectOptions) -> list[Polygon]:
    """Return the areas that show nothing at all."""
    return [area.polygon for area in _areas(covers, repairs, options) if area.style == "solid"]


def _areas(covers: Sequence[Cover], repairs: Sequence[Cover], options: ProtectOptions) -> list[Area]:
    styles = [options.style if one.kind == "face" else "solid" for one in covers]
    areas = [Area(one.polygon, style) for one, style in zip(covers, styles, strict=True)]
    return areas + [Area(one.polygon, "solid") for one in repairs]


def _face_covers(search: FaceSearch, opened: OpenedPicture, known: Sequence[BoxPx]) -> list[Cover]:
    covers = [_face_cover(face) for face in search.find(opened.rgb, "cover")]
    shape = (opened.pixels.shape[0], opened.pixels.shape[1])
    scale_x, scale_y = opened.scale
    for x_min, y_min, x_max, y_max in known:
        box = (x_min * scale_x, y_min * scale_y, x_max * scale_x, y_max * scale_y)
        # Most known faces were found again, with the turn of the head.
        if hidden_share(area_mask(shape, [one.polygon for one in covers]), box) < 1:
            covers.append(Cover("face", None, face_polygon(box), "known"))
    return covers


def _face_cover(face: FoundFace, growth: float = 1.0) -> Cover:
    return Cover("face", None, face_polygon(face.box, face.landmarks, growth), face.source)


def _count_apart(repairs: Sequence[Cover], faces: Sequence[Cover]) -> int:
    """Count repairs in places where nothing had been covered before."""
    known = [one.polygon for one in faces]
    count = 0
    for repair in repairs:
        middle = np.mean(repair.polygon, axis=0)
        is_new = not any(_holds(polygon, middle) for polygon in known)
        count += is_new
        known.append(repair.polygon)
    return count


def _holds(polygon: Polygon, point: NDArray[np.float64]) -> bool:
    """Tell whether a point lies in a convex polygon."""
    corners = np.asarray(polygon)
    sides = np.roll(corners, -1, axis=0) - corners
    apart = point - corners
    turns = sides[:, 0] * apart[:, 1] - sides[:, 1] * apart[:, 0]
    return bool((turns >= 0).all() or (turns <= 0).all())
