"""Boxes of ISO base media files (ISO/IEC 14496-12) and of the still pictures in them (HEIF, ISO/IEC 23008-12).

Lives here: brands, the box walk, and the checks that what the boxes promise is in the file. Must not: decode.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from media_assets.media.errors import ContentError, ReasonCode

_MAX_TOP_LEVEL_BOXES = 100_000  # a fragmented video of some hours has two boxes for each second
_MAX_META_BYTES = 16 * 2**20
_MAX_ITEM_BYTES = 4 * 2**20
_MAX_EXTENTS = 1_000_000


@dataclass(frozen=True)
class Box:
    """One box.

    Attributes:
        kind: Four-character code.
        start: Offset of its header from the start of the file or buffer.
        body: Offset of its contents.
        end: Offset just after it, as its header says; may lie beyond the end of the file.
    """

    kind: bytes
    start: int
    body: int
    end: int


@dataclass(frozen=True)
class MovieBoxes:
    """Top-level structure of an MP4 family video.

    Attributes:
        is_fragmented: There is a ``moof`` box, so the header does not know the duration.
        data_runs_past_end: The last ``mdat`` claims more bytes than the file has; the sample table must be asked
            whether any sample is missing.
    """

    is_fragmented: bool
    data_runs_past_end: bool


@dataclass(frozen=True)
class StillBoxes:
    """What the ``meta`` box of a HEIF or AVIF file says.

    Attributes:
        exif: The first Exif item from its TIFF header on, as stored; ``None`` when there is none.
        bit_depth: Bits of a channel by the first ``pixi`` property; ``None`` when absent.
        largest_px: Width and height of the largest picture by the ``ispe`` properties; (0, 0) without any.
        xmp: The first item that holds an XMP packet, or ``None``.
        has_embedded_video: There is an ``mpvd`` box, the video of a motion photo (Android Motion Photo format 1.0).
    """

    exif: bytes | None = None
    bit_depth: int | None = None
    largest_px: tuple[int, int] = (0, 0)
    xmp: bytes | None = None
    has_embedded_video: bool = False


def read_brands(head: bytes) -> tuple[bytes, ...]:
    """Return the major brand and then the compatible brands of the ``ftyp`` box at the start, or ()."""
    if head[4:8] != b"ftyp" or len(head) < 12:
        return ()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    compatible = [head[i : i + 4] for i in range(16, end - 3, 4)]
    return (head[8:12], *compatible)


def iter_boxes(file: BinaryIO, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes between two offsets, one level deep; the contents are skipped, not read.

    A box that claims to end beyond ``end`` is the last one.

    Raises:
        ContentError: A size that no box can have, or too many boxes.
    """
    position, count = start, 0
    while position + 8 <= end:
        file.seek(position)
        header = file.read(16)
        size, kind, body = int.from_bytes(header[:4], "big"), header[4:8], position + 8
        if size == 1:
            size, body = int.from_bytes(header[8:16], "big"), position + 16
        elif size == 0:  # reaches to the end of the file
            size = end - position
        count += 1
        if size < body - position or count > _MAX_TOP_LEVEL_BOXES:
            raise _unreadable()
        yield Box(kind, position, body, position + size)
        position += size


def read_movie_boxes(path: Path) -> MovieBoxes:
    """Return the top-level structure of an MP4, MOV or 3GP file.

    Raises:
        ContentError: ``TRUNCATED`` when a box other than ``mdat`` ends beyond the file or the index is missing,
            ``CORRUPT`` when box sizes are impossible.
    """
    size = path.stat().st_size
    kinds: set[bytes] = set()
    data_runs_past_end = False
    with path.open("rb") as file:
        for box in iter_boxes(file, 0, size):
            kinds.add(box.kind)
            if box.end > size:
                if box.kind != b"mdat":
                    raise _ends_early("video")
                data_runs_past_end = True
    if b"moov" not in kinds:
        raise ContentError(
            ReasonCode.TRUNCATED,
            "The video has no index (moov box): the recording or the upload was cut. Upload the file again.",
            "decode",
        )
    return MovieBoxes(b"moof" in kinds, data_runs_past_end)


def read_still_boxes(path: Path) -> StillBoxes:
    """Check that all data that a HEIF or AVIF picture refers to is in the file; return what its boxes tell.

    pillow-heif shows HEICs cut at 60 % as good pictures, so this check is what finds them.

    Raises:
        ContentError: ``TRUNCATED`` when a box or an item extent ends beyond the file, ``CORRUPT`` when the boxes
            cannot be read.
    """
    size = path.stat().st_size
    first: dict[bytes, Box] = {}
    with path.open("rb") as file:
        for box in iter_boxes(file, 0, size):
            if box.end > size and box.kind != b"mdat":
                raise _ends_early("picture")
            first.setdefault(box.kind, box)
        meta = first.get(b"meta")
        if meta is None and b"moov" in first:  # an image sequence need not have a still picture as well (HEIF, 7)
            return StillBoxes()
        if meta is None or meta.end - meta.body > _MAX_META_BYTES:
            raise _unreadable()
        file.seek(meta.body)
        try:
            found = _read_meta(file, file.read(meta.end - meta.body), size)
        except (IndexError, ValueError, EOFError) as error:
            raise _unreadable() from error
    return replace(found, has_embedded_video=b"mpvd" in first)


def _ends_early(what: str) -> ContentError:
    return ContentError(
        ReasonCode.TRUNCATED, f"The {what} data ends early (truncated upload). Upload the file again.", "decode"
    )


def _unreadable() -> ContentError:
    return ContentError(
        ReasonCode.CORRUPT, "The boxes of the file cannot be read: it is damaged. Upload it again.", "decode"
    )


class _Fields:
    """Big-endian numbers from a buffer, one after another; raises EOFError at its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, count: int) -> int:
        """Return the next ``count`` bytes as an unsigned number; 0 bytes are the number 0."""
        raw = self._data[self._position : self._position + count]
        if len(raw) < count:
            raise EOFError
        self._position += count
        return int.from_bytes(raw, "big")


def _read_meta(file: BinaryIO, meta: bytes, file_size: int) -> StillBoxes:
    """Read the children of a ``meta`` full box; its first four bytes are version and flags."""
    buffer = io.BytesIO(meta)
    children: dict[bytes, bytes] = {}
    for box in iter_boxes(buffer, 4, len(meta)):
        if box.end > len(meta):
            raise _unreadable()
        children.setdefault(box.kind, meta[box.body : box.end])
    items = _metadata_items(children.get(b"iinf", b""))
    idat = children.get(b"idat", b"")
    blocks: dict[bytes, bytes] = {}
    for item_id, method, extents in _item_extents(children.get(b"iloc", b"")):
        limit = {0: file_size, 1: len(idat)}.get(method)
        if limit is not None and any(offset + length > limit for offset, length in extents):
            raise _ends_early("picture")
        kind = items.get(item_id)
        if kind is not None and limit is not None and kind not in blocks:
            blocks[kind] = _read_item(io.BytesIO(idat) if method else file, extents)
    exif = blocks.get(b"Exif", b"")
    # The item starts with the offset of its TIFF header (HEIF, A.2.1).
    exif = exif[4 + int.from_bytes(exif[:4], "big") :]
    bit_depth, largest_px = _read_properties(children.get(b"iprp", b""))
    return StillBoxes(exif or None, bit_depth, largest_px, blocks.get(b"mime") or None)


def _item_extents(iloc: bytes) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Yield (item id, construction method, [(offset, length)]) of an ``iloc`` box, versions 0 to 2 (8.11.3)."""
    if not iloc:
        return
    fields = _Fields(iloc)
    version = fields.take(4) >> 24
    sizes = fields.take(2)
    offset_size, length_size, base_size, index_size = (
        (sizes >> 12) & 15,
        (sizes >> 8) & 15,
        (sizes >> 4) & 15,
        sizes & 15,
    )
    id_size = 4 if version == 2 else 2
    total = 0
    for _ in range(fields.take(id_size)):
        item_id = fields.take(id_size)
        method = fields.take(2) & 15 if version else 0
        external = fields.take(2) != 0
        base = fields.take(base_size)
        count = fields.take(2)
        total += count
        if total > _MAX_EXTENTS:
            raise ValueError("too many extents")
        extents = []
        for _ in range(count):
            if version:
                fields.take(index_size)
            offset = fields.take(offset_size)
            extents.append((base + offset, fields.take(length_size)))
        if not external:  # data in other files is never read, so there is nothing to check
            yield item_id, method, extents


def _metadata_items(iinf: bytes) -> dict[int, bytes]:
    """Return the items that hold EXIF or XMP: id and ``Exif`` or ``mime`` (``infe`` versions 2 and 3, 8.11.6)."""
    if len(iinf) < 6:
        return {}
    found: dict[int, bytes] = {}
    first = 8 if iinf[0] else 6
    for box in iter_boxes(io.BytesIO(iinf), first, len(iinf)):
        if box.kind == b"infe" and box.end <= len(iinf):
            fields = _Fields(iinf[box.body : box.end])
            version = fields.take(4) >> 24
            if version >= 2:
                item_id = fields.take(4 if version == 3 else 2)
                fields.take(2)
                kind = fields.take(4).to_bytes(4, "big")
                is_xmp = kind == b"mime" and b"application/rdf+xml" in iinf[box.body : box.end]
                if kind == b"Exif" or is_xmp:
                    found[item_id] = kind
    return found


def _read_item(file: BinaryIO, extents: list[tuple[int, int]]) -> bytes:
    """Return the bytes of an item, at most 4 MiB."""
    parts = []
    left = _MAX_ITEM_BYTES
    for offset, length in extents:
        file.seek(offset)
        parts.append(file.read(min(length, left)))
        left -= len(parts[-1])
    return b"".join(parts)


def _read_properties(iprp: bytes) -> tuple[int | None, tuple[int, int]]:
    """Return the bits of a channel, and the largest size of all ``ispe``.

    The bits are those of the first ``pixi`` property, else of the first codec configuration (``hvcC``: ISO/IEC 14496-15
    section 8.3.2, ``av1C``: AV1 in ISOBMFF section 2.3).
    """
    bit_depth: int | None = None
    codec_depth: int | None = None
    largest = (0, 0)
    for outer in iter_boxes(io.BytesIO(iprp), 0, len(iprp)):
        if outer.kind != b"ipco":
            continue
        for box in iter_boxes(io.BytesIO(iprp), outer.body, min(outer.end, len(iprp))):
            if box.kind == b"pixi" and bit_depth is None and box.body + 6 <= len(iprp):
                bit_depth = iprp[box.body + 5] or None
            elif box.kind == b"hvcC" and codec_depth is None and box.body + 18 <= len(iprp):
                codec_depth = 8 + (iprp[box.body + 17] & 7)
            elif box.kind == b"av1C" and codec_depth is None and box.body + 3 <= len(iprp):
                codec_depth = {0x00: 8, 0x40: 10, 0x60: 12}.get(iprp[box.body + 2] & 0x60)
            elif box.kind == b"ispe":
                fields = _Fields(iprp[box.body + 4 : box.end])
                largest = max(largest, (fields.take(4), fields.take(4)), key=lambda size: size[0] * size[1])
    return bit_depth or codec_depth, largest
