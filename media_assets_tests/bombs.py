"""Hostile files made in code: small files that ask for much, and files that point elsewhere. Harmless by themselves."""

import io
import struct
import zlib

from PIL import Image

from media_assets_tests.pictures import jpeg

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def zeros(size: int) -> bytes:
    """``size`` zero bytes, deflated."""
    deflate = zlib.compressobj(9)
    parts = [deflate.compress(bytes(min(1 << 20, size - start))) for start in range(0, size, 1 << 20)]
    return b"".join([*parts, deflate.flush()])


def png(width: int, height: int, *, channels: int = 1, pixels: bool = True, extra: bytes = b"") -> bytes:
    """A black PNG of 8 bits: grey, or RGB with ``channels=3``. Without ``pixels``, its data is a few bytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    data = zeros(height * (1 + width * channels) if pixels else 100)
    return _PNG_MAGIC + _chunk(b"IHDR", header) + extra + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def png_text_bomb(kind: bytes, size: int = 256 << 20) -> bytes:
    """An 8 x 8 PNG whose ``zTXt``, ``iCCP`` or ``iTXt`` chunk inflates to ``size`` bytes."""
    head = {b"zTXt": b"Comment\0\0", b"iCCP": b"icc\0\0", b"iTXt": b"XML:com.adobe.xmp\0\1\0\0\0"}[kind]
    return png(8, 8, extra=_chunk(kind, head + zeros(size)))


def webp_bomb() -> bytes:
    """268 megapixels of lossless WebP in 44 bytes: only the header is there."""
    header = (16382 | 16382 << 14).to_bytes(4, "little")
    data = b"\x2f" + header + bytes(19)
    return b"RIFF" + struct.pack("<I", 12 + len(data)) + b"WEBPVP8L" + struct.pack("<I", len(data)) + data


def gif(width: int, height: int, frames: int = 1) -> bytes:
    """A GIF of one-pixel frames on a canvas of any size."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    made = b"".join(
        b"!\xf9\4\x08\1\0\0\0," + struct.pack("<HHHHB", n % width, n % height, 1, 1, 0) + b"\2\2D\1\0"
        for n in range(frames)
    )
    return screen + made + b";"


def tiff(width: int, height: int, *, next_directory: int = 0, strip: bytes = b"") -> bytes:
    """A grey TIFF with one strip; ``next_directory=8`` leads back to its only directory."""
    strip = strip or zeros(100)
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 8), (262, 3, 1), (273, 4, 122), (277, 3, 1)]
    tags += [(278, 4, height), (279, 4, len(strip))]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", next_directory)
    return b"II*\0" + struct.pack("<I", 8) + directory + strip


def heic_bomb() -> bytes:
    """A sound HEIC whose boxes claim 60,000 x 60,000 pixels."""
    import pillow_heif

    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 64), (200, 30, 30))).save(buffer)
    data = bytearray(buffer.getvalue())
    at = data.index(b"ispe")
    while at != -1:
        data[at + 8 : at + 16] = struct.pack(">II", 60_000, 60_000)
        at = data.find(b"ispe", at + 16)
    return bytes(data)


def _segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg_with_xmp(packet: bytes) -> bytes:
    """A sound JPEG with an XMP packet."""
    sound = jpeg(7)
    return sound[:2] + _segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet) + sound[2:]


def xmp_with_entity(path: str) -> bytes:
    """An XMP packet whose title is an external entity: the content of a file."""
    return (
        b"<!DOCTYPE x [<!ENTITY p SYSTEM 'file://" + path.encode() + b"'>]><x:xmpmeta xmlns:x='adobe:ns:meta/'>"
        b"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description rdf:about='' "
        b"xmlns:dc='http://purl.org/dc/elements/1.1/'><dc:title><rdf:Alt><rdf:li xml:lang='x-default'>&p;</rdf:li>"
        b"</rdf:Alt></dc:title></rdf:Description></rdf:RDF></x:xmpmeta>"
    )


def xmp_laughs() -> bytes:
    """An XMP packet whose entities expand to 10^11 characters."""
    entities = b'<!DOCTYPE x [<!ENTITY a "lollollollol">' + b"".join(
        b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(10)
    )
    return (
        xmp_with_entity("/x")
        .replace(b"<!DOCTYPE x [<!ENTITY p SYSTEM 'file:///x'>]>", entities + b"]>")
        .replace(b"&p;", b"&k;")
    )


def jpeg_with_exif_loop() -> bytes:
    """A sound JPEG whose EXIF directories lead to each other, 3,000 of them and then round again."""
    count, size = 3000, 2 + 12 + 4
    block = b"II*\0" + struct.pack("<I", 8)
    for number in range(count):
        following = 8 + size * ((number + 1) % count)
        block += struct.pack("<HHHII", 1, 0x8769, 4, 1, following) + struct.pack("<I", following)
    sound = jpeg(8)
    return sound[:2] + _segment(0xE1, b"Exif\0\0" + block) + sound[2:]


def playlists(port: int, path: str) -> dict[str, bytes]:
    """Files named like videos and pictures that tell FFmpeg or ImageMagick to open a port of 127.0.0.1 or ``path``."""
    url = f"http://127.0.0.1:{port}/v.mp4"
    hls = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\n{}\n#EXT-X-ENDLIST\n"
    texts = {
        "hls-file.mp4": hls.format(f"file://{path}"),
        "hls-url.mp4": hls.format(url),
        "hls-concat.avi": hls.format(f"concat:{url}|file://{path}"),
        "hls.ts": hls.format(url),
        "ffconcat.mp4": f"ffconcat version 1.0\nfile '{path}'\nfile '{url}'\n",
        "dash.mov": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
        '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">'
        f"<BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>",
        "session.mov": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
        "drawing.jpg": f"push graphic-context\nviewbox 0 0 64 64\nfill 'url({url})'\npop graphic-context\n",
        "drawing.svg": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{url}"/><image href="file://{path}"/></svg>',
        "reference.wmv": f"[Reference]\nRef1={url}\n",
        "list.mkv": f"{url}\n",
    }
    return {name: text.encode() for name, text in texts.items()}


def movie_with_reference(url: str) -> bytes:
    """A QuickTime movie whose track lies in another file (``dref`` with an alias and a URL)."""

    def box(kind: bytes, *content: bytes) -> bytes:
        data = b"".join(content)
        return struct.pack(">I", 8 + len(data)) + kind + data

    entry = box(b"url ", bytes(4), url.encode() + b"\0")
    references = box(b"dref", bytes(4), struct.pack(">I", 1), entry)
    description = box(b"stsd", bytes(4), struct.pack(">I", 1), box(b"mp4v", bytes(6), b"\0\1", bytes(70)))
    times = box(b"stts", bytes(4), struct.pack(">III", 1, 1, 1000))
    chunks = box(b"stsc", bytes(4), struct.pack(">IIII", 1, 1, 1, 1))
    sizes = box(b"stsz", bytes(4), struct.pack(">II", 100, 1))
    offsets = box(b"stco", bytes(4), struct.pack(">II", 1, 0))
    table = box(b"stbl", description, times, chunks, sizes, offsets)
    media = box(
        b"mdia",
        box(b"mdhd", bytes(12), struct.pack(">II", 1000, 1000), bytes(4)),
        box(b"hdlr", bytes(8), b"vide", bytes(13)),
        box(b"minf", box(b"vmhd", bytes(12)), box(b"dinf", references), table),
    )
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    track = box(
        b"tkhd",
        b"\0\0\0\7",
        bytes(8),
        struct.pack(">II", 1, 0),
        struct.pack(">I", 1000),
        bytes(16),
        matrix,
        struct.pack(">II", 64 << 16, 64 << 16),
    )
    header = box(b"mvhd", bytes(12), struct.pack(">II", 1000, 1000), bytes(80))
    return box(b"ftyp", b"qt  ", bytes(4), b"qt  ") + box(b"moov", header, box(b"trak", track, media))
