"""A clip of labelled pictures, for judging covers of videos: each is panned and zoomed over for some frames."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageOps

from media_assets.models.protect import ProtectedCopy, ProtectOptions, protect_video
from media_assets.models.records import Picture
from media_assets.models.registry import ModelPlaces
from media_assets_tests.bench.privacy_judges import Judge

FPS, FRAMES_EACH = 25, 40
_SIZE = (960, 720)
_JUDGED_EVERY = 3  # no multiple of the step at which the covering looks or proves


def write_panned(path: Path, pictures: Sequence[Path]) -> None:
    """Write a clip in which the view moves across each picture, closer and closer; pictures follow by hard cuts."""
    with av.open(str(path), "w", format="mp4") as output:
        stream: Any = output.add_stream("libx264", rate=Fraction(FPS), options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *_SIZE, "yuv420p"
        for picture in pictures:
            for frame in _panned(picture):
                output.mux(stream.encode(av.VideoFrame.from_image(frame)))
        output.mux(stream.encode(None))


def _panned(path: Path) -> Iterator[Image.Image]:
    with Image.open(path) as opened:
        picture = ImageOps.fit(ImageOps.exif_transpose(opened).convert("RGB"), (1440, 1080))
    for number in range(FRAMES_EACH):
        done = number / FRAMES_EACH
        width, height = (round(side * (1 - done / 3)) for side in picture.size)
        left, upper = round((picture.width - width) * done), round((picture.height - height) * done / 2)
        yield picture.resize(_SIZE, Image.Resampling.BILINEAR, (left, upper, left + width, upper + height))


def covered_clip(source: Path, folder: Path, places: ModelPlaces) -> ProtectedCopy:
    """Return the copy of a clip of which nothing is known before."""
    return protect_video(
        source,
        folder,
        known_faces_by_s={},
        known_texts_by_s={},
        options=ProtectOptions(),
        places=places,
        on_progress=lambda share: None,
    )


def count_faces(path: Path, judge: Judge) -> int:
    """Return how many faces a judge sees in some of the frames."""
    with av.open(str(path)) as container:
        frames = (frame for number, frame in enumerate(container.decode(video=0)) if number % _JUDGED_EVERY == 1)
        return sum(len(judge(_rgb(frame))) for frame in frames)


def _rgb(frame: Any) -> Picture:
    return np.ascontiguousarray(frame.to_ndarray(format="rgb24"))
