"""Descriptive boxes of the MP4 family: QuickTime keys, user data, 3GPP and camera boxes, dates, XMP.

Lives here: our own bounded walk over ``moov``, because FFmpeg drops altitudes and most of the boxes of cameras. Must
not: decode, weigh values against each other, or follow references to other files.
"""

import html
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.geo import Position, plausible_altitude
from media_assets.media.isobmff import Box, iter_boxes
from media_assets.media.text import clean_text, decode_text

_MAX_BOXES = 1000  # of one parent; real files have about twenty
_MAX_TRACKS = 64
_MAX_TEXT_BYTES = 64 * 2**10
_MAX_KEYS_BYTES = 2**20
_MAX_XMP_BYTES = 4 * 2**20
_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")  # XMP part 3, section 1.1.4.1
_EPOCH = datetime(1904, 1, 1, tzinfo=UTC)  # ISO/IEC 14496-12, 8.2.2
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_TIME = {2**32 - 1, 2**64 - 1}

# User data that is language, then text (3GPP TS 26.244 section 8); `cprt` also ISO/IEC 14496-12, 8.10.2.
_LANGUAGE_TEXTS = frozenset({b"titl", b"dscp", b"cprt", b"perf", b"auth", b"gnre", b"albm", b"coll"})
# User data of cameras that is a plain string: Canon, GoPro, Samsung, and names that several makers share.
_PLAIN_TEXTS = frozenset(
    {b"CNMN", b"CNFV", b"CNCV", b"FIRM", b"vndr", b"SDLN", b"manu", b"modl", b"date", b"slno", b"reel", b"scen"}
    | {b"shot", b"name", b"hinv"}
)
# The tables of a track that FFmpeg allocates by their entry counts: bytes of one entry.
_TABLE_ENTRY_BYTES = {b"stts": 8, b"ctts": 8, b"stsc": 12, b"stco": 4, b"co64": 8, b"stss": 4, b"stsz": 4}
# Non-real-time metadata of Sony cameras (XAVC): an XML document in a `meta` box of the file.
_SONY_DEVICE = re.compile(rb"<(?:\w+:)?Device\b[^>]*")
_SONY_CREATED = re.compile(rb'<(?:\w+:)?CreationDate\b[^>]*?\bvalue="([^"]{1,40})"')
_XML_ATTRIBUTE = re.compile(rb'\b(manufacturer|modelName|serialNo)="([^"]{1,200})"')
# GPMF (GoPro): four letters, type "c", size of a sample, number of samples, text.
_GOPRO_MODEL = re.compile(rb"MINFc([\x01-\xff])(..)", re.DOTALL)


@dataclass
class MovieTags:
    """What the boxes of a movie say, not weighed.

    Attributes:
        texts: Values by name. Names of QuickTime keys as they are (``com.apple.quicktime.make``), user data by its
            four characters (``©mak``, ``titl``), iTunes items as ``ItemList.©nam``, keys of a track as ``Track.…``,
            camera documents as ``Sony.…`` and ``GoPro.…``. The first value of a name is kept.
        position: Position of the 3GPP ``loci`` box.
        created: Creation time of the movie header in UTC, else of its first track header that has one.
        xmp: XMP packet.
        has_external_picture: The picture track says that its data is in other files.
        is_encrypted: The picture track is encrypted (ISO/IEC 23001-7).
        notes: Oddities, for people.
    """

    texts: dict[str, str] = field(default_factory=dict)
    position: Position | None = None
    created: datetime | None = None
    xmp: bytes | None = None
    has_external_picture: bool = False
    is_encrypted: bool = False
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, value: str | bytes | None) -> None:
        """Keep the first readable text of a name."""
        text = clean_text(value) if value else None
        if text is not None:
            self.texts.setdefault(name, text)


def read_movie_tags(path: Path) -> MovieTags:
    """Read the descriptive boxes of an MP4, MOV or 3GP file; damaged ones are skipped with a note.

    Raises:
        ContentError: ``CORRUPT`` when a sample table claims more entries than the whole file could hold.
    """
    tags = MovieTags()
    size = path.stat().st_size
    with path.open("rb") as file:
        for box in iter_boxes(file, 0, size):
            if box.kind == b"moov":
                _read_movie(file, box, size, tags)
            elif box.kind == b"meta":
                _read_file_meta(file, box, tags)
            elif box.kind == b"uuid":
                _read_xmp_uuid(file, box, tags)
    return tags


def _children(file: BinaryIO, start: int, end: int, tags: MovieTags) -> Iterator[Box]:
    """Yield the boxes of a parent; at a size that no box can have the rest of the parent is given up."""
    boxes = islice(iter_boxes(file, start, end), _MAX_BOXES)
    while True:
        try:
            box = next(boxes, None)
        except ContentError:
            tags.notes.append("A descriptive box of the video is damaged and was skipped.")
            return
        if box is None:
            return
        yield Box(box.kind, box.start, box.body, min(box.end, end))


def _read(file: BinaryIO, box: Box, limit: int) -> bytes:
    file.seek(box.body)
    return file.read(min(box.end - box.body, limit))


def _read_movie(file: BinaryIO, movie: Box, file_size: int, tags: MovieTags) -> None:
    tracks = 0
    track_time: datetime | None = None
    for box in _children(file, movie.body, min(movie.end, file_size), tags):
        if box.kind == b"mvhd":
            tags.created = _header_time(_read(file, box, 32), tags)
        elif box.kind == b"udta":
            _read_user_data(file, box, tags)
        elif box.kind == b"meta":
            _read_meta(file, box, "", tags)
        elif box.kind == b"uuid":
            _read_xmp_uuid(file, box, tags)
        elif box.kind == b"trak" and tracks < _MAX_TRACKS:
            tracks += 1
            track_time = _read_track(file, box, file_size, tags) or track_time
    tags.created = tags.created or track_time


def _header_time(header: bytes, tags: MovieTags) -> datetime | None:
    """Return the creation time of an ``mvhd`` or ``tkhd`` box; zero and all ones mean that the writer did not know."""
    length = 8 if header[:1] == b"\x01" else 4
    seconds = int.from_bytes(header[4 : 4 + length], "big")
    if seconds == 0:
        return None
    try:
        found = _EPOCH + timedelta(seconds=seconds)
        if found < _UNIX_EPOCH:  # no digital movie is that old: some writers count from 1970
            found = _UNIX_EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        found = None
    if found is None or seconds in _NO_TIME or found < _UNIX_EPOCH + timedelta(days=366):
        tags.notes.append("The creation time of the video is not a time and was ignored.")
        return None
    return found


def _read_track(file: BinaryIO, track: Box, file_size: int, tags: MovieTags) -> datetime | None:
    """Read one ``trak`` box; return its creation time."""
    created: datetime | None = None
    for box in _children(file, track.body, track.end, tags):
        if box.kind == b"tkhd":
            created = _header_time(_read(file, box, 32), tags)
        elif box.kind == b"meta":
            _read_meta(file, box, "Track.", tags)
        elif box.kind == b"mdia":
            _read_media(file, box, file_size, tags)
    return created


def _read_media(file: BinaryIO, media: Box, file_size: int, tags: MovieTags) -> None:
    handler = b""
    for box in _children(file, media.body, media.end, tags):
        if box.kind == b"hdlr":
            handler = _read(file, box, 12)[8:12]
        if box.kind != b"minf":
            continue
        for part in _children(file, box.body, box.end, tags):
            if part.kind == b"stbl":
                for table in _children(file, part.body, part.end, tags):
                    _check_table(file, table, file_size)
                    if table.kind == b"stsd":
                        tags.is_encrypted |= _read(file, table, 16)[12:16] == b"encv"
            elif part.kind == b"dinf" and handler == b"vide":
                for references in _children(file, part.body, part.end, tags):
                    if references.kind == b"dref":
                        tags.has_external_picture |= _is_external(_read(file, references, _MAX_TEXT_BYTES))


def _check_table(file: BinaryIO, table: Box, file_size: int) -> None:
    """Raise CORRUPT at a count that no file of this size can hold; FFmpeg would allocate for it."""
    entry = _TABLE_ENTRY_BYTES.get(table.kind)
    if entry is None:
        return
    header = _read(file, table, 12)
    fixed_size = table.kind == b"stsz" and any(header[4:8])  # one size for all samples, no entries
    count = int.from_bytes(header[8:12] if table.kind == b"stsz" else header[4:8], "big")
    if not fixed_size and count * entry > file_size:
        raise ContentError(
            ReasonCode.CORRUPT,
            "The index of the video claims more entries than the file can hold: it is damaged. Upload it again.",
            "decode",
        )


def _is_external(references: bytes) -> bool:
    """Return whether every entry of a ``dref`` box points to another file (flag 1 means: this file; 8.7.2)."""
    flags: list[int] = []
    position = 8
    while position + 12 <= len(references) and len(flags) < _MAX_BOXES:
        size = int.from_bytes(references[position : position + 4], "big")
        flags.append(references[position + 11] & 1)
        position += max(size, 12)
    return bool(flags) and not any(flags)


def _read_user_data(file: BinaryIO, parent: Box, tags: MovieTags) -> None:
    for box in _children(file, parent.body, parent.end, tags):
        name = box.kind.decode("latin-1")
        if box.kind == b"meta":
            _read_meta(file, box, "", tags)
        elif box.kind == b"XMP_":
            tags.xmp = tags.xmp or _read(file, box, _MAX_XMP_BYTES)
        elif box.kind == b"GPMF":
            _read_gopro(_read(file, box, _MAX_TEXT_BYTES), tags)
        elif box.kind == b"loci":
            _read_location(_read(file, box, _MAX_TEXT_BYTES), tags)
        elif box.kind[:1] in {b"\xa9", b"@"}:  # the latter: Ricoh
            tags.add(name, _international_text(_read(file, box, _MAX_TEXT_BYTES)))
        elif box.kind in _LANGUAGE_TEXTS:
            tags.add(name, _unicode_text(_read(file, box, _MAX_TEXT_BYTES)[6:]))
        elif box.kind == b"kywd":
            tags.add(name, _keywords(_read(file, box, _MAX_TEXT_BYTES)))
        elif box.kind in _PLAIN_TEXTS:
            body = _read(file, box, _MAX_TEXT_BYTES)
            # Canon writes version, flags and language before `manu` and `modl`, others do not.
            tags.add(name, body[6:] if body[:4] == bytes(4) else body)


def _international_text(body: bytes) -> str:
    """Return the first text of a QuickTime text list: length, language, text (QuickTime File Format, user data)."""
    if len(body) < 4:
        return decode_text(body)
    length, language = struct.unpack(">HH", body[:4])
    if body[4:8] == b"data":  # iTunes item where user data belongs; some writers do
        return _unicode_text(body[16:])
    text = body[4 : 4 + length]
    if len(text) < length:  # no list: the bare text
        return decode_text(body)
    if language < 0x400 and not _is_utf8(text) and text[:2] not in {b"\xfe\xff", b"\xff\xfe"}:
        return text.decode("mac_roman")  # codes below 0x400 are Macintosh languages
    return _unicode_text(text)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _unicode_text(text: bytes) -> str:
    """Return UTF-16 with a byte order mark, else UTF-8, as 3GPP TS 26.244 section 8.2 has it."""
    if text[:2] in {b"\xfe\xff", b"\xff\xfe"}:
        return text.decode("utf-16", "replace")
    return decode_text(text)


def _keywords(body: bytes) -> str:
    """Return the words of a ``kywd`` box, joined by commas: count, then length and text of each."""
    words, position = [], 7
    for _ in range(body[6] if len(body) > 6 else 0):
        end = position + 1 + (body[position] if position < len(body) else 0)
        words.append(_unicode_text(body[position + 1 : end]).strip("\0"))
        position = end
    return ",".join(filter(None, words))


def _read_location(body: bytes, tags: MovieTags) -> None:
    """Read a ``loci`` box (3GPP TS 26.244, 8.13): language, name, role, then 16.16 longitude, latitude, altitude."""
    wide = body[6:8] in {b"\xfe\xff", b"\xff\xfe"}
    end = 6
    while end < len(body) and body[end : end + (2 if wide else 1)].strip(b"\0"):
        end += 2 if wide else 1
    tags.add("loci", _unicode_text(body[6:end]))
    numbers = body[end + (3 if wide else 2) :][:12]
    if len(numbers) < 12 or tags.position is not None:
        return
    longitude, latitude, altitude = (value / 65536 for value in struct.unpack(">3i", numbers))
    if abs(latitude) > 90 or abs(longitude) > 180:
        tags.notes.append("The position of the video is not one and was ignored.")
        return
    tags.position = Position(latitude, longitude, plausible_altitude(altitude))


def _read_gopro(body: bytes, tags: MovieTags) -> None:
    match = _GOPRO_MODEL.search(body)
    if match:
        length = match[1][0] * int.from_bytes(match[2], "big")
        tags.add("GoPro.Model", body[match.end() : match.end() + length])


def _meta_start(file: BinaryIO, meta: Box) -> int:
    """Return where the children start: QuickTime's ``meta`` has no version and flags, the one of ISO has."""
    head = _read(file, meta, 8)
    return meta.body if head[4:8] in {b"hdlr", b"keys", b"ilst"} else meta.body + 4


def _read_meta(file: BinaryIO, meta: Box, prefix: str, tags: MovieTags) -> None:
    """Read a ``meta`` box with QuickTime keys (``mdta``) or iTunes items (``mdir``)."""
    keys: list[str] = []
    for box in _children(file, _meta_start(file, meta), meta.end, tags):
        if box.kind == b"keys":
            keys = _read_keys(_read(file, box, _MAX_KEYS_BYTES))
        elif box.kind == b"ilst":
            for item in _children(file, box.body, box.end, tags):
                index = int.from_bytes(item.kind, "big")
                if 1 <= index <= len(keys):
                    tags.add(prefix + keys[index - 1], _read_item(file, item, tags)[1])
                else:
                    freeform, text = _read_item(file, item, tags)
                    tags.add(f"{prefix}ItemList.{freeform or item.kind.decode('latin-1')}", text)


def _read_keys(body: bytes) -> list[str]:
    """Return the names of a ``keys`` box in their order: size, namespace, name each."""
    names: list[str] = []
    position = 8
    while position + 8 <= len(body) and len(names) < _MAX_BOXES:
        size = int.from_bytes(body[position : position + 4], "big")
        if size < 8:
            break
        names.append(decode_text(body[position + 8 : position + size]).strip("\0"))
        position += size
    return names


def _read_item(file: BinaryIO, item: Box, tags: MovieTags) -> tuple[str, str | None]:
    """Return the name of a free-form item ("" for others) and the first value that is text or a number."""
    name, text = "", None
    for box in _children(file, item.body, item.end, tags):
        if box.kind == b"name" and item.kind == b"----":
            name = decode_text(_read(file, box, _MAX_TEXT_BYTES)[4:])
        elif box.kind == b"data" and text is None:
            text = _item_value(_read(file, box, _MAX_TEXT_BYTES))
    return name, text


def _item_value(body: bytes) -> str | None:
    """Return a ``data`` box as text by its well-known type (QuickTime File Format, metadata); pictures are none."""
    kind, payload = int.from_bytes(body[1:4], "big"), body[8:]
    if kind == 1:
        return decode_text(payload)
    if kind == 2:
        return payload.decode("utf-16-be", "replace")
    if kind in {21, 22, 65, 66, 67, 74, 75, 76, 77, 78} and 1 <= len(payload) <= 8:
        return str(int.from_bytes(payload, "big", signed=kind in {21, 65, 66, 67, 74}))
    if (kind, len(payload)) in {(23, 4), (24, 8)}:
        return f"{struct.unpack('>f' if kind == 23 else '>d', payload)[0]:.9g}"
    return None


def _read_file_meta(file: BinaryIO, meta: Box, tags: MovieTags) -> None:
    """Read the ``meta`` box of the file: Sony's document, else keys or items as in the movie."""
    boxes = list(_children(file, _meta_start(file, meta), meta.end, tags))
    handler = next((_read(file, box, 12)[8:12] for box in boxes if box.kind == b"hdlr"), b"")
    if handler != b"nrtm":
        _read_meta(file, meta, "", tags)
        return
    document = next((_read(file, box, _MAX_TEXT_BYTES) for box in boxes if box.kind == b"xml "), b"")
    device = _SONY_DEVICE.search(document)
    for name, value in _XML_ATTRIBUTE.findall(device[0] if device else b""):
        tags.add(f"Sony.{name.decode()}", html.unescape(decode_text(value)))
    created = _SONY_CREATED.search(document)
    tags.add("Sony.CreationDate", created[1] if created else None)


def _read_xmp_uuid(file: BinaryIO, box: Box, tags: MovieTags) -> None:
    if tags.xmp is None and _read(file, box, 16) == _XMP_UUID:
        tags.xmp = _read(file, box, 16 + _MAX_XMP_BYTES)[16:]
