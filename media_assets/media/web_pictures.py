"""Web versions: the smallest file of each format that still looks like the picture.

Lives here: which files are worth having. Must not: search qualities (``target_quality``), set up encoders (``encode``),
step through animations (``animations``). No web version is larger than the file that it stands for.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from media_assets.media.animations import write_animation
from media_assets.media.encode import encode_lossless, flatten, store
from media_assets.media.errors import ContentError
from media_assets.media.picture import DecodedPicture, codec_errors
from media_assets.media.records import FileFacts, Rendition
from media_assets.media.rendering import EXTENSION_OF, PictureFormat, RenderOptions
from media_assets.media.rendition_doubts import LEAST_SSIM
from media_assets.media.ssim import mean_ssim
from media_assets.media.stripped import strip_metadata
from media_assets.media.target_quality import Encoded, TargetQuality, decoded_as

_FLAT_COLORS = 4096  # a drawing has no more, a photo always has
_FINE_COLORS_WORTH = 2  # times the bytes of a WebP that smears coloured edges
_LAST_RESORT_SSIM = 0.955  # a little above the least that anybody should see
_SAME_LEVELS = 2  # what decoders of one JPEG may disagree by
_FORMAT_OF_COPY = {"jpeg": "jpeg", "png": "png", "apng": "png", "gif": "gif", "webp": "webp"}

_Pixels = NDArray[np.uint8]


def write_web_pictures(
    path: Path, facts: FileFacts, decoded: DecodedPicture, scratch: Path, options: RenderOptions, notes: list[str]
) -> tuple[Rendition, ...]:
    """Write the web versions of a picture or an animation, ``optimized.<extension>``, into ``scratch``.

    Each format of a picture has the lowest quality that reaches ``options.optimized_ssim`` (lossless WebP where that is
    smaller: drawings), and is left out when it is not smaller than the file. In the file's own format a copy without
    metadata takes its place where that is the smaller one, also when no format is left. Where there can be no copy
    either, formats are tried once more at SSIM 0.955.

    Args:
        path: The file that was decoded.
        facts: What it is.
        decoded: Its picture, fitted into ``resize.WEB_LONGEST_PX``.
        scratch: Existing folder; files of the same names are replaced.
        options: Formats, similarity, background.
        notes: Gets a sentence when there is no web version, and why.

    Returns:
        At most one rendition for each format, in the order of ``options.optimized_formats``; one for an animation.

    Raises:
        ContentError: A frame of an animation is damaged.
        ScratchError: A file could not be written to its end.
    """
    source_bytes, notes_before = path.stat().st_size, len(notes)
    copy = _CopyOfSource(path, facts, decoded)
    if decoded.is_animated:
        made = write_animation(path, facts, scratch, options, notes)
        if made is not None and made.size_bytes >= source_bytes:
            (scratch / made.file_name).unlink()
            made = None
        made = made or copy.write(scratch, duration_s=facts.duration_s)
    else:
        pixels = _visible(np.asarray(decoded.picture))
        found = _best_files(pixels, options, copy, source_bytes)
        if not found and copy.data is None and options.optimized_ssim > _LAST_RESORT_SSIM:
            # A source that is coded more tightly than what is asked for; a poorer web version is better than none.
            found = _best_files(pixels, replace(options, optimized_ssim=_LAST_RESORT_SSIM), copy, source_bytes)
        if found:
            size = decoded.picture.size
            return tuple(_written(name, encoded, size, scratch) for name, encoded in found.items())
        made = copy.write(scratch)
    if made is None and len(notes) == notes_before:
        notes.append("No web version was made: none would be smaller than the file itself.")
    return () if made is None else (made,)


def _best_files(
    pixels: _Pixels, options: RenderOptions, copy: "_CopyOfSource", source_bytes: int
) -> dict[PictureFormat, Encoded]:
    """Return what is worth having, by format."""
    is_transparent = pixels.shape[2:] == (4,)
    searches: dict[bool, TargetQuality] = {}
    found: dict[PictureFormat, Encoded] = {}
    for name in options.optimized_formats:
        if name == "jpeg" and is_transparent and set(options.optimized_formats) != {"jpeg"}:
            continue
        is_flattened = name == "jpeg" and is_transparent
        if is_flattened not in searches:
            shown = flatten(pixels, options.background) if is_flattened else pixels
            searches[is_flattened] = TargetQuality(shown, options.optimized_ssim, options.background)
        search = searches[is_flattened]
        encoded = search.encode(name)
        if name == "webp":
            encoded = _lossless_if_better(pixels, encoded, search)
        is_worth_it = encoded.ssim >= LEAST_SSIM and len(encoded.data) < source_bytes
        if name == copy.format_name and (not is_worth_it or copy.size_bytes <= len(encoded.data)) and copy.data:
            found[name] = Encoded(copy.data, 1.0, None)
        elif is_worth_it:
            found[name] = encoded
    return found


def _lossless_if_better(pixels: _Pixels, lossy: Encoded, search: TargetQuality) -> Encoded:
    """Return lossless WebP instead, for pictures with few colours when it is not larger or spares coloured edges."""
    rgb = pixels.reshape(-1, pixels.shape[2]) if pixels.ndim == 3 else pixels.reshape(-1, 1)
    if not _has_few_colors(rgb):
        return lossy
    data = encode_lossless(pixels)
    allowed = len(lossy.data) * (_FINE_COLORS_WORTH if search.has_fine_colors else 1)
    return Encoded(data, 1.0, None) if len(data) <= allowed or lossy.ssim < LEAST_SSIM else lossy


def _has_few_colors(pixels: _Pixels) -> bool:
    codes = np.zeros(len(pixels), np.uint32)
    for channel in pixels.T:
        codes = (codes << np.uint32(8)) | channel
    sample = codes[:: max(1, len(codes) // (4 * _FLAT_COLORS))]
    return len(np.unique(sample)) <= _FLAT_COLORS and len(np.unique(codes)) <= _FLAT_COLORS


def _visible(pixels: _Pixels) -> _Pixels:
    """Return the pixels without what nobody is to see: a channel of full opacity, colours behind full transparency."""
    if pixels.shape[2:] != (4,):
        return pixels
    alpha = pixels[..., 3]
    if alpha.min() == 255:
        return np.ascontiguousarray(pixels[..., :3])
    hidden = alpha == 0
    if not hidden.any():
        return pixels
    shown = pixels.copy()
    # Not black: formats with colour at half size would draw a dark rim around what is visible.
    shown[hidden, :3] = 0 if hidden.all() else pixels[~hidden, :3].mean(axis=0).round().astype(np.uint8)
    return shown


class _CopyOfSource:
    """A copy of the file without metadata, if browsers would show it as the picture that was decoded.

    Args:
        path: The file.
        facts: What it is.
        decoded: What is to be seen: upright, sRGB.
    """

    def __init__(self, path: Path, facts: FileFacts, decoded: DecodedPicture) -> None:
        self.format_name = _FORMAT_OF_COPY.get(facts.format)
        self.data: bytes | None = None
        self._size = (facts.width_px, facts.height_px)
        if self.format_name is not None and decoded.picture.size == self._size:
            self.data = self._checked(path.read_bytes(), facts, np.asarray(decoded.picture))

    @property
    def size_bytes(self) -> int:
        """Its size; 0 if there is none."""
        return len(self.data or b"")

    def write(self, scratch: Path, *, duration_s: float | None = None) -> Rendition | None:
        """Write it to the scratch folder, if there is one."""
        if self.data is None or self.format_name is None:
            return None
        return _written(self.format_name, Encoded(self.data, 1.0, None), self._size, scratch, duration_s)

    @staticmethod
    def _checked(source: bytes, facts: FileFacts, pixels: _Pixels) -> bytes | None:
        """Return the copy when it shows the pixels: no profile, orientation or mode was lost that mattered."""
        background = "#808080"
        try:
            data = strip_metadata(source, facts.format)
            if data is None or len(data) > len(source):
                return None
            with codec_errors("copied"):
                shown = decoded_as(data, pixels, background)
        except ContentError:
            return None
        expected = flatten(pixels, background)
        if shown.shape != expected.shape:
            return None
        differences = np.abs(shown.astype(np.int16) - expected)
        return data if differences.max(initial=0) <= _SAME_LEVELS and mean_ssim(shown, expected) > LEAST_SSIM else None


def _written(
    format_name: str, encoded: Encoded, size: tuple[int, int], scratch: Path, duration_s: float | None = None
) -> Rendition:
    file_name = f"optimized.{EXTENSION_OF[format_name]}"
    return Rendition(
        kind="optimized",
        file_name=file_name,
        format=format_name,
        width_px=size[0],
        height_px=size[1],
        size_bytes=store(encoded.data, scratch / file_name),
        ssim=round(encoded.ssim, 5),
        quality=encoded.quality,
        duration_s=duration_s,
    )
