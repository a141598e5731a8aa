"""Findings drawn on the preview, small enough for the event log, so that the Dagster UI shows what a model saw."""

from collections.abc import Callable, Sequence

from media_assets.media.annotate import Mark, annotate, annotate_frames
from media_assets.models.findings import PictureFindings
from media_assets.models.records import Picture
from media_assets.models.vision_recipe import FACES, OBJECTS, TEXTS

_MOST_FRAMES = 4


def drawn(
    asset: str, pictures: Sequence[Picture], frames: Sequence[float | None], found: Sequence[PictureFindings]
) -> bytes | None:
    """Return a small WebP picture of what was found, ``None`` where there is nothing to draw.

    Args:
        asset: Only ``objects``, ``faces`` and ``texts`` have boxes.
        pictures: What was looked at.
        frames: Time of each in a video in seconds; ``None`` for a picture.
        found: Findings in each. Of a video the frames with most of them are shown, in the order of time.
    """
    marks_of = _MARKS_OF.get(asset)
    if marks_of is None:
        return None
    marked = [(picture, at, marks_of(one)) for picture, at, one in zip(pictures, frames, found, strict=True)]
    marked = [one for one in marked if one[2]]
    if not marked:
        return None
    if frames[0] is None:
        return annotate(marked[0][0], marked[0][2])
    fullest = sorted(range(len(marked)), key=lambda at: -len(marked[at][2]))[:_MOST_FRAMES]
    return annotate_frames([(marked[at][0], marked[at][1] or 0.0, marked[at][2]) for at in sorted(fullest)])


def _objects(found: PictureFindings) -> list[Mark]:
    return [Mark(one.box, one.label, one.score) for one in found.objects]


def _faces(found: PictureFindings) -> list[Mark]:
    return [Mark(one.face.box, "", one.face.score, points=one.face.landmarks) for one in found.faces]


def _texts(found: PictureFindings) -> list[Mark]:
    # The words stay out of the event log; where they are is drawn.
    return [Mark(one.box, "", one.score, polygon=one.polygon) for one in found.texts]


_MARKS_OF: dict[str, Callable[[PictureFindings], list[Mark]]] = {OBJECTS: _objects, FACES: _faces, TEXTS: _texts}
