"""Videos that point to other files or to the network: nothing but the file itself is ever opened."""

import select
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.limits import Limits
from media_assets.media.video import decode_video
from media_assets_tests.unit.media.video_samples import add_to_moov, box, decode, video, write_clip

PLAYLISTS = [
    "#EXTM3U\n#EXTINF:1,\n{url}\n",
    "ffconcat version 1.0\nfile {url}\n",
    "[reference]\nRef1={url}\n",
    '<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nc=IN IP4 127.0.0.1\r\nm=video {port} RTP/AVP 96\r\n",
    "RTSPtext\r\n{url}\r\n",
]
FORMATS = ["mp4", "mkv", "avi", "flv", "asf", "mpeg", "mpegts", "ogg"]


@pytest.fixture
def listener() -> Iterator[tuple[str, int]]:
    """A URL on this machine at which nothing must ever knock."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as datagrams:
            datagrams.bind(("127.0.0.1", port))
            yield f"http://127.0.0.1:{port}/clip.mp4", port
            ready, _, _ = select.select([server, datagrams], [], [], 0.05)
            assert ready == []


def external_reference(kind: bytes, target: str) -> bytes:
    """A ``dref`` box with one entry that is not this file (flag 1 is not set)."""
    if kind == b"alis":
        # A Macintosh alias: a fixed part of 150 bytes, then type, length, text; type 2 is the path, which FFmpeg reads.
        text = target.encode()
        path = struct.pack(">hH", 2, len(text)) + text + bytes(len(text) % 2) + struct.pack(">hH", -1, 0)
        record = bytes(4) + struct.pack(">HHH", 150 + len(path), 2, 0) + bytes(140) + path
        return box(b"dref", bytes(4), struct.pack(">I", 1), box(kind, bytes(4), record))
    return box(b"dref", bytes(4), struct.pack(">I", 1), box(kind, bytes(4), target.encode() + b"\0"))


def with_reference(data: bytes, reference: bytes) -> bytes:
    """Replace the ``dref`` box of a clip whose ``moov`` is last, and the sizes of its parents."""
    start = data.rindex(b"dref") - 4
    end = start + int.from_bytes(data[start : start + 4], "big")
    grown = len(reference) - (end - start)
    out = bytearray(data[:start] + reference + data[end:])
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        at = data.rindex(parent) - 4
        out[at : at + 4] = (int.from_bytes(data[at : at + 4], "big") + grown).to_bytes(4, "big")
    return bytes(out)


@pytest.mark.parametrize("where", ["network", "file"])
def test_pictures_in_another_file(tmp_path: Path, listener: tuple[str, int], where: str) -> None:
    secret = write_clip(tmp_path / "secret.mov", "mov", "mpeg4", frames=5)
    data = write_clip(tmp_path / "v", "mov", "mpeg4", frames=5).read_bytes()
    target = listener[0] if where == "network" else str(secret)
    with pytest.raises(ContentError) as caught:
        decode(with_reference(data, external_reference(b"alis", target)), "mov", tmp_path)
    assert caught.value.reason is ReasonCode.NO_PICTURE
    assert "refers to other files" in caught.value.message
    # FFmpeg takes any other kind of entry for this file, whose pictures are shown then.
    decoded = decode(with_reference(data, external_reference(b"url ", target)), "mov", tmp_path)
    assert decoded.warnings == (
        "The movie refers to other files for its pictures; only what this file holds was read.",
    )


def test_reference_movies(tmp_path: Path, listener: tuple[str, int]) -> None:
    url = listener[0].encode() + b"\0"
    reference = box(b"rdrf", bytes(4), b"url ", struct.pack(">I", len(url)), url)
    movie = box(b"moov", box(b"rmra", box(b"rmda", reference)))
    with pytest.raises(ContentError) as caught:
        decode(box(b"ftyp", b"qt  ", bytes(4), b"qt  ") + movie, "mov", tmp_path)
    assert caught.value.reason in {ReasonCode.NO_PICTURE, ReasonCode.CORRUPT}
    playable = write_clip(tmp_path / "v", "mov", "mpeg4", frames=5).read_bytes()
    assert decode(add_to_moov(playable, box(b"rmra", box(b"rmda", reference))), "mov", tmp_path).width_px == 96


@pytest.mark.parametrize("text", PLAYLISTS)
@pytest.mark.parametrize("format_name", FORMATS)
def test_playlists_under_any_demuxer(tmp_path: Path, listener: tuple[str, int], text: str, format_name: str) -> None:
    """Even when the type were sniffed wrongly, FFmpeg does not guess another one."""
    path = tmp_path / "spool"
    path.write_text(text.format(url=listener[0], port=listener[1]))
    with pytest.raises(ContentError):
        decode_video(path, video(format_name), Limits(), longest_px=160)


def test_a_name_that_looks_like_a_protocol(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "concat:secret|clip.mp4", "mp4", "mpeg4", frames=5)
    assert decode(path, "mp4", tmp_path).width_px == 96
