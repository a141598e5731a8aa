"""Type of a file by its content, never by its name.

Lives here: what tells formats apart that share a signature: TIFF and the camera raw files built on it, the brands of
ISO base media files, packets of transport streams. Must not: decode. Formats that are named but not supported say so
in ``Sniffed.media_type is None``.
"""

import re
from collections.abc import Mapping
from typing import BinaryIO

from PIL import ExifTags

from media_assets.media.ifd import Directories
from media_assets.media.isobmff import read_brands
from media_assets.media.signatures import (
    APNG,
    ARW,
    AUDIO_MP4,
    AUDIO_OGG,
    AUDIO_WAVE,
    AVI,
    AVIF,
    BMP,
    CR3,
    DCR,
    DNG,
    ERF,
    F4V,
    HEIC,
    ICO,
    IIQ,
    JP2,
    JPX,
    JXL,
    M2TS,
    M4V,
    MEF,
    MJ2,
    MKV,
    MOV,
    MP4,
    MPEGTS,
    NEF,
    NRW,
    OGG,
    OTHER_EBML,
    PEF,
    PNG,
    RAW,
    SIGNATURES,
    SR2,
    SRW,
    TEXT,
    TEXT_MARKS,
    THREEFR,
    THREEGP,
    TIFF,
    UNKNOWN,
    WEBM,
    WEBP,
    ZEROS,
    Sniffed,
)

__all__ = ["HEAD_BYTES", "Sniffed", "sniff", "sniff_file"]

HEAD_BYTES = 4096
"""How much of the file :func:`sniff` looks at."""

_Base = ExifTags.Base
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"avci", b"avcs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_MIAF_BRANDS = frozenset({b"mif1", b"mif2", b"msf1", b"miaf"})
_AUDIO_BRANDS = frozenset({b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "})
_M4V_BRANDS = frozenset({b"M4V ", b"M4VH", b"M4VP"})
_MP4_BRANDS = frozenset({b"mp41", b"mp42", b"isom", b"iso2", b"iso3", b"iso4", b"iso5", b"iso6", b"avc1", b"dash"})
# QuickTime files from before ftyp existed start with one of these boxes.
_CLASSIC_QUICKTIME_BOXES = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_BINARY_CONTROL = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")

# Compression and PhotometricInterpretation values of sensor data, which editors never write: packed Sony and Epson,
# Nikon, Samsung, Kodak, Pentax; colour filter array.
_RAW_COMPRESSIONS = frozenset({32767, 32769, 32770, 32772, 65000, 65535, 34713})
_CFA_PHOTOMETRIC = 32803
_OLD_JPEG_COMPRESSION = 6
_RAW_MAKERS: tuple[tuple[str, Sniffed], ...] = (
    ("NIKON", NEF),
    ("SONY", ARW),
    ("PENTAX", PEF),
    ("RICOH", PEF),
    ("SAMSUNG", SRW),
    ("HASSELBLAD", THREEFR),
    ("PHASE ONE", IIQ),
    ("SEIKO EPSON", ERF),
    ("EPSON", ERF),
    ("KODAK", DCR),
    ("EASTMAN KODAK", DCR),
    ("MAMIYA", MEF),
)

_TS_SYNC = 0x47
_TS_PACKET, _M2TS_PACKET = 188, 192
_TS_MIN_PACKETS, _TS_MAX_PACKETS = 3, 10
# First packets of the video codecs that Ogg maps: Theora, Dirac, VP8, Daala and OGM.
_OGG_VIDEO = re.compile(rb"\x80theora|BBCD\x00|OVP80|\x80daala|\x01video\x00|\x80kate")
_ICO_MAX_PICTURES = 256


def sniff(head: bytes) -> Sniffed:
    """Return what a file is, from its first bytes.

    A camera raw file whose directory lies further back is taken for a TIFF picture: :func:`sniff_file` looks there too.

    Args:
        head: The first :data:`HEAD_BYTES` of the file, or all of it when it is shorter.
    """
    head = head[:HEAD_BYTES]
    for offset, signature, sniffed in SIGNATURES:
        if head.startswith(signature, offset):
            return _refine(sniffed, head)
    for tell in (_sniff_bmp, _sniff_ico, _sniff_riff, _sniff_ebml, _sniff_isobmff, _sniff_transport_stream):
        found = tell(head)
        if found is not None:
            return found
    return _sniff_rest(head)


def sniff_file(file: BinaryIO) -> Sniffed:
    """Return what an open file is: :func:`sniff` of its head, and of a TIFF the first directory, wherever it lies.

    Args:
        file: Open at any position; the position afterwards is undefined.

    Raises:
        OSError: The file cannot be read.
    """
    file.seek(0)
    found = sniff(file.read(HEAD_BYTES))
    if found is not TIFF:
        return found
    file.seek(0)
    return _sniff_tiff(file)


def _refine(sniffed: Sniffed, head: bytes) -> Sniffed:
    """Tell apart what shares a signature."""
    if sniffed is PNG:
        return _sniff_png(head)
    if sniffed is TIFF:
        return _sniff_tiff(head)
    if sniffed is JP2:
        # The signature box is followed by ftyp (ITU-T T.800, I.5.2).
        return {b"mjp2": MJ2, b"jpx ": JPX, b"jpf ": JPX}.get(head[20:24], JP2)
    if sniffed is OGG:
        return OGG if _OGG_VIDEO.search(head) else AUDIO_OGG
    return sniffed


def _sniff_png(head: bytes) -> Sniffed:
    """APNG when acTL comes before the first IDAT (PNG third edition, 11.3.6.1) within the head."""
    position = 8
    while position + 8 <= len(head):
        kind = head[position + 4 : position + 8]
        if kind == b"acTL":
            return APNG
        if kind == b"IDAT":
            break
        position += 12 + int.from_bytes(head[position : position + 4], "big")
    return PNG


def _sniff_tiff(source: bytes | BinaryIO) -> Sniffed:
    """Tell camera raw files from TIFF pictures by the tags of IFD0.

    DNG has its version tag (DNG 1.7, chapter 2). NEF, ARW and SRW keep a small picture in IFD0 (NewSubfileType 1) and
    the raw one in SubIFDs, PEF has raw data in IFD0; in a picture TIFF, IFD0 is the picture.
    """
    try:
        tags = Directories(source).first()
    except ValueError:
        return TIFF
    if _Base.DNGVersion in tags:
        return DNG
    is_reduced = tags.get(_Base.NewSubfileType) == 1 and _Base.SubIFDs in tags
    is_sensor_data = (
        tags.get(_Base.PhotometricInterpretation) == _CFA_PHOTOMETRIC
        or tags.get(_Base.Compression) in _RAW_COMPRESSIONS
    )
    return _raw_of_maker(tags) if is_reduced or is_sensor_data else TIFF


def _raw_of_maker(tags: Mapping[int, object]) -> Sniffed:
    make = str(tags.get(_Base.Make, "")).strip().upper()
    found = next((sniffed for name, sniffed in _RAW_MAKERS if make.startswith(name)), RAW)
    # As exiftool tells them: NRW has a JPEG in IFD0, SR2 has Sony's private directory without being a DNG.
    if found is NEF and tags.get(_Base.Compression) == _OLD_JPEG_COMPRESSION:
        return NRW
    if found is ARW and "DSC-R1" in str(tags.get(_Base.Model, "")):
        return SR2
    return found


def _sniff_bmp(head: bytes) -> Sniffed | None:
    """BMP needs more than its two letters: the size of a known header follows at byte 14."""
    known_headers = {12, 16, 40, 52, 56, 64, 108, 124}
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in known_headers:
        return BMP
    return None


def _sniff_ico(head: bytes) -> Sniffed | None:
    """An icon needs more than its four bytes: its first entry must point behind the list of entries."""
    count = int.from_bytes(head[4:6], "little")
    if head[:4] != b"\x00\x00\x01\x00" or not 1 <= count <= _ICO_MAX_PICTURES or len(head) < 22 or head[9]:
        return None
    size, offset = int.from_bytes(head[14:18], "little"), int.from_bytes(head[18:22], "little")
    return ICO if size and offset >= 6 + 16 * count else None


def _sniff_riff(head: bytes) -> Sniffed | None:
    if head[:4] != b"RIFF":
        return None
    return {b"WEBP": WEBP, b"AVI ": AVI, b"WAVE": AUDIO_WAVE}.get(head[8:12])


def _sniff_ebml(head: bytes) -> Sniffed | None:
    if head[:4] != b"\x1a\x45\xdf\xa3":
        return None
    # DocType (EBML id 0x4282) lies in the header, which is far smaller than the head.
    if re.search(rb"\x42\x82[\x80-\x8f\x10-\x1f]?.{0,7}webm", head[:256], re.DOTALL):
        return WEBM
    if re.search(rb"\x42\x82.{0,8}matroska", head[:256], re.DOTALL):
        return MKV
    return OTHER_EBML


def _sniff_isobmff(head: bytes) -> Sniffed | None:
    if head[4:8] in _CLASSIC_QUICKTIME_BOXES:
        return MOV
    if head[4:8] != b"ftyp":
        return None
    brands = read_brands(head)
    if not brands:
        return UNKNOWN
    major, every = brands[0], frozenset(brands)
    return _sniff_still_brands(major, every) or _sniff_movie_brands(major, every)


def _sniff_still_brands(major: bytes, every: frozenset[bytes]) -> Sniffed | None:
    if major == b"crx ":
        return CR3
    if major in _AVIF_BRANDS or (major in _MIAF_BRANDS and every & _AVIF_BRANDS):
        return AVIF
    if major in _HEIF_BRANDS or major in _MIAF_BRANDS:
        return HEIC
    if major == b"jxl ":
        return JXL
    # A major brand that nobody knows: the compatible brands say that it is a still picture, unless they name a movie.
    if every & _MIAF_BRANDS and not every & _MP4_BRANDS and major not in {b"qt  ", *_M4V_BRANDS}:
        return AVIF if every & _AVIF_BRANDS else HEIC
    return {b"jp2 ": JP2, b"jpx ": JPX}.get(major)


def _sniff_movie_brands(major: bytes, every: frozenset[bytes]) -> Sniffed:
    if major in _AUDIO_BRANDS:
        return AUDIO_MP4
    if major in _M4V_BRANDS:
        return M4V
    named = {b"qt  ": MOV, b"f4v ": F4V, b"F4V ": F4V, b"mjp2": MJ2, b"mj2s": MJ2}.get(major)
    if named is not None:
        return named
    if major[:3] in {b"3gp", b"3g2", b"3gg", b"3gs", b"3gr"}:
        return THREEGP
    if major in _MP4_BRANDS:
        return MP4
    # An unknown major brand (XAVC, MSNV, NDAS, camera makers): the compatible brands say how to read it.
    if b"qt  " in every and not every & _MP4_BRANDS:
        return MOV
    return MP4


def _sniff_transport_stream(head: bytes) -> Sniffed | None:
    """MPEG-2 transport stream (ISO/IEC 13818-1, 2.4.3): a sync byte every 188 bytes, or 192 with time codes."""
    for packet, first, sniffed in ((_TS_PACKET, 0, MPEGTS), (_M2TS_PACKET, 4, M2TS)):
        marks = head[first : packet * _TS_MAX_PACKETS : packet]
        if len(marks) >= _TS_MIN_PACKETS and not marks.strip(bytes([_TS_SYNC])):
            # Text of 0x47 ("G") alone would pass as well; no packet starts with the error bit and four such bytes.
            return None if head[first : first + 8] == b"G" * 8 else sniffed
    return None


def _sniff_rest(head: bytes) -> Sniffed:
    body = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for pattern, sniffed in TEXT_MARKS:
        if pattern.match(body):
            return sniffed
    if head and not head.strip(b"\x00"):
        return ZEROS
    if head[:2] in {b"\xff\xfe", b"\xfe\xff"} or (head and not _BINARY_CONTROL.search(head)):
        return TEXT
    return UNKNOWN
