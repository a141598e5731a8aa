"""Five renditions with libvips well used: one decode that shrinks on load, then a cascade in memory."""

from pathlib import Path

SIZES = (1600, 1200, 600, 300, 150)


def write_renditions(source: Path, folder: Path) -> dict[int, Path]:
    """Write the five progressive JPEGs of a file; return their paths by box size in pixels."""
    import pyvips

    pyvips.cache_set_max(0)
    written = {}
    # Upright by itself; the preview is read five times, so it is kept as pixels.
    picture = pyvips.Image.thumbnail(str(source), SIZES[0], height=SIZES[0], size="down").copy_memory()
    if picture.hasalpha():
        picture = picture.flatten(background=255)
    for size in SIZES:
        if max(picture.width, picture.height) > size:
            picture = picture.thumbnail_image(size, height=size, size="down").copy_memory()
        path = folder / f"{source.stem}-{size}.jpg"
        picture.jpegsave(str(path), Q=85, interlace=True, keep="none")
        written[size] = path
    return written
