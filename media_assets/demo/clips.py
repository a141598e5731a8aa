"""Short videos made from a photo with FFmpeg's libraries (PyAV): a slow pan, as a person films a view.

Encoding only; one thread and FFmpeg's bit-exact mode, so that the same library versions give the same bytes.
"""

from datetime import UTC, datetime
from io import BytesIO
from typing import Literal, cast

import numpy as np
from PIL import Image

Container = Literal["mp4", "webm"]

_ENCODERS: dict[Container, tuple[str, dict[str, str]]] = {
    "mp4": ("libx264", {"preset": "veryfast", "crf": "23", "profile": "high"}),
    "webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "34", "b": "0"}),
}


def encode_pan(
    photo: Image.Image,
    container: Container,
    *,
    size: tuple[int, int],
    duration_s: float,
    frame_rate_fps: int,
    created_at: datetime,
    tags: dict[str, str] | None = None,
) -> bytes:
    """Return a video whose view moves over the photo from its left to its right edge.

    Args:
        photo: RGB picture, as high as the video at least and wider than it.
        container: ``mp4`` (H.264) or ``webm`` (VP9); both 4:2:0, 8 bits, without sound.
        size: Width and height of the video in pixels, even numbers.
        duration_s: Length in seconds.
        frame_rate_fps: Frames a second, constant.
        created_at: Aware; written in UTC as the container's creation time.
        tags: More metadata of the container, by FFmpeg's names (``location`` in ISO 6709).

    Raises:
        ValueError: The photo is not larger than the video, or ``created_at`` has no offset.
    """
    import av

    width_px, height_px = size
    if photo.width <= width_px or photo.height < height_px:
        raise ValueError(f"A photo of {photo.size} gives no pan of {size}: enlarge the photo.")
    if created_at.tzinfo is None:
        raise ValueError("The creation time has no offset: pass an aware datetime.")
    encoder, options = _ENCODERS[container]
    target = BytesIO()
    # Bit-exact: without it, Matroska writes a random segment id.
    with av.open(target, mode="w", format=container, options={"fflags": "bitexact"}) as output:
        output.metadata["creation_time"] = created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
        output.metadata.update(tags or {})
        stream = cast("av.VideoStream", output.add_stream(encoder, rate=frame_rate_fps, options=options))
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        stream.codec_context.thread_count = 1
        frame_count = round(duration_s * frame_rate_fps)
        top = (photo.height - height_px) // 2
        for index in range(frame_count):
            left = round((photo.width - width_px) * index / max(frame_count - 1, 1))
            view = photo.crop((left, top, left + width_px, top + height_px))
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(view), format="rgb24")))
        output.mux(stream.encode(None))
    return target.getvalue()
