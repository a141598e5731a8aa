"""One pass over one file: type, validation, facts, metadata, renditions.

Lives here: the order of the steps, and nothing else. Must not: Dagster, storage, processes. Runs inside a worker
process that is fed one file at a time (DESIGN.md section 10).
"""

import re
import warnings as python_warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from media_assets.media.analysis_frames import write_analysis_frames
from media_assets.media.appearance import measure_appearance
from media_assets.media.claims import Claims
from media_assets.media.crop import FaceFinder
from media_assets.media.decode import decode_picture
from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.file_names import file_name_claims
from media_assets.media.limits import Limits
from media_assets.media.metadata import describe, picture_claims, sidecar_claims
from media_assets.media.picture import DecodedPicture
from media_assets.media.records import Appearance, FileFacts, MediaResult, Metadata, Rendition
from media_assets.media.rendering import DEFAULT_OPTIONS, RenderOptions
from media_assets.media.resize import PREVIEW_LONGEST_PX, WEB_LONGEST_PX
from media_assets.media.sniff import Sniffed, sniff_file
from media_assets.media.text import clean_text, safe_name
from media_assets.media.thumbnails import write_thumbnails
from media_assets.media.video import decode_video
from media_assets.media.web_pictures import write_web_pictures
from media_assets.media.xmp import xmp_claims

_VALIDATION_LONGEST_PX = 160  # a JPEG decodes at 1/8 for this, and still reads all of its entropy-coded data
_MAX_WARNINGS = 20

# Extensions that are as good as the canonical one of a format.
_EXTENSION_ALIASES: dict[str, frozenset[str]] = {
    "jpeg": frozenset({"jpg", "jpeg", "jpe", "jfif", "mpo"}),
    "png": frozenset({"png", "apng"}),
    "apng": frozenset({"png", "apng"}),
    "heic": frozenset({"heic", "heif", "hif", "heics", "heifs"}),
    "avif": frozenset({"avif", "avifs"}),
    "tiff": frozenset({"tif", "tiff"}),
    "bmp": frozenset({"bmp", "dib"}),
    "mp4": frozenset({"mp4", "m4v", "mov", "qt", "f4v", "mj2"}),
    "mov": frozenset({"mov", "qt", "mp4", "m4v"}),
    "3gp": frozenset({"3gp", "3g2", "mp4"}),
    "mkv": frozenset({"mkv", "mk3d"}),
    "asf": frozenset({"wmv", "asf"}),
    "mpeg": frozenset({"mpg", "mpeg", "mpe", "m1v", "m2v", "vob"}),
    "mpegts": frozenset({"ts", "mts", "m2ts", "m2t"}),
    "ogg": frozenset({"ogv", "ogg", "ogm"}),
    "jp2": frozenset({"jp2", "jpx", "jpf", "j2k", "j2c", "jpc", "jpm"}),
    "psd": frozenset({"psd", "psb"}),
}
_EXTENSION = re.compile(r"\.([A-Za-z0-9]{1,8})$")


def extract(
    path: Path,
    scratch: Path,
    *,
    file_name: str,
    metadata: bool,
    renditions: bool,
    optimized: bool = False,
    appearance: bool = False,
    options: RenderOptions = DEFAULT_OPTIONS,
    find_faces: FaceFinder | None = None,
    limits: Limits,
    sidecars: tuple[Path, ...] = (),
) -> MediaResult:
    """Validate one file and return all that was asked of it, with one decode.

    Args:
        path: Local spool file. Its own name is never looked at and never shown.
        scratch: Existing folder for the renditions, ``<kind>.<extension>``.
        file_name: The uploader's name of the file: for messages and the check of its extension.
        metadata: Whether to read descriptive metadata.
        renditions: Whether to write thumbnails and the preview. The picture is decoded for validation either way.
        optimized: Whether to write the web versions of a picture. Those of a video take another, longer pass:
            :func:`media_assets.media.web_video.write_web_video`.
        appearance: Whether to measure how the picture, or the poster of a video, looks.
        options: How renditions are made.
        find_faces: Finds the faces that squares must not cut; ``None`` leaves faces out of account.
        limits: What the file may cost.
        sidecars: Local copies of the sidecar files (XMP, Google Takeout JSON) of this file, the most trusted first.

    Raises:
        ContentError: Anything that is wrong with the file; every byte sequence ends in a result or in this error.
        MemoryError: The limit of the process was reached.
    """
    sniffed = _identify(path, file_name, limits)
    with python_warnings.catch_warnings(record=True) as caught:
        python_warnings.simplefilter("always")
        wanted = _Wanted(scratch, renditions, optimized, appearance, options, find_faces)
        read = _read_picture if sniffed.media_type == "image" else _read_video
        facts, fields, claims, made, notes = read(path, sniffed, limits, wanted)
        if metadata:
            # The facts of the decoder come last: no tag of the file overrules them.
            fields = describe(_all_claims(claims, sidecars, file_name, notes), notes) | fields
    oddities = _bounded([*_extension_warning(sniffed, file_name), *notes, *(str(item.message) for item in caught)])
    return MediaResult(
        facts=facts,
        metadata=Metadata(**fields, warnings=oddities or None) if metadata else None,
        renditions=made.thumbnails,
        optimized=made.optimized,
        appearance=made.appearance,
        warnings=oddities,
    )


@dataclass(frozen=True)
class _Wanted:
    """Which renditions to write, where and how."""

    scratch: Path
    thumbnails: bool
    optimized: bool
    appearance: bool
    options: RenderOptions
    find_faces: FaceFinder | None

    @property
    def longest_px(self) -> int:
        """What to decode. The same for both assets: the bytes of one do not depend on whether the other is made."""
        return WEB_LONGEST_PX if self.thumbnails or self.optimized or self.appearance else _VALIDATION_LONGEST_PX


@dataclass(frozen=True)
class _Made:
    thumbnails: tuple[Rendition, ...] = ()
    optimized: tuple[Rendition, ...] = ()
    appearance: Appearance | None = None


_Parts = tuple[FileFacts, dict[str, Any], tuple[Claims, ...], _Made, list[str]]


def _all_claims(
    claims: tuple[Claims, ...], sidecars: tuple[Path, ...], file_name: str, notes: list[str]
) -> list[Claims]:
    """Return what the file, its sidecars and its name say."""
    named = file_name_claims(file_name)
    return [*claims, *sidecar_claims(sidecars, notes), *([] if named is None else [named])]


def _read_picture(path: Path, sniffed: Sniffed, limits: Limits, wanted: _Wanted) -> _Parts:
    decoded = decode_picture(path, sniffed, limits, longest_px=wanted.longest_px)
    size = (decoded.width_px, decoded.height_px)
    is_apng = sniffed.format == "png" and decoded.is_animated
    facts = FileFacts(
        media_type="image",
        mime_type="image/apng" if is_apng else sniffed.mime_type,
        format="apng" if is_apng else sniffed.format,
        extension=sniffed.extension,
        width_px=size[0],
        height_px=size[1],
        orientation=decoded.orientation,
        duration_s=decoded.duration_s,
        frame_count=decoded.frame_count,
    )
    notes = list(decoded.warnings)
    claims = picture_claims(decoded.exif, decoded.xmp, decoded.iptc, decoded.text, notes)
    # By the tag: a file may have anything appended to it, and an editor may cut the clip away and leave the tag.
    is_motion_photo = decoded.has_clip_mark or any(claim.fields.get("is_motion_photo") for claim in claims)
    if is_motion_photo != decoded.has_embedded_video:
        notes.append(
            "The picture says that it is a motion photo, but no clip is in it."
            if is_motion_photo
            else "A clip is appended to the picture, which does not say that it is a motion photo."
        )
    fields: dict[str, Any] = {
        "has_icc_profile": decoded.has_icc_profile,
        "icc_profile_name": decoded.icc_name,
        "bit_depth": decoded.bit_depth,
        "has_alpha": decoded.has_alpha,
        "is_animated": decoded.is_animated,
        "is_motion_photo": is_motion_photo,
    }
    made = _Made(
        write_thumbnails(decoded.picture, size, wanted.scratch, wanted.options, wanted.find_faces)
        if wanted.thumbnails
        else (),
        _web_pictures(path, facts, decoded, wanted, notes) if wanted.optimized else (),
        _appearance(decoded.picture, wanted, notes),
    )
    return facts, fields, claims, made, notes


def _appearance(picture: Image.Image, wanted: _Wanted, notes: list[str]) -> Appearance | None:
    """Measure a picture that was decoded; whatever goes wrong, for want of memory too, costs these numbers only."""
    if not wanted.appearance:
        return None
    try:
        return measure_appearance(picture, wanted.options.background)
    except Exception as error:  # of OpenCV too
        notes.append(f"Its appearance could not be measured ({type(error).__name__}).")
        return None


def _web_pictures(
    path: Path, facts: FileFacts, decoded: DecodedPicture, wanted: _Wanted, notes: list[str]
) -> tuple[Rendition, ...]:
    """Write the web versions. What is wrong behind the first frame, which was shown already, only costs these."""
    try:
        return write_web_pictures(path, facts, decoded, wanted.scratch, wanted.options, notes)
    except ContentError as error:
        notes.append(f"No web version was made. {error.message}")
        return ()


def _read_video(path: Path, sniffed: Sniffed, limits: Limits, wanted: _Wanted) -> _Parts:
    longest = PREVIEW_LONGEST_PX if wanted.thumbnails or wanted.appearance else _VALIDATION_LONGEST_PX
    decoded = decode_video(path, sniffed, limits, longest_px=longest)
    size = (decoded.width_px, decoded.height_px)
    facts = FileFacts(
        media_type="video",
        mime_type=sniffed.mime_type,
        format=sniffed.format,
        extension=sniffed.extension,
        width_px=size[0],
        height_px=size[1],
        duration_s=decoded.duration_s,
        frame_count=decoded.frame_count,
    )
    notes = list(decoded.warnings)
    packet = xmp_claims(decoded.xmp, notes) if decoded.xmp else None
    claims = decoded.claims if packet is None else (*decoded.claims, packet)
    fields = {name: value for name, value in decoded.fields.items() if value is not None}
    made = _Made(appearance=_appearance(decoded.poster, wanted, notes))
    if wanted.thumbnails:
        pictures = write_thumbnails(decoded.poster, size, wanted.scratch, wanted.options, wanted.find_faces)
        frames = write_analysis_frames(decoded, wanted.scratch, limits, wanted.options.video_frames)
        made = replace(made, thumbnails=(*pictures, *frames))
    return facts, fields, claims, made, notes


def _identify(path: Path, file_name: str, limits: Limits) -> Sniffed:
    """Return the supported type of the file, or raise ContentError with what it is instead."""
    size = path.stat().st_size
    if size == 0:
        raise ContentError(ReasonCode.EMPTY_FILE, "The file is empty (0 bytes). Upload the original again.", "sniff")
    with path.open("rb") as file:
        sniffed = sniff_file(file)
    if sniffed.media_type is None:
        raise ContentError(ReasonCode.UNSUPPORTED_TYPE, _unsupported_message(sniffed, file_name), "sniff")
    limit = limits.max_image_bytes if sniffed.media_type == "image" else limits.max_video_bytes
    if size > limit:
        raise ContentError(
            ReasonCode.TOO_MANY_BYTES,
            f"The file has {size} bytes, more than the limit of {limit} for {sniffed.description}. "
            f"Upload a smaller one, or raise the limit max_{sniffed.media_type}_bytes.",
            "sniff",
        )
    return sniffed


def _unsupported_message(sniffed: Sniffed, file_name: str) -> str:
    extension = _EXTENSION.search(safe_name(file_name))
    named = f" (its name says .{extension[1].lower()})" if extension else ""
    if sniffed.is_media:
        return f"The file is {sniffed.description}{named}, a format that is not supported. Upload it as JPEG or MP4."
    return f"The file is {sniffed.description}, not a picture or video{named}. Upload the original picture."


def _extension_warning(sniffed: Sniffed, file_name: str) -> list[str]:
    extension = _EXTENSION.search(safe_name(file_name))
    known = _EXTENSION_ALIASES.get(sniffed.format, frozenset({sniffed.extension}))
    if extension is None or extension[1].lower() in known:
        return []
    return [f"The name says .{extension[1].lower()}, but the file is {sniffed.description}."]


def _bounded(oddities: Iterable[str]) -> tuple[str, ...]:
    """Return each warning once, cleaned, at most 20; libraries repeat theirs for every tag."""
    cleaned = dict.fromkeys(text for text in map(clean_text, oddities) if text)
    return tuple(cleaned)[:_MAX_WARNINGS]
