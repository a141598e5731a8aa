"""The gallery as one HTML page: style inline, no script at all, no request but for the renditions.

File names, owners and addresses come from uploads and are hostile: every text is escaped, and a Content-Security-Policy
forbids whatever this page does not need. Viewing is done by ``:target``, so the back button and bookmarks work.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from html import escape

from media_assets.gallery.contents import (
    Addresses,
    Contents,
    Item,
    Picture,
    average_color,
    described_duration,
    described_size,
    printable,
    summary,
)
from media_assets.media.rendering import EXTENSION_OF

_STYLE = """
:root{color-scheme:light dark;--back:#fff;--text:#1b1b1b;--soft:#6b6b6b;--cell:#f0f0f0}
@media (prefers-color-scheme:dark){:root{--back:#161616;--text:#eee;--soft:#9c9c9c;--cell:#242424}}
*{box-sizing:border-box}
body{margin:0;padding:16px 20px;background:var(--back);color:var(--text);font:14px/1.4 system-ui,sans-serif}
h1{font-size:20px;margin:0;overflow-wrap:anywhere}
p{margin:4px 0;color:var(--soft)}
a{color:inherit}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(180px,1fr));gap:14px 12px;margin:16px 0;padding:0;
list-style:none}
.tile{min-width:0;scroll-margin:30vh}
.frame{position:relative;display:grid;grid-template:minmax(0,1fr)/minmax(0,1fr);place-items:center;aspect-ratio:1;
background:var(--cell);border-radius:6px;
overflow:hidden;color:var(--soft);text-decoration:none}
.frame>*{grid-area:1/1}
.frame:focus-visible{outline:3px solid Highlight}
.frame img.w{width:100%;height:auto}
.frame img.h{width:auto;height:100%}
.frame .moving{position:absolute;display:none}
.frame:hover .moving,.frame:focus-visible .moving{display:block}
.badge{z-index:1;align-self:end;justify-self:end;margin:6px;padding:1px 6px;border-radius:4px;
background:#000b;color:#fff;font-size:12px}
.name{display:block;margin-top:4px;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.facts{display:block;color:var(--soft);font-size:12px}
.view{display:none}
.view:target{display:flex;flex-direction:column;position:fixed;inset:0;z-index:2;background:#0e0e0e;color:#eee;
color-scheme:dark;padding:10px}
.view .stage{flex:1;min-height:0;display:flex;justify-content:center;align-items:center}
.view .stage img,.view .stage video{max-width:100%;max-height:100%;width:auto;height:auto;object-fit:contain}
.view .stage picture{display:contents}
.view nav{display:flex;gap:18px;font-size:16px}
.view nav a{text-decoration:none;padding:2px 8px}
.view nav .close{margin-left:auto}
.view p{color:#b5b5b5;overflow-wrap:anywhere;font-size:13px}
@media (prefers-reduced-motion:reduce){.frame:hover .moving{display:none}}
@media print{.view{display:none!important}}
"""

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1><bdi>{title}</bdi></h1>
<p>{summary}</p>
<ul class="grid">
{tiles}
</ul>
{views}
<p>Made by media-assets gallery, {made_at} UTC.{note}</p>
</body>
</html>
"""

_MIME = {name: f"{'video' if name == 'mp4' else 'image'}/{name}" for name in EXTENSION_OF}
_BY_PREFERENCE = ("avif", "webp", "jpeg", "png", "gif")
_PICTURES = frozenset(_BY_PREFERENCE)
_LEAST_ENLARGED_PX = 120
_TIMES = "\N{MULTIPLICATION SIGN}"


def gallery_page(
    contents: Contents,
    addresses: Addresses,
    *,
    title: str,
    made_at: datetime,
    embedded: Mapping[str, bytes] | None = None,
) -> str:
    """Return the page.

    Args:
        contents: What is shown.
        addresses: Where its renditions are.
        title: Heading, for example the address of the library.
        made_at: Aware; shown at the end.
        embedded: Content of the thumbnails by key: they become part of the page, and nothing else is linked. ``None``:
            everything is linked.
    """
    page = _Page(addresses, embedded)
    tiles = "\n".join(page.tile(number, item) for number, item in enumerate(contents.items))
    views = "" if embedded is not None else "\n".join(page.views(contents.items))
    style = _STYLE + "".join(page.rules)
    return _PAGE.format(
        policy=escape(_policy(style, addresses.origins)),
        title=escape(printable(title)),
        style=style,
        summary=escape(summary(contents)),
        tiles=tiles,
        views=views,
        made_at=made_at.strftime("%Y-%m-%d %H:%M"),
        note=f" Its links work for {_span(addresses.expires_s)}." if addresses.expire else "",
    )


def _policy(style: str, origins: set[str]) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    sources = " ".join(["'self'", "file:", *sorted(origins)])
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src {sources} data:; media-src {sources}; "
        "base-uri 'none'; form-action 'none'"
    )


class _Page:
    """The parts of a page; ``rules`` collects the style that single tiles need."""

    def __init__(self, addresses: Addresses, embedded: Mapping[str, bytes] | None) -> None:
        self._addresses = addresses
        self._embedded = embedded
        self.rules: list[str] = []

    def tile(self, number: int, item: Item) -> str:
        name = escape(printable(item.name))
        inside = self._thumb(number, item) + self._moving(item)
        if badge := _badge(item):
            inside += f'<span class="badge">{escape(badge)}</span>'
        if self._embedded is None:
            frame = f'<a class="frame" href="#view-{number}" aria-label="{name}">{inside}</a>'
        else:
            frame = f'<span class="frame">{inside}</span>'
        facts = f"{item.format} · {item.width_px} {_TIMES} {item.height_px} · {described_size(item.size_bytes)}"
        taken = "" if item.captured_at is None else f'<span class="facts">{item.captured_at:%Y-%m-%d %H:%M}</span>'
        return (
            f'<li class="tile" id="tile-{number}">{frame}'
            f'<span class="name" title="{escape(printable(item.source_key))}"><bdi>{name}</bdi></span>'
            f'<span class="facts">{escape(facts)}</span>{taken}</li>'
        )

    def _thumb(self, number: int, item: Item) -> str:
        source = self._source(item.thumb)
        if item.thumb is None or source is None:
            return f"<span>{escape(item.format)}, no thumbnail</span>"
        if (color := average_color(item.thumb.thumbhash)) is not None:
            self.rules.append(f"#tile-{number} img{{background:{color}}}\n")
        return _image(item.thumb, source, _shape(item.thumb), printable(item.name))

    def _source(self, picture: Picture | None) -> str | None:
        if picture is None or picture.format not in _PICTURES:
            return None
        if self._embedded is None:
            return self._addresses.of(picture)
        content = self._embedded.get(picture.key)
        return None if content is None else f"data:{_MIME[picture.format]};base64,{base64.b64encode(content).decode()}"

    def _moving(self, item: Item) -> str:
        """The animated preview; a hidden picture that loads lazily is fetched when it is shown first."""
        animated = next(iter(item.of_kind("animated_preview")), None)
        if animated is None or self._embedded is not None or (source := self._source(animated)) is None:
            return ""
        return _image(animated, source, f"moving {_shape(animated)}".strip(), "")

    def views(self, items: Sequence[Item]) -> Iterator[str]:
        """One for each item: the web version or the clip as large as the window, and the facts."""
        for number, item in enumerate(items):
            links = []
            if number > 0:
                links.append(f'<a href="#view-{number - 1}">← previous</a>')
            if number + 1 < len(items):
                links.append(f'<a href="#view-{number + 1}">next →</a>')
            links.append(f'<a class="close" href="#tile-{number}">close ✕</a>')
            yield (
                f'<div class="view" id="view-{number}"><nav>{"".join(links)}</nav>'
                f'<div class="stage">{self._stage(number, item)}</div>'
                f"<p><bdi>{escape(printable(item.source_key))}</bdi> · {escape(_facts(item))}</p>"
                f"<p>{self._list(item)}</p></div>"
            )

    def _stage(self, number: int, item: Item) -> str:
        still = next(iter(item.of_kind("preview")), item.thumb)
        moving = [one for one in (*item.of_kind("clip"), *item.of_kind("optimized")) if one.format == "mp4"]
        if moving and (source := self._addresses.of(moving[0])) is not None:
            if (poster := self._source(still)) is not None:
                # The attribute `poster` would fetch the pictures of all videos at once, shown or not.
                self.rules.append(
                    f'#view-{number}:target video{{background:url("{poster}") center/contain no-repeat}}\n'
                )
            size = f'width="{moving[0].width_px}" height="{moving[0].height_px}"'
            return f'<video controls preload="none" {size} src="{escape(source)}"></video>'
        web = {one.format: one for one in item.of_kind("optimized") if one.format in _PICTURES}
        chosen = [web[name] for name in _BY_PREFERENCE if name in web]
        last = web.get("jpeg") or still or (chosen[-1] if chosen else None)
        if last is None or (source := self._source(last)) is None:
            return "There are no renditions of this file."
        sources = "".join(
            f'<source type="{_MIME[one.format]}" srcset="{escape(address)}">'
            for one in chosen
            if one is not last and (address := self._source(one)) is not None
        )
        return f"<picture>{sources}{_image(last, source, '', printable(item.name))}</picture>"

    def _list(self, item: Item) -> str:
        """Links to all renditions, each with its size."""
        links = []
        for one in item.renditions:
            said = f"{one.kind} {one.format} {one.width_px} {_TIMES} {one.height_px}, {described_size(one.size_bytes)}"
            said += f", SSIM {one.ssim:.3f}" if one.ssim is not None else ""
            address = self._addresses.of(one)
            links.append(f'<a href="{escape(address)}">{escape(said)}</a>' if address else escape(said))
        return " · ".join(links)


def _image(picture: Picture, source: str, style: str, text: str) -> str:
    shape = f' class="{style}"' if style else ""
    return (
        f'<img{shape} loading="lazy" decoding="async" width="{picture.width_px}" height="{picture.height_px}" '
        f'alt="{escape(text)}" src="{escape(source)}">'
    )


def _shape(picture: Picture) -> str:
    """Whether width or height fills a tile; small pictures are not enlarged."""
    if max(picture.width_px, picture.height_px) < _LEAST_ENLARGED_PX:
        return ""
    return "w" if picture.width_px >= picture.height_px else "h"


def _badge(item: Item) -> str:
    parts = []
    if item.is_video:
        parts.append("▶ " + (described_duration(item.duration_s) if item.duration_s is not None else "video"))
    elif item.duration_s is not None:
        parts.append("animated")
    if item.duplicate_of is not None:
        parts.append("duplicate")
    return " · ".join(parts)


def _facts(item: Item) -> str:
    parts = [
        item.format,
        f"{item.width_px} {_TIMES} {item.height_px} px",
        described_size(item.size_bytes),
        f"owner {printable(item.owner)}",
    ]
    if item.captured_at is not None:
        parts.insert(0, f"captured {item.captured_at:%Y-%m-%d %H:%M:%S}")
    if item.duration_s is not None:
        parts.append(described_duration(item.duration_s))
    if item.duplicate_of is not None:
        parts.append(f"the same bytes as {item.duplicate_of}")
    return " · ".join(parts)


_UNITS = (("hour", 3600), ("minute", 60), ("second", 1))


def _span(seconds: int) -> str:
    """A time in words, in the largest unit that needs no fraction: "1 hour", "90 minutes"."""
    unit, length = next(one for one in _UNITS if seconds % one[1] == 0)
    number = seconds // length
    return f"{number} {unit}{'' if number == 1 else 's'}"
