"""Recording date and maker that AVCHD camcorders hide in the H.264 stream (``MDPM``, an unregistered SEI message).

Lives here: that one message. Must not: demux or decode. The layout is not published; it is known from ExifTool's
H264 tags and agrees between the makers.
"""

from dataclasses import dataclass
from datetime import datetime

from media_assets.media.timestamps import CaptureTime, capture_time

_MDPM = bytes.fromhex("17ee8c60f84d11d98cd60800200c9a66") + b"MDPM"
_MAX_MESSAGE_BYTES = 2048
_DATE_1, _DATE_2, _MAKER = 0x18, 0x19, 0xE0
_MAKERS = {0x0103: "Panasonic", 0x0108: "Sony", 0x1011: "Canon", 0x1104: "JVC"}
_DST, _WEST, _HALF_HOUR = 0x40, 0x20, 0x01


@dataclass(frozen=True)
class Recording:
    """What the camcorder wrote.

    Attributes:
        taken: Local time of the recording; the offset is ``None`` under daylight saving time and for zone 0, which
            camcorders without a zone setting write.
        camera_make: Maker by its code, or ``None``.
    """

    taken: CaptureTime | None
    camera_make: str | None


def read_recording(packet: bytes) -> Recording | None:
    """Return the recording message of an H.264 access unit in Annex B form, or ``None`` without one."""
    start = packet.find(_MDPM)
    if start < 0:
        return None
    message = packet[start + len(_MDPM) :][:_MAX_MESSAGE_BYTES].replace(b"\0\0\3", b"\0\0")  # emulation prevention
    count = message[0] if message else 0
    entries = {message[at]: message[at + 1 : at + 5] for at in range(1, 1 + 5 * count, 5) if at + 5 <= len(message)}
    maker = _MAKERS.get(int.from_bytes(entries.get(_MAKER, b"")[:2], "big"))
    return Recording(_taken(entries.get(_DATE_1, b"") + entries.get(_DATE_2, b"")), maker)


def _taken(date: bytes) -> CaptureTime | None:
    """Read zone, then century, year, month, day, hour, minute, second as binary-coded decimals."""
    digits = date[1:].hex()
    if len(digits) != 14 or not digits.isdecimal():
        return None
    try:
        local = datetime.strptime(digits, "%Y%m%d%H%M%S")  # noqa: DTZ007  # a wall time has no zone
    except ValueError:
        return None
    zone = date[0]
    minutes = ((zone >> 1) & 15) * 60 + (30 if zone & _HALF_HOUR else 0)
    if not minutes or zone & _DST:
        return capture_time(local, None, "mpegts:MDPM")
    return capture_time(local, -minutes if zone & _WEST else minutes, "mpegts:MDPM")
