"""Clips in every container and codec that PyAV can write, and hand-made boxes for them."""

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from media_assets.media.limits import Limits
from media_assets.media.sniff import Sniffed
from media_assets.media.video import DecodedVideo, decode_video
from media_assets_tests.unit.media.samples import quadrants

FPS = 25


def write_clip(
    path: Path,
    container: str,
    codec: str,
    *,
    frames: int = 50,
    size: tuple[int, int] = (96, 64),
    pix_fmt: str = "yuv420p",
    audio: str | None = None,
    tags: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    image: NDArray[np.uint8] | None = None,
) -> Path:
    """Write the quadrants (or ``image``) at 25 frames a second, with silence when ``audio`` names a codec."""
    pixels = np.asarray(quadrants(*size)) if image is None else image
    with av.open(str(path), "w", format=container, options=options or {}) as output:
        output.metadata.update(tags or {})
        stream = output.add_stream(codec, rate=Fraction(FPS))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *size, pix_fmt, 10
        sound: Any = output.add_stream(audio, rate=48_000, layout="mono") if audio else None
        output.start_encoding()  # writes the header, also of a recording without frames
        for _ in range(frames):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode(None))
        if sound is not None:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 4608), np.int16), format="s16", layout="mono")
            silence.sample_rate, silence.pts = 48_000, 0
            resampler = av.AudioResampler(format=sound.format, layout="mono", rate=48_000, frame_size=sound.frame_size)
            for frame in resampler.resample(silence):
                output.mux(sound.encode(frame))
            output.mux(sound.encode(None))
    return path


def video(format_name: str) -> Sniffed:
    """What ``sniff`` says of a video of this format."""
    return Sniffed("video", format_name, f"video/{format_name}", format_name, f"a {format_name} video")


def decode(source: Path | bytes, format_name: str, tmp_path: Path, limits: Limits | None = None) -> DecodedVideo:
    path = source if isinstance(source, Path) else tmp_path / "spool"
    if isinstance(source, bytes):
        path.write_bytes(source)
    return decode_video(path, video(format_name), limits or Limits(), longest_px=160)


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def add_to_moov(data: bytes, *boxes: bytes) -> bytes:
    """Append boxes to ``moov``, which must be the last box, so that no offset into ``mdat`` changes."""
    start = data.rindex(b"moov") - 4
    size = int.from_bytes(data[start : start + 4], "big")
    assert start + size == len(data)
    return data[:start] + box(b"moov", data[start + 8 :], *boxes)


def patched(data: bytes, kind: bytes, offset: int, value: bytes) -> bytes:
    """Overwrite bytes at an offset into the body of the first box of a kind."""
    at = data.index(kind) + 4 + offset
    return data[:at] + value + data[at + len(value) :]


def user_text(kind: bytes, text: str, *, language: int = 0x15C7, encoding: str = "utf-8") -> bytes:
    """A QuickTime user data item: length, language, text."""
    raw = text.encode(encoding)
    return box(kind, struct.pack(">HH", len(raw), language), raw)


def language_text(kind: bytes, text: bytes) -> bytes:
    """A 3GPP user data item: version, flags, language, text."""
    return box(kind, bytes(4), b"\x15\xc7", text)


def quicktime_keys(values: dict[str, str]) -> bytes:
    """A ``meta`` box in QuickTime's form (no version) with ``mdta`` keys and their values."""
    keys = b"".join(struct.pack(">I", 8 + len(name)) + b"mdta" + name.encode() for name in values)
    items = b"".join(
        box(struct.pack(">I", index), box(b"data", struct.pack(">II", 1, 0), text.encode()))
        for index, text in enumerate(values.values(), 1)
    )
    handler = box(b"hdlr", bytes(8), b"mdta", bytes(13))
    return box(b"meta", handler, box(b"keys", struct.pack(">II", 0, len(values)), keys), box(b"ilst", items))


def itunes_items(*items: bytes) -> bytes:
    """A ``meta`` box in ISO's form (version and flags) with iTunes items."""
    return box(b"meta", bytes(4), box(b"hdlr", bytes(8), b"mdirappl", bytes(9)), box(b"ilst", *items))


def item(kind: bytes, text: str) -> bytes:
    return box(kind, box(b"data", struct.pack(">II", 1, 0), text.encode()))


def location(latitude: float, longitude: float, altitude: float, name: bytes = b"") -> bytes:
    """A 3GPP ``loci`` box."""
    numbers = struct.pack(">3i", *(round(value * 65536) for value in (longitude, latitude, altitude)))
    return box(b"loci", bytes(4), b"\x15\xc7", name, b"\0", b"\0", numbers, b"earth\0\0")
