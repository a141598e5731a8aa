"""The page of the docs about sources of metadata, generated from the order of trust so that it cannot be out of date.

``python -m media_assets.media.trust_reference`` prints it; ``make docs`` writes docs/sources.md.
"""

from media_assets.media.trust import FIELD_TRUST, SOURCES, TIME_TRUST

_HEAD = """\
# Where metadata comes from, and which source is trusted

Generated from `media_assets/media/trust.py` by `make docs`; do not edit.

A file, its sidecars and its name often disagree. Every source is read by itself, impossible values become null and a
sentence in `metadata.warnings`, and then the first source of these orders that has a value gives it. What no column
holds is in `metadata.tags_json`, under a name with its group (`Exif.SceneType`, `XMP-crs.Contrast`).

## Sources

| source | what it is |
| --- | --- |
"""

_TIME_HEAD = """
## Capture time

The wall time (`captured_at_local`) comes from the first of these; `captured_at_source` names it.

| source | why it stands there |
| --- | --- |
"""

_OFFSET = """
The offset from UTC comes from, in this order:

1. the tag itself (`OffsetTimeOriginal`, a zone in the text),
2. another tag of the camera for the same wall time,
3. the difference to the satellites' time (`+gps_time`), if it is within two minutes of an offset that is in use,
4. the time zone of the position (`+timezone`); a wall time that occurs twice or never at a clock change gets none,
5. a copy of the same wall time that a program wrote (`+xmp`); an offset of 0 from a program is not believed.

What was added stands behind a plus in `captured_at_source`: `exif:DateTimeOriginal+gps_time`. Without any of them
`captured_at` is null: a wall time never passes for UTC. A time that is stored in UTC without a zone (MP4 `mvhd`,
Matroska `DateUTC`, Google Takeout) becomes wall time of the place when the position tells the zone; else
`captured_at_local` is that UTC time, with an offset of 0.

Not times: dates before 1826, more than ten years ahead, the zeros of the epochs (1904, 1970) and the largest 32-bit
values; a date without a time (it is kept as a tag); EXIF `DateTime` of IFD0, which is the last change of the file.
"""


def sources_reference() -> str:
    """Return the page as Markdown."""
    lines = [f"| `{name}` | {what} |" for name, what in SOURCES.items()]
    page = [
        _HEAD + "\n".join(lines),
        "\n\n## Fields\n\n| fields | sources, the most trusted first | why |\n| --- | --- | --- |\n",
    ]
    for trust in FIELD_TRUST:
        fields = ", ".join(f"`{field}`" for field in trust.fields)
        page.append(f"| {fields} | {', '.join(trust.order)} | {trust.reason} |\n")
    page.append(_TIME_HEAD)
    page += [f"| `{source}` | {reason} |\n" for source, reason in TIME_TRUST]
    page.append(_OFFSET)
    return "".join(page)


if __name__ == "__main__":
    print(sources_reference(), end="")
