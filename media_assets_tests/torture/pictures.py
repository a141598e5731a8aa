"""What uploaders bring: tiny pictures with bytes of their own, files that must be refused, and odd keys."""

import io
import random
from functools import cache

from PIL import Image

# Every kind must be refused, whatever the storm does: nothing here is a picture or a video that can be decoded.
BROKEN = ("empty", "text", "truncated", "executable", "noise")


@cache
def _jpeg(width: int, height: int, red: int, green: int, blue: int) -> bytes:
    picture = Image.new("RGB", (width, height), (red, green, blue))
    picture.paste((blue, red, green), (0, 0, width // 2, height // 2))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    return out.getvalue()


def sound_picture(rng: random.Random, mark: str) -> bytes:
    """Return a JPEG of 32 to 64 pixels whose comment segment holds ``mark``: no two marks, no two equal bytes."""
    plain = _jpeg(rng.randrange(32, 65, 8), rng.randrange(32, 65, 8), *(rng.randrange(0, 256, 51) for _ in range(3)))
    comment = mark.encode()
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    return plain[:2] + segment + plain[2:]


def broken_file(rng: random.Random, mark: str) -> bytes:
    """Return bytes that must be rejected; ``mark`` makes them differ from all others but where they are empty."""
    kind = rng.choice(BROKEN)
    if kind == "empty":
        return b""
    if kind == "text":
        return f"this is no picture: {mark}\n".encode()
    if kind == "truncated":
        return sound_picture(rng, mark)[: 40 + len(mark.encode())]  # ends within its tables
    if kind == "executable":
        return b"\x7fELF\x02\x01\x01" + bytes(57) + mark.encode()
    return bytes(255 - byte for byte in mark.encode()) * 9


_ODD = (
    "a b/with space.jpg",
    "plus+and%20percent%.jpg",
    "hash#and?query&x=1;y.jpg",
    "émigré/é composed.jpg",
    "e\u0301migre\u0301/e\u0301 decomposed.jpg",
    "日本語/写真 1.jpg",
    "emoji/😀👩‍👩‍👧.jpg",
    "case/IMG_1.JPG",
    "case/img_1.jpg",
    "case/Img_1.jpg",
    "quotes/'\"`$(x).jpg",
    "brackets/[a]{b}(c)*~!@^|.jpg",
    "tab/a\tb.jpg",
    "newline/a\nb.jpg",
    "no extension",
    "dots/..hidden..jpg..jpg",
    "right-to-left/صورة‮gpj.jpg",
    "long/" + "n" * 240 + ".jpg",
    "d/object.jpg",
    "d-x/object.jpg",
    "=cmd|' /C calc'!A0.jpg",
    "-rf/--help.jpg",
)


def odd_keys() -> list[str]:
    """Keys that have broken programs before; each is allowed on every backend that the storm knows."""
    return list(_ODD)
