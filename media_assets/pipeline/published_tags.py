"""What a published copy says besides its picture, read from the stored bytes by two readers that share no code.

Our walk over the structure (``media.foreign_tags``) always; the program exiftool where it is installed.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from media_assets.media.foreign_tags import foreign_tags
from media_assets.storage.objects import ObjectStore

_TIMEOUT_S = 60.0
# Groups of facts about the picture itself that exiftool works out, and of the file that we hold in our hands.
_ABOUT_THE_PICTURE = ("ExifTool", "System", "Composite")
_ALLOWED = {
    *("File:FileType", "File:FileTypeExtension", "File:MIMEType", "File:ImageWidth", "File:ImageHeight"),
    *("File:EncodingProcess", "File:BitsPerSample", "File:ColorComponents", "File:YCbCrSubSampling"),
    *("JFIF:JFIFVersion", "JFIF:ResolutionUnit", "JFIF:XResolution", "JFIF:YResolution", "APP14:ColorTransform"),
    *("APP14:DCTEncodeVersion", "APP14:APP14Flags0", "APP14:APP14Flags1"),
    *("PNG:ImageWidth", "PNG:ImageHeight", "PNG:BitDepth", "PNG:ColorType", "PNG:Compression", "PNG:Filter"),
    *("PNG:Interlace", "PNG:SRGBRendering", "PNG:Gamma", "PNG:ProfileName", "PNG:Palette", "PNG:Transparency"),
    *("PNG-pHYs:PixelsPerUnitX", "PNG-pHYs:PixelsPerUnitY", "PNG-pHYs:PixelUnits"),
}
# Of MP4 each track and header has facts about its samples; what may not be there is named.
_MP4_GROUPS = ("QuickTime", "Track1", "Track2")
_MP4_FOREIGN = ("GPS", "Location", "Make", "Model", "Software", "Encoder", "Comment", "Title", "Author", "Artist")
_MP4_TIMES = ("CreateDate", "ModifyDate", "CreationDate", "DateTimeOriginal")


def tags_of_copy(store: ObjectStore, key: str) -> tuple[str, ...]:
    """Return a name for each thing that may not be in a published copy; empty for a clean one.

    Raises:
        ObjectMissing: There is no such copy.
        StorageError: The store cannot be read.
    """
    local = store.local_path(key)
    if local is not None and local.is_file():
        return _tags(local)
    with tempfile.TemporaryDirectory(dir=store.scratch_dir()) as folder:
        path = Path(folder) / key.rpartition("/")[2]
        store.get_to_file(key, path)
        return _tags(path)


def _tags(path: Path) -> tuple[str, ...]:
    return (*foreign_tags(path), *(f"exiftool {name}" for name in exiftool_foreign(path) or ()))


def exiftool_foreign(path: Path) -> tuple[str, ...] | None:
    """Return the tags that exiftool finds beside the allowed ones; ``None`` where exiftool is not installed.

    Args:
        path: A file that this program has made.
    """
    program = shutil.which("exiftool")
    if program is None:
        return None
    call = [program, "-config", "", "-json", "-G1", "-a", "-u", "-ee", "--", str(path)]
    done = subprocess.run(call, capture_output=True, timeout=_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL)
    try:
        (found,) = json.loads(done.stdout)
    except ValueError:
        return ("no answer",)
    return tuple(sorted(name for name, value in found.items() if name != "SourceFile" and not _is_allowed(name, value)))


def _is_allowed(name: str, value: object) -> bool:
    group, _, tag = name.partition(":")
    if group.startswith("ICC") or group in _ABOUT_THE_PICTURE or name in _ALLOWED:
        return True
    if group not in _MP4_GROUPS:
        return False
    if tag.endswith(_MP4_TIMES):
        return str(value).startswith("0000")
    return not any(word in tag for word in _MP4_FOREIGN)
