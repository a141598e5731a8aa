"""What is inside the files of renditions: their parts by name, to find metadata that should not be there."""

from collections.abc import Iterator


def jpeg_parts(data: bytes) -> list[str]:
    """Markers of a JPEG up to its end, application segments with their identifier."""
    names, position = [], 2
    assert data[:2] == b"\xff\xd8"
    while data[position + 1] != 0xD9:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        body = data[position + 4 : position + 2 + length]
        names.append(f"{marker:02x}" + (f":{body.split(bytes(1))[0].decode()}" if marker >= 0xE0 else ""))
        position += 2 + length
        while marker == 0xDA and not (data[position] == 0xFF and data[position + 1] not in {0, *range(0xD0, 0xD8)}):
            position += 1
    assert position + 2 == len(data), "something lies behind the picture"
    return names


def webp_parts(data: bytes) -> list[str]:
    """Names of the chunks of a WebP file."""
    assert (data[:4], data[8:12]) == (b"RIFF", b"WEBP")
    assert int.from_bytes(data[4:8], "little") + 8 == len(data), "something lies behind the picture"
    names, position = [], 12
    while position < len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        names.append(data[position : position + 4].decode())
        position += 8 + size + size % 2
    return names


def avif_parts(data: bytes) -> list[str]:
    """Types of the boxes of an AVIF file, of its items, and of its colour boxes."""
    return list(_boxes(data))


_CONTAINERS = {"meta": 4, "iinf": 6, "iprp": 0, "ipco": 0}  # and the bytes before the first box inside


def _boxes(data: bytes) -> Iterator[str]:
    position = 0
    while position < len(data):
        size, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8].decode()
        assert size >= 8
        body = data[position + 8 : position + size]
        yield kind
        if kind == "infe":
            yield f"item:{body[8:12].decode()}"
        elif kind == "colr":
            yield f"colr:{body[:4].decode()}"
        elif kind in _CONTAINERS:
            yield from _boxes(body[_CONTAINERS[kind] :])
        position += size


ALLOWED_PARTS = {
    "jpeg": {"e0:JFIF", "db", "c0", "c1", "c2", "c4", "da", "dd"},
    "webp": {"VP8 ", "VP8L", "VP8X", "ALPH"},
    "avif": {
        *("ftyp", "meta", "hdlr", "pitm", "iloc", "iinf", "infe", "iref", "iprp", "ipco", "ipma", "mdat"),
        *("ispe", "pixi", "av1C", "colr", "colr:nclx", "auxC", "item:av01"),
    },
}
"""All that a rendition may consist of."""


def parts(data: bytes, format_name: str) -> set[str]:
    """Return the kinds of parts in a rendition of one of the three formats."""
    return set({"jpeg": jpeg_parts, "webp": webp_parts, "avif": avif_parts}[format_name](data))
