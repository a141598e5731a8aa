"""What a gallery shows: files of the catalog with their renditions, and where a browser finds the bytes.

Only reading. How it looks is the business of ``page`` (HTML) and ``sheets`` (JPEG).
"""

import base64
import binascii
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from media_assets.media.rendering import FRAME_KINDS, OPTIMIZED_KINDS
from media_assets.pipeline.assets import REJECTED_TABLE
from media_assets.storage import catalog
from media_assets.storage.errors import StorageError
from media_assets.storage.objects import ObjectStore

_FILE_COLUMNS = (
    "media_id", "owner", "source_key", "file_name", "media_type", "format", "width_px", "height_px", "size_bytes",
    "duration_s", "duplicate_of",
)  # fmt: skip
_RENDITION_COLUMNS = (
    "media_id", "kind", "path", "public_url", "format", "width_px", "height_px", "size_bytes", "ssim", "thumbhash",
    "duration_s",
)  # fmt: skip
_WEB_ADDRESS = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?")
_FETCHING_THREADS = 8


@dataclass(frozen=True)
class Picture:
    """One rendition, as table ``renditions`` describes it."""

    kind: str
    key: str
    public_url: str | None
    format: str
    width_px: int
    height_px: int
    size_bytes: int
    ssim: float | None = None
    thumbhash: str | None = None
    duration_s: float | None = None


@dataclass(frozen=True)
class Item:
    """One accepted media file.

    Attributes:
        media_id: Its identity.
        owner: Whose it is.
        source_key: Key of the upload.
        name: What the uploader called it; hostile text.
        is_video: Whether it is a video.
        format: Short name of the format.
        width_px: Width of the upright picture.
        height_px: Height of the upright picture.
        size_bytes: Length of the file.
        duration_s: Length of a video or an animation in seconds.
        captured_at: Wall time of capture, naive; ``None``: unknown.
        duplicate_of: Media id of the file that brought the same bytes first.
        thumb: The rendition that stands for the file; ``None``: there is none of this kind.
        renditions: All its renditions, thumbnails from small to large.
    """

    media_id: str
    owner: str
    source_key: str
    name: str
    is_video: bool
    format: str
    width_px: int
    height_px: int
    size_bytes: int
    duration_s: float | None = None
    captured_at: datetime | None = None
    duplicate_of: str | None = None
    thumb: Picture | None = None
    renditions: tuple[Picture, ...] = field(default=())

    def of_kind(self, kind: str) -> tuple[Picture, ...]:
        """Renditions of a kind."""
        return tuple(one for one in self.renditions if one.kind == kind)


@dataclass(frozen=True)
class Contents:
    """What a library holds, as far as it is shown.

    Attributes:
        items: By time of capture (unknown times last), then by name.
        total: Files that there are, shown or not.
        rejected: Rejected files of the same owner.
    """

    items: tuple[Item, ...]
    total: int
    rejected: int


def read_contents(store: ObjectStore, *, kind: str, owner: str | None = None, limit: int | None = None) -> Contents:
    """Read the catalog.

    Args:
        store: The library.
        kind: Rendition that stands for a file, for example ``thumb_300``.
        owner: Only files of this owner.
        limit: Files at most, the first in order; ``None``: all.

    Raises:
        StorageError: The catalog cannot be read.
    """
    files = catalog.read_current(store, "files", _FILE_COLUMNS)
    refused = catalog.read_current(store, REJECTED_TABLE, ("owner",))
    if owner is not None:
        files, refused = (table.filter(pc.equal(table["owner"], pa.scalar(owner))) for table in (files, refused))
    times = catalog.read_current(store, "metadata", ("media_id", "captured_at_local"))
    captured = dict(zip(times["media_id"].to_pylist(), times["captured_at_local"].to_pylist(), strict=True))
    rows = sorted(files.to_pylist(), key=lambda row: _order(row, captured.get(row["media_id"])))[:limit]
    renditions = _renditions(store, [row["media_id"] for row in rows])
    items = tuple(_item(row, captured.get(row["media_id"]), renditions.get(row["media_id"], ()), kind) for row in rows)
    return Contents(items, files.num_rows, refused.num_rows)


def _order(row: Mapping[str, Any], captured_at: datetime | None) -> tuple[object, ...]:
    return captured_at is None, captured_at or datetime.min, row["file_name"], row["media_id"]  # noqa: DTZ901 - wall times


def _renditions(store: ObjectStore, media_ids: Sequence[str]) -> dict[str, list[Picture]]:
    table = catalog.read_current(store, "renditions", _RENDITION_COLUMNS)
    table = table.filter(pc.is_in(table["media_id"], pa.array(media_ids, pa.string())))
    found: dict[str, list[Picture]] = {}
    for row in table.to_pylist():
        if row["kind"] in FRAME_KINDS:  # for the analysis; the storyboard shows more of them
            continue
        media_id = row.pop("media_id")
        found.setdefault(media_id, []).append(Picture(key=row.pop("path"), **row))
    return found


def _item(row: Mapping[str, Any], captured_at: datetime | None, renditions: Iterable[Picture], kind: str) -> Item:
    ordered = tuple(
        sorted(renditions, key=lambda one: (one.kind in OPTIMIZED_KINDS, one.width_px, one.kind, one.format))
    )
    return Item(
        media_id=row["media_id"],
        owner=row["owner"],
        source_key=row["source_key"],
        name=row["file_name"],
        is_video=row["media_type"] == "video",
        format=row["format"],
        width_px=row["width_px"],
        height_px=row["height_px"],
        size_bytes=row["size_bytes"],
        duration_s=row["duration_s"],
        captured_at=captured_at,
        duplicate_of=row["duplicate_of"],
        thumb=next((one for one in ordered if one.kind == kind), None),
        renditions=ordered,
    )


# ---------------------------------------------------------------- where the bytes are


class Addresses:
    """Where a page finds renditions: relative paths for a local library, else published or presigned addresses.

    Args:
        store: The library.
        page: The file that the addresses are for.
        expires_s: How long signed addresses work, in seconds.

    Attributes:
        origins: Scheme and host of the addresses given so far that are not relative.
        expire: Whether any of them stops working after ``expires_s``.
    """

    def __init__(self, store: ObjectStore, page: Path, expires_s: int) -> None:
        self.expires_s = expires_s
        self._store = store
        self._folder = page.absolute().parent
        self.origins: set[str] = set()
        self.expire = False

    def of(self, picture: Picture) -> str | None:
        """Return the address of a rendition, safe between double quotes; ``None`` when there is none.

        Raises:
            StorageError: The store cannot sign an address.
        """
        local = self._store.local_path(picture.key)
        if local is not None:
            return quote(os.fsencode(os.path.relpath(local, self._folder)))
        published = picture.public_url or self._store.public_url(picture.key)
        address = published or self._store.presigned_url(picture.key, self.expires_s)
        if address is None:
            return None
        if _WEB_ADDRESS.fullmatch(address) is None:  # a table may come from anywhere: no javascript:, no quotes
            return None
        parts = urlsplit(address)
        self.expire = self.expire or published is None
        self.origins.add(f"{parts.scheme}://{parts.netloc}")
        return address


def fetch(store: ObjectStore, pictures: Iterable[Picture]) -> dict[str, bytes]:
    """Read renditions, several at a time; those that cannot be read are left out.

    Returns:
        Content by key.
    """

    def read(key: str) -> bytes | None:
        try:
            return store.get_bytes(key)
        except StorageError:
            return None

    wanted = list(dict.fromkeys(picture.key for picture in pictures))
    with ThreadPoolExecutor(_FETCHING_THREADS) as executor:
        found = zip(wanted, executor.map(read, wanted), strict=True)
        return {key: content for key, content in found if content is not None}


# ---------------------------------------------------------------- words


def average_color(thumbhash: str | None) -> str | None:
    """Return the average colour of a ThumbHash as ``#rrggbb``; ``None`` without a usable one.

    The first 18 bits are the constant terms of lightness and of the two colour differences
    (https://evanw.github.io/thumbhash/).
    """
    try:
        header = int.from_bytes(base64.b64decode(thumbhash or "", validate=True)[:3], "little")
    except (binascii.Error, ValueError):
        return None
    if not header:
        return None
    lightness = (header & 63) / 63
    yellow_blue, red_green = ((header >> 6 & 63) / 31.5 - 1, (header >> 12 & 63) / 31.5 - 1)
    blue = lightness - 2 / 3 * yellow_blue
    red = (3 * lightness - blue + red_green) / 2
    levels = (round(255 * min(1.0, max(0.0, level))) for level in (red, red - red_green, blue))
    return "#" + "".join(f"{level:02x}" for level in levels)


def printable(text: str) -> str:
    """Return text without what could break a line, reverse its direction or be no character at all."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def described_size(size_bytes: int) -> str:
    """A length for people: ``813 bytes``, ``45 kB``, ``3.4 MB``; powers of 1000."""
    if size_bytes < 1000:
        return f"{size_bytes} bytes"
    for unit, step in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        value = size_bytes / step
        if value < 999.5 or unit == "GB":
            return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
    raise AssertionError("the last unit returns")


def described_duration(seconds: float) -> str:
    """A length for people: ``0:07``, ``1:02:03``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def summary(contents: Contents) -> str:
    """One line for people: how many of what."""
    videos = sum(item.is_video for item in contents.items)
    shown = len(contents.items)
    parts = [_counted(shown - videos, "picture"), _counted(videos, "video"), f"{contents.rejected} rejected"]
    if shown < contents.total:
        parts.append(f"the first {shown} of {contents.total} files are shown")
    return ", ".join(parts)


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
