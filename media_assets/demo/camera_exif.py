"""EXIF as cameras and phones write it, for the sample library.

Builds the bytes of one EXIF block from a typed record. Reading EXIF is the job of the media layer, not of this file.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from PIL import Image
from PIL.ExifTags import GPS, IFD, Base


@dataclass(frozen=True)
class Camera:
    """A camera body with the lens on it.

    Attributes:
        make: As the firmware spells it.
        model: As the firmware spells it.
        lens_model: ``None`` for a camera that does not write it.
        software: Firmware or application; ``None`` when not written.
    """

    make: str
    model: str
    lens_model: str | None = None
    software: str | None = None


@dataclass(frozen=True)
class Place:
    """A point on WGS 84: signed degrees, metres above sea level (negative below)."""

    latitude_deg: float
    longitude_deg: float
    altitude_m: float


@dataclass(frozen=True)
class Shot:
    """One release of the shutter.

    Attributes:
        camera: What took it.
        taken_at: Aware: the offset is written too. Naive: like older cameras, the offset is left out.
        exposure_time_s: Shutter time in seconds.
        f_number: Aperture.
        iso: Sensitivity.
        focal_length_mm: Real focal length.
        focal_length_35mm_mm: Equivalent for a 36 x 24 mm frame, in whole millimetres.
        place: ``None`` for no GPS.
        orientation: EXIF orientation, 1-8.
        flash_fired: Whether the flash fired.
    """

    camera: Camera
    taken_at: datetime
    exposure_time_s: float
    f_number: float
    iso: int
    focal_length_mm: float
    focal_length_35mm_mm: int
    place: Place | None = None
    orientation: int = 1
    flash_fired: bool = False


def exif_bytes(shot: Shot, *, artist: str) -> bytes:
    """Return the EXIF block of a shot, with the six bytes of the ``Exif`` identifier in front.

    Tags and their encoding follow EXIF 2.32, section 4.6 (TIFF, Exif and GPS attributes).

    Args:
        shot: What to write.
        artist: Photographer and licence; written to Artist, so that the credit travels with the copy.
    """
    written_at = shot.taken_at.strftime("%Y:%m:%d %H:%M:%S")
    exif = Image.Exif()
    exif[Base.Make] = shot.camera.make
    exif[Base.Model] = shot.camera.model
    exif[Base.Orientation] = shot.orientation
    exif[Base.DateTime] = written_at
    exif[Base.Artist] = artist
    if shot.camera.software is not None:
        exif[Base.Software] = shot.camera.software
    details = exif.get_ifd(IFD.Exif)
    details[Base.ExifVersion] = b"0232"
    details[Base.DateTimeOriginal] = written_at
    details[Base.DateTimeDigitized] = written_at
    offset = shot.taken_at.strftime("%z")
    if offset:
        offset = f"{offset[:3]}:{offset[3:5]}"  # EXIF wants +08:00; strftime's %:z came with Python 3.12
        for tag in (Base.OffsetTime, Base.OffsetTimeOriginal, Base.OffsetTimeDigitized):
            details[tag] = offset
    details[Base.ExposureTime] = shot.exposure_time_s
    details[Base.FNumber] = shot.f_number
    details[Base.ISOSpeedRatings] = shot.iso
    details[Base.FocalLength] = shot.focal_length_mm
    details[Base.FocalLengthIn35mmFilm] = shot.focal_length_35mm_mm
    details[Base.Flash] = int(shot.flash_fired)
    details[Base.ColorSpace] = 1  # sRGB
    if shot.camera.lens_model is not None:
        details[Base.LensMake] = shot.camera.make
        details[Base.LensModel] = shot.camera.lens_model
    if shot.place is not None:
        exif.get_ifd(IFD.GPSInfo).update(_gps_tags(shot.place, shot.taken_at))
    return exif.tobytes()


def _gps_tags(place: Place, taken_at: datetime) -> dict[int, object]:
    tags: dict[int, object] = {
        GPS.GPSVersionID: b"\2\3\0\0",
        GPS.GPSLatitudeRef: "N" if place.latitude_deg >= 0 else "S",
        GPS.GPSLatitude: _degrees_minutes_seconds(place.latitude_deg),
        GPS.GPSLongitudeRef: "E" if place.longitude_deg >= 0 else "W",
        GPS.GPSLongitude: _degrees_minutes_seconds(place.longitude_deg),
        GPS.GPSAltitudeRef: b"\0" if place.altitude_m >= 0 else b"\1",
        GPS.GPSAltitude: abs(place.altitude_m),
    }
    if taken_at.tzinfo is not None:
        at_utc = taken_at.astimezone(UTC)
        tags[GPS.GPSDateStamp] = at_utc.strftime("%Y:%m:%d")
        tags[GPS.GPSTimeStamp] = (float(at_utc.hour), float(at_utc.minute), float(at_utc.second))
    return tags


def _degrees_minutes_seconds(angle_deg: float) -> tuple[float, float, float]:
    # Counted in hundredths of a second (30 cm on the ground), so that 59.999 never becomes 60 seconds.
    hundredths = round(abs(angle_deg) * 360_000)
    minutes, seconds = divmod(hundredths, 6_000)
    degrees, minutes = divmod(minutes, 60)
    return float(degrees), float(minutes), seconds / 100
