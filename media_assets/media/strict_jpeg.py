"""A second opinion on a JPEG that looks cut: FFmpeg's decoder, which reports damage that libjpeg fills with grey.

Lives here: that one check. Must not: produce pixels that anybody uses.
"""

from pathlib import Path

from PIL import Image

_MID_GREY = 128


def ends_in_grey(image: Image.Image) -> bool:
    """Return whether the last pixel of a decoded JPEG is exact mid-grey, which libjpeg writes for missing data.

    Cheap, and true for hardly any whole photo: only then is :func:`is_damaged` worth a second decode.

    Args:
        image: Loaded picture as libjpeg gave it, at any scale, before colour conversion.
    """
    pixel = image.getpixel((image.width - 1, image.height - 1))
    return pixel in {_MID_GREY, (_MID_GREY,) * 3}


def is_damaged(path: Path) -> bool:
    """Return whether FFmpeg's strict decoder refuses the JPEG. Arithmetic coding, which it does not know, passes."""
    import av

    data = path.read_bytes()
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "bitstream+buffer+explode"}
    decoder.thread_count = 1
    try:
        frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    except av.error.PatchWelcomeError:
        return False
    except (av.FFmpegError, ValueError):
        return True
    return any(frame.is_corrupt for frame in frames)
