"""Seed files and mutations for the fuzz run: everything that decides the bytes of case N of seed S.

Case N depends on the seed number, N and the seed files only, so that it can be made again. Nothing here runs a decoder.
"""

import json
import random
import struct
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

MAX_SEED_BYTES = 1_500_000
_MAX_SEED_PIXELS = 13_000_000  # bombs and giants have tests of their own; here they would only cost time
_EDGE_BYTES = 4096  # headers and directories lie near the start, some indexes near the end
_EXTREMES = (0, 1, 2, 7, 8, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)
_HOSTILE_TEXT = (
    b"\0\0\0\0",
    b"%s%s%n",
    b"-1/0",
    b"9999999999",
    b"0000:00:00 00:00:00",
    b"9999:99:99 99:99:99",
    b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>",
    b"\xff\xfe\xed\xa0\x80",
    b"nan",
    b"inf",
    b"+99.9999-999.9999+1e99/",
    b"[" * 64,
    b"{" * 64,
)
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PACKAGES = {
    "matplotlib": ("mpl-data/sample_data", "mpl-data/images"),
    "skimage": ("data",),
    "sklearn": ("datasets/images",),
}
_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    b'xmp:Rating="3"><dc:subject><rdf:Bag><rdf:li>one</rdf:li></rdf:Bag></dc:subject></rdf:Description>'
    b"</rdf:RDF></x:xmpmeta>"
)
_MEDIA_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class Seed:
    """A file that mutations start from."""

    name: str
    group: str
    data: bytes


@dataclass(frozen=True)
class Case:
    """One mutated file.

    Attributes:
        number: With the seed number, enough to make it again.
        name: File name for the uploader's side, with the extension of its seed file.
        data: The bytes.
        recipe: What was done, for people.
    """

    number: int
    name: str
    data: bytes
    recipe: str


# ---------------------------------------------------------------- seed files


def corpus_seeds(corpus: Path) -> list[Seed]:
    """Return the files of the shared corpus that are small enough to be decoded many times a second."""
    seeds = []
    for line in (corpus / "MANIFEST.jsonl").read_text("utf-8").splitlines():
        file = json.loads(line)
        pixels = (file["width"] or 0) * (file["height"] or 0)
        slow = file.get("hazard") in ("bomb", "slow decode", "text bomb", "xml bomb")
        if 0 < file["bytes"] <= MAX_SEED_BYTES and pixels <= _MAX_SEED_PIXELS and not slow:
            path = corpus / file["path"]
            seeds.append(Seed(file["path"], file["format"] or "other", path.read_bytes()))
    return seeds


def made_seeds() -> list[Seed]:
    """Return pictures and videos made in code, and those that come with installed packages."""
    return [*_made_pictures(), *_made_videos(), *_package_seeds()]


def _made_pictures() -> list[Seed]:
    import numpy as np
    import pillow_heif
    import pylibjxl
    from PIL import Image

    from media_assets_tests.pictures import dng, jpeg
    from media_assets_tests.unit.media.samples import encoded, exif_block, quadrants

    pillow_heif.register_heif_opener()
    exif = exif_block(
        {0x010F: "Maker", 0x0110: "Model", 0x0112: 6, 0x010E: "Title"},
        {0x9003: "2024:05:01 10:00:00", 0x9011: "+02:00", 0x829D: (28, 10), 0x8827: 200, 0xA434: "Lens 50"},
        {1: "N", 2: (48.0, 51.0, 30.0), 3: "E", 4: (2.0, 17.0, 40.0), 5: b"\0", 6: 35.0},
    )
    picture = quadrants(160, 120)
    many = [picture.rotate(90 * turn) for turn in range(3)]
    pixels = np.asarray(picture)
    made: list[tuple[str, str, bytes]] = [
        ("made.jpg", "jpeg", encoded(picture, "JPEG", exif=exif, xmp=_XMP)),
        ("progressive.jpg", "jpeg", encoded(picture, "JPEG", progressive=True)),
        ("cmyk.jpg", "jpeg", encoded(picture.convert("CMYK"), "JPEG")),
        ("made.png", "png", encoded(picture.convert("RGBA"), "PNG", exif=exif)),
        ("palette.png", "png", encoded(picture.convert("P"), "PNG")),
        ("animated.png", "png", encoded(picture, "PNG", save_all=True, append_images=many)),
        ("made.gif", "gif", encoded(picture, "GIF", save_all=True, append_images=many)),
        ("made.webp", "webp", encoded(picture, "WEBP", exif=exif, xmp=_XMP)),
        ("animated.webp", "webp", encoded(picture, "WEBP", save_all=True, append_images=many)),
        ("made.tif", "tiff", encoded(picture, "TIFF", exif=exif)),
        ("lzw.tif", "tiff", encoded(picture, "TIFF", compression="tiff_lzw", save_all=True, append_images=many)),
        ("deep.tif", "tiff", encoded(Image.new("I;16", (60, 40), 500), "TIFF")),
        ("made.bmp", "bmp", encoded(picture, "BMP")),
        ("made.avif", "avif", encoded(picture, "AVIF", exif=exif)),
        ("made.heic", "heic", encoded(picture, "HEIF", exif=exif)),
        ("made.jp2", "jp2", encoded(picture, "JPEG2000")),
        ("made.j2k", "jp2", encoded(picture, "JPEG2000", no_jp2=True)),
        ("made.ico", "ico", encoded(picture, "ICO")),
        ("made.jxl", "jxl", bytes(pylibjxl.encode(pixels, effort=3))),
        ("boxes.jxl", "jxl", bytes(pylibjxl.encode(pixels, effort=3, exif=exif.tobytes()[6:], xmp=_XMP))),
        ("sensor.dng", "dng", dng((96, 64), orientation=6)),
        ("preview.dng", "dng", dng((96, 64), preview=jpeg(1, (96, 64)), preview_size=(96, 64))),
    ]
    return [Seed(*one) for one in made]


def _made_videos() -> list[Seed]:
    from media_assets_tests.unit.media.video_samples import write_clip

    tags = {"title": "Title", "creation_time": "2024-05-01T08:00:00Z", "location": "+48.8583+002.2944/"}
    seeds = []
    with tempfile.TemporaryDirectory() as folder:
        for container, codec, suffix, audio in (
            ("mp4", "libx264", "mp4", "aac"),
            ("mp4", "mpeg4", "m4v", None),
            ("mov", "mpeg4", "mov", "pcm_s16le"),
            ("3gp", "mpeg4", "3gp", None),
            ("matroska", "mpeg4", "mkv", "aac"),
            ("webm", "libvpx", "webm", None),
            ("avi", "mpeg4", "avi", None),
            ("flv", "flv", "flv", None),
            ("asf", "wmv2", "wmv", None),
            ("mpeg", "mpeg1video", "mpg", None),
            ("mpegts", "mpeg2video", "ts", None),
            ("ogg", "libvpx", "ogv", None),
        ):
            path = write_clip(Path(folder) / f"made.{suffix}", container, codec, frames=20, tags=tags, audio=audio)
            seeds.append(Seed(path.name, suffix, path.read_bytes()))
    return seeds


def _package_seeds() -> Iterator[Seed]:
    for package, folders in _PACKAGES.items():
        try:
            root = resources.files(package)
        except ModuleNotFoundError:
            continue
        for folder in folders:
            place = Path(str(root)) / folder
            for path in sorted(place.glob("*")) if place.is_dir() else []:
                if path.suffix.lower() in _MEDIA_SUFFIXES and path.stat().st_size <= 400_000:
                    group = {"jpg": "jpeg", "tif": "tiff"}.get(path.suffix[1:].lower(), path.suffix[1:].lower())
                    yield Seed(f"{package}/{path.name}", group, path.read_bytes())


# ---------------------------------------------------------------- mutations


def _place(rng: random.Random, size: int) -> int:
    """A position: half of them where headers and directories lie."""
    if size <= 1:
        return 0
    where = rng.random()
    if where < 0.4:
        return rng.randrange(min(size, _EDGE_BYTES))
    if where < 0.55:
        return size - 1 - rng.randrange(min(size, _EDGE_BYTES))
    return rng.randrange(size)


def _flip_bits(rng: random.Random, data: bytearray, _: Seed) -> bytearray:
    for _number in range(rng.choice((1, 1, 2, 4, 16, 64))):
        if data:
            data[_place(rng, len(data))] ^= 1 << rng.randrange(8)
    return data


def _fill_run(rng: random.Random, data: bytearray, _: Seed) -> bytearray:
    start, length = _place(rng, len(data)), rng.choice((1, 4, 16, 256, 4096))
    fill = rng.choice((b"\0", b"\xff", b"\x7f", None))
    end = min(len(data), start + length)
    data[start:end] = rng.randbytes(end - start) if fill is None else fill * (end - start)
    return data


def _truncate(rng: random.Random, data: bytearray, _: Seed) -> bytearray:
    return data[: max(1, _place(rng, len(data)))]


def _splice(rng: random.Random, data: bytearray, other: Seed) -> bytearray:
    cut = _place(rng, len(data))
    start = min(cut, len(other.data)) if rng.random() < 0.5 else _place(rng, len(other.data))
    return data[:cut] + bytearray(other.data[start:])


def _swap_header(rng: random.Random, data: bytearray, other: Seed) -> bytearray:
    length = rng.choice((4, 8, 12, 16, 32, 64, 128, 512))
    return bytearray(other.data[:length]) + data[length:]


def _set_length(rng: random.Random, data: bytearray, _: Seed) -> bytearray:
    """Overwrite a number with an extreme one, or with one that is slightly off."""
    kind = rng.choice(("H", "I", "I", "Q"))
    width, order = struct.calcsize(kind), rng.choice("<>")
    if len(data) < width:
        return data
    at = min(_place(rng, len(data)), len(data) - width)
    (present,) = struct.unpack_from(order + kind, data, at)
    wanted = rng.choice((*_EXTREMES, present + 1, present - 1, present * 2, len(data), len(data) - at))
    struct.pack_into(order + kind, data, at, wanted % (1 << (8 * width)))
    return data


def _duplicate(rng: random.Random, data: bytearray, _: Seed) -> bytearray:
    start = _place(rng, len(data))
    part = data[start : start + rng.choice((4, 12, 64, 512, 4096))]
    at = _place(rng, len(data))
    return data[:at] + part * rng.choice((1, 1, 2, 50)) + data[at:]


def _delete(rng: random.Random, data: bytearray, _: Seed) -> bytearray:
    start = _place(rng, len(data))
    del data[start : start + rng.choice((1, 2, 4, 16, 512))]
    return data


def _write_text(rng: random.Random, data: bytearray, _: Seed) -> bytearray:
    text, at = rng.choice(_HOSTILE_TEXT), _place(rng, len(data))
    data[at : at + len(text)] = text
    return data


_Mutation = Callable[[random.Random, bytearray, Seed], bytearray]
MUTATIONS: Mapping[str, _Mutation] = {
    "bits": _flip_bits,
    "run": _fill_run,
    "cut": _truncate,
    "splice": _splice,
    "header": _swap_header,
    "length": _set_length,
    "duplicate": _duplicate,
    "delete": _delete,
    "text": _write_text,
}


# Cuts, splices and other headers mostly end in one of the first checks: the others reach further.
_WEIGHTS = [1 if name in ("cut", "splice", "header") else 3 for name in MUTATIONS]


def _mend_png(data: bytes) -> bytes:
    """Return a PNG with right checksums, so that the mutation gets past them."""
    mended, at = bytearray(data), len(_PNG_MAGIC)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(data):
            break
        mended[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(mended)


class CaseMaker:
    """Makes case N of a seed number.

    Args:
        seeds: The seed files; the same ones in the same order make the same cases.
        seed: The seed number.
    """

    def __init__(self, seeds: Sequence[Seed], seed: int) -> None:
        self._seed = seed
        self._groups: dict[str, list[Seed]] = defaultdict(list)
        for one in seeds:
            self._groups[one.group].append(one)
        # A format with few files counts half as much as one with many, not a tenth.
        self._names = sorted(self._groups)
        self._weights = [len(self._groups[name]) ** 0.5 for name in self._names]

    def case(self, number: int) -> Case:
        """Return the mutated file number ``number``."""
        rng = random.Random(f"{self._seed}/{number}")
        group = self._groups[rng.choices(self._names, self._weights)[0]]
        source = rng.choice(group)
        data, steps = bytearray(source.data), []
        for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
            step = rng.choices(list(MUTATIONS), _WEIGHTS)[0]
            strangers = rng.random() < 0.1
            other = rng.choice(self._groups[rng.choice(self._names)] if strangers else group)
            data = MUTATIONS[step](rng, data, other)
            steps.append(step)
        made = bytes(data[: 2 * MAX_SEED_BYTES])
        if made.startswith(_PNG_MAGIC) and rng.random() < 0.7:
            made = _mend_png(made)
            steps.append("checksums")
        # A number as its first bytes would be metadata to some formats: behind the end it hurts none.
        suffix = Path(source.name).suffix if Path(source.name).suffix.isascii() else ""
        return Case(number, f"case-{number}{suffix}", made, f"{source.name}: {'+'.join(steps)}")
