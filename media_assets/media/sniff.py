"""Type of a file by its content, never by its name.

Lives here: one table of signatures over the first 4 KiB, and the brands of ISO base media files. Must not: decode or
read more of the file. Formats that are named but not supported say so in ``Sniffed.media_type is None``.
"""

import re
from dataclasses import dataclass
from typing import Literal

from media_assets.media.isobmff import read_brands
from media_assets.media.records import MediaType

HEAD_BYTES = 4096
"""How much of the file :func:`sniff` looks at."""


@dataclass(frozen=True)
class Sniffed:
    """What the first bytes of a file say it is.

    Attributes:
        media_type: ``image`` or ``video``; ``None`` when the format is not supported.
        format: Short lower-case name (``jpeg``, ``mov``, ``pdf``); ``unknown`` when nothing matches.
        mime_type: By content; ``application/octet-stream`` when nothing matches.
        extension: Canonical extension without the dot.
        description: For messages, with its article: "a JPEG picture", "text".
        is_media: Whether it is a picture or video at all, supported or not.
    """

    media_type: MediaType | None
    format: str
    mime_type: str
    extension: str
    description: str
    is_media: bool = True


def _other(name: str, mime_type: str, extension: str, description: str) -> Sniffed:
    return Sniffed(None, name, mime_type, extension, description, is_media=False)


def _unsupported(name: str, mime_type: str, extension: str, description: str) -> Sniffed:
    return Sniffed(None, name, mime_type, extension, description)


JPEG = Sniffed("image", "jpeg", "image/jpeg", "jpg", "a JPEG picture")
PNG = Sniffed("image", "png", "image/png", "png", "a PNG picture")
APNG = Sniffed("image", "apng", "image/apng", "png", "an animated PNG picture")
GIF = Sniffed("image", "gif", "image/gif", "gif", "a GIF picture")
WEBP = Sniffed("image", "webp", "image/webp", "webp", "a WebP picture")
HEIC = Sniffed("image", "heic", "image/heic", "heic", "a HEIC picture")
AVIF = Sniffed("image", "avif", "image/avif", "avif", "an AVIF picture")
TIFF = Sniffed("image", "tiff", "image/tiff", "tif", "a TIFF picture")
BMP = Sniffed("image", "bmp", "image/bmp", "bmp", "a BMP picture")
MP4 = Sniffed("video", "mp4", "video/mp4", "mp4", "an MP4 video")
M4V = Sniffed("video", "mp4", "video/x-m4v", "m4v", "an M4V video")
MOV = Sniffed("video", "mov", "video/quicktime", "mov", "a QuickTime video")
THREEGP = Sniffed("video", "3gp", "video/3gpp", "3gp", "a 3GP video")
MKV = Sniffed("video", "mkv", "video/x-matroska", "mkv", "a Matroska video")
WEBM = Sniffed("video", "webm", "video/webm", "webm", "a WebM video")
AVI = Sniffed("video", "avi", "video/x-msvideo", "avi", "an AVI video")

TEXT = _other("text", "text/plain", "txt", "text")
UNKNOWN = _other("unknown", "application/octet-stream", "bin", "data of an unknown kind")
_ZEROS = _other("zeros", "application/octet-stream", "bin", "nothing but zero bytes (a failed copy)")
_HTML = _other("html", "text/html", "html", "an HTML page")
_SVG = _unsupported("svg", "image/svg+xml", "svg", "an SVG drawing")
_XML = _other("xml", "application/xml", "xml", "an XML document")
_JSON = _other("json", "application/json", "json", "a JSON document")
_PLAYLIST = _other("playlist", "application/vnd.apple.mpegurl", "m3u8", "a playlist")
_AUDIO_MP4 = _other("m4a", "audio/mp4", "m4a", "an audio file")
_CR3 = _unsupported("cr3", "image/x-canon-cr3", "cr3", "a Canon CR3 raw picture")
_JP2 = _unsupported("jp2", "image/jp2", "jp2", "a JPEG 2000 picture")
_JXL = _unsupported("jxl", "image/jxl", "jxl", "a JPEG XL picture")
_CR2 = _unsupported("cr2", "image/x-canon-cr2", "cr2", "a Canon CR2 raw picture")
_DNG = _unsupported("dng", "image/x-adobe-dng", "dng", "a DNG raw picture")
_RAW = _unsupported("raw", "image/x-raw", "raw", "a camera raw picture")
_MPEG = _unsupported("mpeg", "video/mpeg", "mpg", "an MPEG video")

# (offset, signature, what it is); the first match wins, so longer signatures come before their prefixes.
_SIGNATURES: tuple[tuple[int, bytes, Sniffed], ...] = (
    (0, b"\xff\xd8\xff", JPEG),
    (0, b"GIF87a", GIF),
    (0, b"GIF89a", GIF),
    (8, b"CR\x02\x00", _CR2),
    (0, b"II*\x00", TIFF),
    (0, b"MM\x00*", TIFF),
    (0, b"II+\x00", TIFF),
    (0, b"MM\x00+", TIFF),
    (0, b"IIRO", _unsupported("orf", "image/x-olympus-orf", "orf", "an Olympus raw picture")),
    (0, b"IIRS", _unsupported("orf", "image/x-olympus-orf", "orf", "an Olympus raw picture")),
    (0, b"IIU\x00", _unsupported("rw2", "image/x-panasonic-rw2", "rw2", "a Panasonic raw picture")),
    (0, b"FUJIFILMCCD-RAW", _unsupported("raf", "image/x-fuji-raf", "raf", "a Fujifilm raw picture")),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", _JXL),
    (0, b"\xff\x0a", _JXL),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", _JP2),
    (0, b"\xff\x4f\xff\x51", _JP2),
    (0, b"8BPS", _unsupported("psd", "image/vnd.adobe.photoshop", "psd", "a Photoshop document")),
    (0, b"\x00\x00\x01\x00", _unsupported("ico", "image/vnd.microsoft.icon", "ico", "an icon")),
    (0, b"FLV\x01", _unsupported("flv", "video/x-flv", "flv", "a Flash video")),
    (0, b"0&\xb2u\x8ef\xcf\x11", _unsupported("asf", "video/x-ms-wmv", "wmv", "a Windows Media file")),
    (0, b"\x00\x00\x01\xba", _MPEG),
    (0, b"\x00\x00\x01\xb3", _MPEG),
    (0, b"OggS", _unsupported("ogg", "application/ogg", "ogg", "an Ogg file")),
    (0, b"%PDF-", _other("pdf", "application/pdf", "pdf", "a PDF document")),
    (0, b"%!PS", _other("postscript", "application/postscript", "ps", "a PostScript document")),
    (0, b"PK\x03\x04", _other("zip", "application/zip", "zip", "a ZIP archive or office document")),
    (0, b"PK\x05\x06", _other("zip", "application/zip", "zip", "an empty ZIP archive")),
    (0, b"\x1f\x8b", _other("gzip", "application/gzip", "gz", "a gzip archive")),
    (0, b"7z\xbc\xaf\x27\x1c", _other("7z", "application/x-7z-compressed", "7z", "a 7-Zip archive")),
    (0, b"Rar!\x1a\x07", _other("rar", "application/vnd.rar", "rar", "a RAR archive")),
    (0, b"\x7fELF", _other("elf", "application/x-executable", "elf", "a Linux program")),
    (0, b"MZ", _other("exe", "application/vnd.microsoft.portable-executable", "exe", "a Windows program")),
    (0, b"ID3", _other("mp3", "audio/mpeg", "mp3", "an audio file")),
    (0, b"fLaC", _other("flac", "audio/flac", "flac", "an audio file")),
)

_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_MIAF_BRANDS = frozenset({b"mif1", b"mif2", b"msf1", b"miaf"})
_TIFF_NEW_SUBFILE_TYPE, _TIFF_SUB_IFDS, _TIFF_DNG_VERSION = 254, 330, 50706
_AUDIO_BRANDS = frozenset({b"M4A ", b"M4B ", b"M4P ", b"F4A "})
_M4V_BRANDS = frozenset({b"M4V ", b"M4VH", b"M4VP"})
_MP4_BRANDS = frozenset({b"mp41", b"mp42", b"isom", b"iso2", b"iso3", b"iso4", b"iso5", b"iso6", b"avc1", b"dash"})
# QuickTime files from before ftyp existed start with one of these boxes.
_CLASSIC_QUICKTIME_BOXES = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})

_TEXT_MARKS: tuple[tuple[re.Pattern[bytes], Sniffed], ...] = (
    (re.compile(rb"<(!doctype\s+html|html|head|body)\b", re.IGNORECASE), _HTML),
    (re.compile(rb"(<\?xml\b.*?)?(<!--.*?-->\s*)?(<!doctype\s+svg\b.*)?<svg\b", re.IGNORECASE | re.DOTALL), _SVG),
    (re.compile(rb"#EXTM3U|ffconcat version|v=0\r?\no="), _PLAYLIST),
    (re.compile(rb"<\?xml\b|<[a-z][\w:-]*[\s>]", re.IGNORECASE), _XML),
    (re.compile(rb"[{\[]\s*[\"{\[\]}\d-]"), _JSON),
)
_BINARY_CONTROL = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")


def sniff(head: bytes) -> Sniffed:
    """Return what a file is, from its first bytes.

    Args:
        head: The first :data:`HEAD_BYTES` of the file, or all of it when it is shorter.
    """
    head = head[:HEAD_BYTES]
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return _sniff_png(head)
    for offset, signature, sniffed in _SIGNATURES:
        if head.startswith(signature, offset):
            return _sniff_tiff(head) if sniffed is TIFF else sniffed
    return _sniff_bmp(head) or _sniff_riff(head) or _sniff_ebml(head) or _sniff_isobmff(head) or _sniff_rest(head)


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


def _sniff_tiff(head: bytes) -> Sniffed:
    """Tell camera raw files from TIFF pictures by the tags of IFD0, as far as it lies in the head.

    DNG has its version tag (DNG 1.7, chapter 2). NEF, ARW, PEF and SRW keep a small picture in IFD0
    (NewSubfileType 1) and the raw one in SubIFDs; in a picture TIFF, IFD0 is the picture.
    """
    order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"
    start = int.from_bytes(head[4:8], order)
    count = int.from_bytes(head[start : start + 2], order)
    tags: dict[int, bytes] = {}
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        if entry + 12 > len(head):
            break
        tags[int.from_bytes(head[entry : entry + 2], order)] = head[entry + 8 : entry + 12]
    if _TIFF_DNG_VERSION in tags:
        return _DNG
    is_reduced = int.from_bytes(tags.get(_TIFF_NEW_SUBFILE_TYPE, b""), order) == 1
    return _RAW if is_reduced and _TIFF_SUB_IFDS in tags else TIFF


def _sniff_bmp(head: bytes) -> Sniffed | None:
    """BMP needs more than its two letters: the size of a known header follows at byte 14."""
    known_headers = {12, 16, 40, 52, 56, 64, 108, 124}
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in known_headers:
        return BMP
    return None


def _sniff_riff(head: bytes) -> Sniffed | None:
    if head[:4] != b"RIFF":
        return None
    audio = _other("wav", "audio/wav", "wav", "an audio file")
    return {b"WEBP": WEBP, b"AVI ": AVI, b"WAVE": audio}.get(head[8:12])


def _sniff_ebml(head: bytes) -> Sniffed | None:
    if head[:4] != b"\x1a\x45\xdf\xa3":
        return None
    # DocType (EBML id 0x4282) lies in the header, which is far smaller than the head.
    if re.search(rb"\x42\x82[\x80-\x8f\x10-\x1f]?.{0,7}webm", head[:256], re.DOTALL):
        return WEBM
    if re.search(rb"\x42\x82.{0,8}matroska", head[:256], re.DOTALL):
        return MKV
    return _other("ebml", "application/octet-stream", "bin", "an EBML file that is neither Matroska nor WebM")


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
        return _CR3
    if major in _AVIF_BRANDS or (major in _MIAF_BRANDS and every & _AVIF_BRANDS):
        return AVIF
    if major in _HEIF_BRANDS or major in _MIAF_BRANDS:
        return HEIC
    if major in {b"jp2 ", b"jpx "}:
        return _JP2
    return _JXL if major == b"jxl " else None


def _sniff_movie_brands(major: bytes, every: frozenset[bytes]) -> Sniffed:
    if major == b"qt  ":
        return MOV
    if major in _AUDIO_BRANDS:
        return _AUDIO_MP4
    if major in _M4V_BRANDS:
        return M4V
    if major[:3] in {b"3gp", b"3g2"}:
        return THREEGP
    if major in _MP4_BRANDS:
        return MP4
    # An unknown major brand (XAVC, MSNV, camera makers): the compatible brands say how to read it.
    if b"qt  " in every and not every & _MP4_BRANDS:
        return MOV
    return MP4


def _sniff_rest(head: bytes) -> Sniffed:
    body = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for pattern, sniffed in _TEXT_MARKS:
        if pattern.match(body):
            return sniffed
    if head and not head.strip(b"\x00"):
        return _ZEROS
    if head[:2] in {b"\xff\xfe", b"\xfe\xff"} or (head and not _BINARY_CONTROL.search(head)):
        return TEXT
    return UNKNOWN
