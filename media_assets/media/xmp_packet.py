"""An XMP packet (ISO 16684-1) as properties by path, read from hostile bytes.

Lives here: XML and RDF syntax, bounds. Must not: know what a property means (``xmp.py``). No entity and no document
type is ever read, so nothing can expand or refer to other files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree.ElementTree import ParseError

from media_assets.media.text import decode_text

MAX_PACKET_BYTES = 4 * 1024 * 1024
"""Longest packet that is read; those of editors that keep their whole history reach some megabytes."""
MAX_DEPTH = 40
"""Deepest nesting of elements; structures in bags in structures of real packets reach about 15."""
MAX_PROPERTIES = 5000
"""Most values that are read of one packet."""
MAX_ELEMENTS = 50_000
"""Most elements of a packet; more are an attempt to keep the reader busy."""
MAX_VALUE_CHARS = 4000
"""Longer values are data (thumbnails, depth maps, edit history), not description, and are left out."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XML = "http://www.w3.org/XML/1998/namespace"
_LANGUAGE = f"{{{_XML}}}lang"
_STRUCTURE = {f"{{{_RDF}}}{name}" for name in ("RDF", "Description", "Alt", "Bag", "Seq", "li", "value")}
_RDF_RESOURCE, _RDF_ALT = f"{{{_RDF}}}resource", f"{{{_RDF}}}Alt"

# Prefixes are those of exiftool and of the standards, whatever the packet calls them.
_PREFIXES = {
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/xap/1.0/rights/": "xmpRights",
    "http://ns.adobe.com/xap/1.0/mm/": "xmpMM",
    "http://ns.adobe.com/xap/1.0/bj/": "xmpBJ",
    "http://ns.adobe.com/xap/1.0/t/pg/": "xmpTPg",
    "http://ns.adobe.com/xap/1.0/g/": "xmpG",
    "http://ns.adobe.com/xap/1.0/g/img/": "xmpGImg",
    "http://ns.adobe.com/xmp/1.0/DynamicMedia/": "xmpDM",
    "http://ns.adobe.com/xmp/note/": "xmpNote",
    "http://ns.adobe.com/xap/1.0/sType/ResourceRef#": "stRef",
    "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#": "stEvt",
    "http://ns.adobe.com/xap/1.0/sType/Dimensions#": "stDim",
    "http://ns.adobe.com/xmp/sType/Area#": "stArea",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://ns.adobe.com/exif/1.0/aux/": "aux",
    "http://cipa.jp/exif/1.0/": "exifEX",
    "http://cipa.jp/exif/1.0/exifEX": "exifEX",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/camera-raw-settings/1.0/": "crs",
    "http://ns.adobe.com/lightroom/1.0/": "lr",
    "http://ns.adobe.com/hdr-metadata/1.0/": "hdr_metadata",
    "http://ns.adobe.com/hdr-gain-map/1.0/": "hdrgm",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://ns.useplus.org/ldf/xmp/1.0/": "plus",
    "http://www.digikam.org/ns/1.0/": "digiKam",
    "http://www.digikam.org/ns/kipi/1.0/": "kipi",
    "http://ns.acdsee.com/iptc/1.0/": "acdsee",
    "http://ns.microsoft.com/photo/1.0": "MicrosoftPhoto",
    "http://ns.microsoft.com/photo/1.0/": "MicrosoftPhoto",
    "http://ns.microsoft.com/photo/1.1": "MicrosoftPhoto",
    "http://ns.microsoft.com/photo/1.2/": "MP",
    "http://ns.google.com/photos/1.0/camera/": "GCamera",
    "http://ns.google.com/photos/1.0/container/": "Container",
    "http://ns.google.com/photos/1.0/container/item/": "Item",
    "http://ns.google.com/photos/1.0/panorama/": "GPano",
    "http://ns.google.com/photos/1.0/image/": "GImage",
    "http://ns.google.com/photos/1.0/depthmap/": "GDepth",
    "http://www.metadataworkinggroup.com/schemas/regions/": "mwg-rs",
    "http://www.metadataworkinggroup.com/schemas/collections/": "mwg-coll",
    "http://www.metadataworkinggroup.com/schemas/keywords/": "mwg-kw",
    "http://ns.apple.com/faceinfo/1.0/": "apple-fi",
    "http://darktable.sf.net/": "darktable",
    "http://www.dji.com/drone-dji/1.0/": "drone-dji",
    "http://creativecommons.org/ns#": "cc",
}  # fmt: skip


class PacketError(Exception):
    """The packet is not XML, is too large or nested too deep, or declares entities; the message is a predicate."""


@dataclass(frozen=True)
class Packet:
    """Properties of a packet.

    Attributes:
        values: Values in the order of the document, by path: ``dc:subject``, ``exif:Flash.Fired``. Of alternatives in
            several languages there is one value: the default (``x-default``), else the first.
        is_damaged: The packet ends early or has an error in it; the values are those that stand before it.
    """

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_damaged: bool = False

    def first(self, *paths: str) -> str | None:
        """Return the first value of the first of these paths that has one."""
        return next((self.values[path][0] for path in paths if path in self.values), None)


def parse_packet(data: bytes) -> Packet:
    """Return the properties of an XMP packet, with or without its ``xpacket`` wrapper.

    Raises:
        PacketError: Nothing can be read, or the packet does what only an attack does.
    """
    # Imported here: pictures without XMP are many.
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser

    if len(data) > MAX_PACKET_BYTES:
        raise PacketError("is too large")
    reader = _PacketReader()
    parser = DefusedXMLParser(target=reader, forbid_dtd=True)
    is_damaged = False
    try:
        parser.feed(_document(data))
        parser.close()
    except DefusedXmlException as error:
        raise PacketError("declares a document type or entities") from error
    except (ParseError, ValueError, LookupError) as error:
        is_damaged = True
        if not reader.finished():
            raise PacketError("is not XML") from error
    return Packet(reader.finished(), is_damaged)


def _document(data: bytes) -> bytes:
    """Return the packet without what surrounds it: padding behind it, NULs, blanks before an XML declaration."""
    if b"\0" in data[:4] or data[:2] in {b"\xff\xfe", b"\xfe\xff"}:  # UTF-16: a NUL is half a character
        return data
    data = data.strip(b"\0 \t\r\n")
    end = data.rfind(b">")
    return data if end < 0 else data[: end + 1]


class _PacketReader:
    """Target of the XML parser: keeps the path of properties, never a tree."""

    def __init__(self) -> None:
        self._path: list[str] = []
        self._open: list[tuple[bool, bool, str | None]] = []  # adds to the path, has children, language
        self._text: list[str] = []
        self._chars = 0
        self._rdf_depth = 0
        self._alternatives = 0
        self._values: dict[str, list[str]] = {}
        self._defaults: dict[str, str] = {}
        self._are_alternatives: set[str] = set()
        self._count = 0
        self._elements = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._elements += 1
        if len(self._open) >= MAX_DEPTH or self._elements > MAX_ELEMENTS:
            raise PacketError("is nested too deep or has too many elements")
        if self._open:
            adds, _, language = self._open[-1]
            self._open[-1] = (adds, True, language)
        is_property = self._rdf_depth > 0 and tag not in _STRUCTURE
        self._open.append((is_property, False, attributes.get(_LANGUAGE)))
        self._rdf_depth += tag == f"{{{_RDF}}}RDF"
        self._alternatives += tag == _RDF_ALT
        if is_property:
            self._path.append(_qualified(tag))
        if self._rdf_depth > 0:
            for name, value in attributes.items():
                if name == _RDF_RESOURCE:
                    self._add(self._path, value, None)
                elif name.startswith("{") and not name.startswith((f"{{{_RDF}}}", f"{{{_XML}}}")):
                    self._add([*self._path, _qualified(name)], value, None)
        self._text, self._chars = [], 0

    def data(self, text: str) -> None:
        self._chars += len(text)
        if self._chars <= MAX_VALUE_CHARS:
            self._text.append(text)

    def end(self, tag: str) -> None:
        is_property, has_children, language = self._open.pop()
        if self._rdf_depth > 0 and not has_children and self._chars <= MAX_VALUE_CHARS:
            self._add(self._path, "".join(self._text), language)
        self._text, self._chars = [], 0
        self._rdf_depth -= tag == f"{{{_RDF}}}RDF"
        self._alternatives -= tag == _RDF_ALT
        if is_property:
            self._path.pop()

    def close(self) -> None:
        """Part of the parser's interface; the values are asked for by :meth:`finished`."""

    def _add(self, path: list[str], value: str, language: str | None) -> None:
        value = value.strip()
        if not path or not value or len(value) > MAX_VALUE_CHARS:
            return
        self._count += 1
        if self._count > MAX_PROPERTIES:
            return
        name = ".".join([path[0], *(part.partition(":")[2] for part in path[1:])])
        self._values.setdefault(name, []).append(value)
        if self._alternatives:
            self._are_alternatives.add(name)
            if language == "x-default":
                self._defaults.setdefault(name, value)

    def finished(self) -> dict[str, tuple[str, ...]]:
        return {
            name: (self._defaults.get(name, values[0]),) if name in self._are_alternatives else tuple(values)
            for name, values in self._values.items()
        }


def _qualified(tag: str) -> str:
    """Return ``prefix:Name`` of ``{namespace}Name``; of unknown namespaces the last part of their address."""
    namespace, _, name = tag.removeprefix("{").rpartition("}")
    prefix = _PREFIXES.get(namespace)
    if prefix is None:
        parts = [part for part in namespace.replace("#", "/").split("/") if part and not part[0].isdigit()]
        prefix = parts[-1] if parts else "other"
    return f"{prefix}:{name}"


def is_packet(data: bytes) -> bool:
    """Return whether bytes look like XMP: an XML text that names RDF near its start."""
    head = decode_text(data[:4096].replace(b"\0", b""))
    return head.lstrip("\ufeffÿþ \t\r\n").startswith("<") and ("rdf:RDF" in head or "xmpmeta" in head or _RDF in head)
