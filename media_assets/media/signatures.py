"""The formats that are known by name, and the bytes that they start with.

Lives here: one record for each format and the table of signatures over the head of a file. Must not: decide between
formats that share a signature (``sniff.py``), decode, or read files.
"""

import re
from dataclasses import dataclass

from media_assets.media.records import MediaType


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
        is_raw: Whether it holds the data of a camera's sensor, which ``raw.py`` opens.
    """

    media_type: MediaType | None
    format: str
    mime_type: str
    extension: str
    description: str
    is_media: bool = True
    is_raw: bool = False


def _other(name: str, mime_type: str, extension: str, description: str) -> Sniffed:
    return Sniffed(None, name, mime_type, extension, description, is_media=False)


def _unsupported(name: str, mime_type: str, extension: str, description: str) -> Sniffed:
    return Sniffed(None, name, mime_type, extension, description)


def _raw(name: str, maker: str) -> Sniffed:
    article = "an" if maker[0] in "AEIOU" else "a"
    mime_type = f"image/x-{maker.split()[0].lower()}-{name}"
    return Sniffed("image", name, mime_type, name, f"{article} {maker} raw picture ({name.upper()})", is_raw=True)


JPEG = Sniffed("image", "jpeg", "image/jpeg", "jpg", "a JPEG picture")
PNG = Sniffed("image", "png", "image/png", "png", "a PNG picture")
APNG = Sniffed("image", "apng", "image/apng", "png", "an animated PNG picture")
GIF = Sniffed("image", "gif", "image/gif", "gif", "a GIF picture")
WEBP = Sniffed("image", "webp", "image/webp", "webp", "a WebP picture")
HEIC = Sniffed("image", "heic", "image/heic", "heic", "a HEIC picture")
AVIF = Sniffed("image", "avif", "image/avif", "avif", "an AVIF picture")
JXL = Sniffed("image", "jxl", "image/jxl", "jxl", "a JPEG XL picture")
JP2 = Sniffed("image", "jp2", "image/jp2", "jp2", "a JPEG 2000 picture")
JPX = Sniffed("image", "jp2", "image/jpx", "jpx", "a JPEG 2000 picture")
J2K = Sniffed("image", "jp2", "image/x-j2c", "j2k", "a JPEG 2000 codestream")
TIFF = Sniffed("image", "tiff", "image/tiff", "tif", "a TIFF picture")
BMP = Sniffed("image", "bmp", "image/bmp", "bmp", "a BMP picture")
ICO = Sniffed("image", "ico", "image/vnd.microsoft.icon", "ico", "an icon")
PSD = Sniffed("image", "psd", "image/vnd.adobe.photoshop", "psd", "a Photoshop document")

DNG = _raw("dng", "Adobe")
CR2 = _raw("cr2", "Canon")
CR3 = _raw("cr3", "Canon")
CRW = _raw("crw", "Canon")
NEF = _raw("nef", "Nikon")
NRW = _raw("nrw", "Nikon")
ARW = _raw("arw", "Sony")
SR2 = _raw("sr2", "Sony")
ORF = _raw("orf", "Olympus")
RW2 = _raw("rw2", "Panasonic")
RAF = _raw("raf", "Fuji")
PEF = _raw("pef", "Pentax")
SRW = _raw("srw", "Samsung")
DCR = _raw("dcr", "Kodak")
ERF = _raw("erf", "Epson")
THREEFR = _raw("3fr", "Hasselblad")
IIQ = _raw("iiq", "PhaseOne")
MEF = _raw("mef", "Mamiya")
MRW = _raw("mrw", "Minolta")
X3F = _raw("x3f", "Sigma")
RAW = Sniffed("image", "raw", "image/x-raw", "raw", "a camera raw picture", is_raw=True)

_MAKERS = (DNG, CR2, CR3, CRW, NEF, NRW, ARW, SR2, ORF, RW2, RAF, PEF, SRW, DCR, ERF, THREEFR, IIQ, MEF, MRW, X3F)
RAW_FORMATS = frozenset(one.format for one in (*_MAKERS, RAW))
"""Names of the formats of camera raw files."""

MP4 = Sniffed("video", "mp4", "video/mp4", "mp4", "an MP4 video")
M4V = Sniffed("video", "mp4", "video/x-m4v", "m4v", "an M4V video")
F4V = Sniffed("video", "mp4", "video/mp4", "f4v", "a Flash MP4 video")
MJ2 = Sniffed("video", "mp4", "video/mj2", "mj2", "a Motion JPEG 2000 video")
MOV = Sniffed("video", "mov", "video/quicktime", "mov", "a QuickTime video")
THREEGP = Sniffed("video", "3gp", "video/3gpp", "3gp", "a 3GP video")
MKV = Sniffed("video", "mkv", "video/x-matroska", "mkv", "a Matroska video")
WEBM = Sniffed("video", "webm", "video/webm", "webm", "a WebM video")
AVI = Sniffed("video", "avi", "video/x-msvideo", "avi", "an AVI video")
FLV = Sniffed("video", "flv", "video/x-flv", "flv", "a Flash video")
ASF = Sniffed("video", "asf", "video/x-ms-wmv", "wmv", "a Windows Media video")
MPEG = Sniffed("video", "mpeg", "video/mpeg", "mpg", "an MPEG video")
MPEGTS = Sniffed("video", "mpegts", "video/mp2t", "ts", "an MPEG transport stream")
M2TS = Sniffed("video", "mpegts", "video/mp2t", "m2ts", "an AVCHD or Blu-ray transport stream")
OGG = Sniffed("video", "ogg", "video/ogg", "ogv", "an Ogg video")

TEXT = _other("text", "text/plain", "txt", "text")
UNKNOWN = _other("unknown", "application/octet-stream", "bin", "data of an unknown kind")
ZEROS = _other("zeros", "application/octet-stream", "bin", "nothing but zero bytes (a failed copy)")
AUDIO_MP4 = _other("m4a", "audio/mp4", "m4a", "an audio file")
AUDIO_OGG = _other("ogg", "audio/ogg", "ogg", "an audio file")
AUDIO_WAVE = _other("wav", "audio/wav", "wav", "an audio file")
OTHER_EBML = _other("ebml", "application/octet-stream", "bin", "an EBML file that is neither Matroska nor WebM")
_HTML = _other("html", "text/html", "html", "an HTML page")
_SVG = _unsupported("svg", "image/svg+xml", "svg", "an SVG drawing")
_XML = _other("xml", "application/xml", "xml", "an XML document")
_JSON = _other("json", "application/json", "json", "a JSON document")
_PLAYLIST = _other("playlist", "application/vnd.apple.mpegurl", "m3u8", "a playlist")

SIGNATURES: tuple[tuple[int, bytes, Sniffed], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", PNG),
    (0, b"\xff\xd8\xff", JPEG),
    (0, b"GIF87a", GIF),
    (0, b"GIF89a", GIF),
    (8, b"CR\x02\x00", CR2),
    (8, b"IIII", IIQ),
    (6, b"HEAPCCDR", CRW),
    (0, b"II*\x00", TIFF),
    (0, b"MM\x00*", TIFF),
    (0, b"II+\x00", TIFF),
    (0, b"MM\x00+", TIFF),
    (0, b"IIRO", ORF),
    (0, b"IIRS", ORF),
    (0, b"MMOR", ORF),
    (0, b"IIU\x00", RW2),
    (0, b"FUJIFILMCCD-RAW", RAF),
    (0, b"\x00MRM", MRW),
    (0, b"FOVb", X3F),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", JXL),
    (0, b"\xff\x0a", JXL),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", JP2),
    (0, b"\xff\x4f\xff\x51", J2K),
    (0, b"8BPS\x00\x01", PSD),
    (0, b"8BPS", _unsupported("psb", "image/vnd.adobe.photoshop", "psb", "a large Photoshop document (PSB)")),
    (0, b"FLV\x01", FLV),
    (0, b"0&\xb2u\x8ef\xcf\x11\xa6\xd9\x00\xaa\x00b\xcel", ASF),
    (0, b"\x00\x00\x01\xba", MPEG),
    (0, b"\x00\x00\x01\xb3", MPEG),
    (0, b"OggS", OGG),
    (0, b"II\xbc\x01", _unsupported("jxr", "image/jxr", "jxr", "a JPEG XR picture")),
    (0, b"v/1\x01", _unsupported("exr", "image/x-exr", "exr", "an OpenEXR picture")),
    (0, b"#?RADIANCE", _unsupported("hdr", "image/vnd.radiance", "hdr", "a Radiance HDR picture")),
    (0, b"gimp xcf ", _unsupported("xcf", "image/x-xcf", "xcf", "a GIMP document")),
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01", _unsupported("mxf", "application/mxf", "mxf", "an MXF video")),
    (0, b".RMF\x00\x00\x00", _unsupported("rm", "application/vnd.rn-realmedia", "rm", "a RealMedia file")),
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
"""(offset, signature, what it is); the first match wins, so longer signatures come before their prefixes."""

TEXT_MARKS: tuple[tuple[re.Pattern[bytes], Sniffed], ...] = (
    (re.compile(rb"<(!doctype\s+html|html|head|body)\b", re.IGNORECASE), _HTML),
    (re.compile(rb"(<\?xml\b.*?)?(<!--.*?-->\s*)?(<!doctype\s+svg\b.*)?<svg\b", re.IGNORECASE | re.DOTALL), _SVG),
    (re.compile(rb"#EXTM3U|ffconcat version|v=0\r?\no="), _PLAYLIST),
    (re.compile(rb"<\?xml\b|<[a-z][\w:-]*[\s>]", re.IGNORECASE), _XML),
    (re.compile(rb"[{\[]\s*[\"{\[\]}\d-]"), _JSON),
)
"""What the first words of a text say it is; the first match wins."""
