"""The contract with analysts: every table, its grain, key and columns (DESIGN.md section 8).

Only declarations and the check of rows against them. How parts are written is in ``tables``, how they are compacted in
``catalog``; the data dictionary of the docs is generated from here by ``dictionary``.

Rules of all tables: missing is null, never "", NaN or 0; integers are int64, so that no file can overflow a column
(but for 64-bit hashes, which are uint64); vectors are lists of float32, as their length depends on the model;
a column added later is nullable, because older parts do not have it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import pyarrow as pa

from media_assets.storage.errors import CatalogError

_STRING = pa.string()
_INT = pa.int64()
_FLOAT = pa.float64()
_BOOL = pa.bool_()
_UTC = pa.timestamp("us", tz="UTC")
_LOCAL = pa.timestamp("us")
_STRINGS = pa.list_(pa.string())
_VECTOR = pa.list_(pa.float32())
_HASH = pa.uint64()
_COLORS = pa.list_(pa.struct([pa.field("rgb_hex", pa.string()), pa.field("share", pa.float64())]))


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: Column name; a unit is part of it.
        type: Arrow type.
        description: What the value is and what null means; one or two sentences.
        source: Where the value comes from: a tag, a specification, another part of the project.
        unit: Unit of the number; ``None`` where there is none.
        nullable: Whether null is allowed.
        filled_since: First release that computes the column; ``None`` while nothing does and every value is null.
    """

    name: str
    type: pa.DataType
    description: str
    source: str
    unit: str | None = None
    nullable: bool = True
    filled_since: str | None = "0.1.0"


@dataclass(frozen=True)
class Table:
    """One table: append-only parts below ``tables/``, one current row per key below ``catalog/``.

    Attributes:
        name: Table name.
        grain: What one row is.
        key: Columns that identify a current row; the first is ``media_id``.
        columns: In the order of the files; the common columns come first.
        split: Column by which several assets share the table, each replacing its own rows of a media file only, and
            the asset of rows in which it is null. ``None``: a computation replaces all rows of its media file.
    """

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    split: tuple[str, str] | None = None

    @cached_property
    def schema(self) -> pa.Schema:
        """Arrow schema; each field carries ``description``, ``source`` and, where there is one, ``unit``."""
        return pa.schema([_field(column) for column in self.columns], metadata={"table": self.name})


def _field(column: Column) -> "pa.Field[pa.DataType]":
    facts = {"description": column.description, "source": column.source}
    if column.unit is not None:
        facts["unit"] = column.unit
    return pa.field(column.name, column.type, nullable=column.nullable, metadata=dict(facts))


def _required(name: str, type_: pa.DataType, description: str, source: str, unit: str | None = None) -> Column:
    return Column(name, type_, description, source, unit, nullable=False)


def _later(name: str, type_: pa.DataType, description: str, source: str, unit: str | None = None) -> Column:
    return Column(name, type_, description, source, unit, filled_since=None)


def _common(*, input_always_known: bool = True) -> tuple[Column, ...]:
    # What could not be read (a broken link, a name that is not UTF-8) has no version of its bytes: only `rejected`.
    input_version = "SHA-256 of the bytes that the row was computed from, 64 hex digits."
    return (
        _required("media_id", _STRING, "Identity of the media file; the partition key in Dagster.", "object key"),
        _required("owner", _STRING, "Whose file it is: first folder in the inbox, else `default`.", "object key"),
        _required("input_version", _STRING, input_version, "bytes of the upload")
        if input_always_known
        else Column("input_version", _STRING, f"{input_version} Null: they cannot be read.", "bytes of the upload"),
        _required("code_version", _STRING, "Version of the code and parameters that decide the result.", "asset"),
        Column("model", _STRING, "Model that made the row, with revision. Null: no model took part.", "model registry"),
        _required("run_id", _STRING, "Run that wrote the row.", "Dagster"),
        _required("computed_at", _UTC, "When the row was computed; the latest one is the current one.", "clock"),
    )


_FILES = (
    *_common(),
    _required("source_key", _STRING, "Key of the upload below the inbox root.", "inbox"),
    _required("file_name", _STRING, "Last segment of `source_key`, as the uploader wrote it.", "inbox"),
    _required("sha256", _STRING, "SHA-256 of the file, 64 hex digits.", "bytes of the upload"),
    _required("size_bytes", _INT, "Length of the file.", "bytes of the upload", "bytes"),
    _required("media_type", _STRING, "`image` or `video`.", "file content"),
    _required("mime_type", _STRING, "MIME type, by content and not by extension.", "file content"),
    _required("format", _STRING, "Short name of the format: `jpeg`, `heic`, `mp4` and so on.", "file content"),
    _required("width_px", _INT, "Width of the upright picture.", "decoder", "px"),
    _required("height_px", _INT, "Height of the upright picture.", "decoder", "px"),
    Column("orientation", _INT, "Orientation as stored, 1-8. Null: absent or out of range.", "EXIF Orientation"),
    Column("duration_s", _FLOAT, "Length of a video or an animation. Null: a still, or unknown.", "container", "s"),
    Column("frame_count", _INT, "Frames or pages, where the container tells. Null: it does not.", "container"),
    Column("duplicate_of", _STRING, "`media_id` that brought the same bytes of the same owner first.", "ledger"),
    _required("original_path", _STRING, "Key of the stored original in the library.", "object store"),
    _required("received_at", _UTC, "When the upload was received.", "inbox"),
    _required("status", _STRING, "`accepted`. Rejected files are in table `rejected` only.", "ingest"),
)

_POSITION = "sidecar, EXIF GPS, container (ISO 6709), XMP, Takeout"
_TEXTS = "sidecar, XMP, IPTC, EXIF, container, Takeout"

_METADATA = (
    *_common(),
    Column(
        "captured_at",
        _UTC,
        "Capture time. Null: unknown, or its UTC offset is unknown.",
        "EXIF, XMP, IPTC, container, sidecar, Takeout, file name; `captured_at_source` tells which",
    ),
    Column(
        "captured_at_local",
        _LOCAL,
        "Wall time as written, no zone. Videos that store UTC only: the UTC time, with `utc_offset_minutes` 0.",
        "as `captured_at`",
    ),
    Column(
        "utc_offset_minutes",
        _INT,
        "Offset of the wall time from UTC, east positive.",
        "EXIF OffsetTime*, zone of the time's own tag, GPS time, time zone of the position",
        "min",
    ),
    Column(
        "captured_at_source",
        _STRING,
        "Which tag gave the time, as `exif:DateTimeOriginal`; behind a plus what gave its offset, if another one did.",
        "metadata reader",
    ),
    Column("camera_make", _STRING, "Maker of the camera.", "EXIF Make, container, XMP"),
    Column("camera_model", _STRING, "Model of the camera.", "EXIF Model, container, XMP"),
    Column("lens_make", _STRING, "Maker of the lens.", "EXIF LensMake, XMP"),
    Column("lens_model", _STRING, "Model of the lens.", "EXIF LensModel, XMP"),
    Column("software", _STRING, "Software or firmware that wrote the file.", "EXIF Software, container, XMP"),
    Column("iso", _INT, "ISO speed.", "EXIF PhotographicSensitivity"),
    Column("f_number", _FLOAT, "Aperture, the N of f/N.", "EXIF FNumber"),
    Column("exposure_time_s", _FLOAT, "Exposure time.", "EXIF ExposureTime", "s"),
    Column("focal_length_mm", _FLOAT, "Focal length of the lens.", "EXIF FocalLength", "mm"),
    Column("focal_length_35mm_mm", _FLOAT, "Focal length for 35 mm film.", "EXIF FocalLengthIn35mmFilm", "mm"),
    Column("flash_fired", _BOOL, "Whether the flash fired.", "EXIF Flash, bit 0"),
    Column("white_balance", _STRING, "White balance mode.", "EXIF WhiteBalance"),
    Column("metering_mode", _STRING, "Metering mode.", "EXIF MeteringMode"),
    Column("exposure_program", _STRING, "Exposure program.", "EXIF ExposureProgram"),
    Column("latitude_deg", _FLOAT, "Latitude, WGS 84, north positive.", _POSITION, "deg"),
    Column("longitude_deg", _FLOAT, "Longitude, WGS 84, east positive.", _POSITION, "deg"),
    Column("altitude_m", _FLOAT, "Altitude, above sea level positive.", _POSITION, "m"),
    Column("gps_at", _UTC, "Time of the position fix.", "EXIF GPSDateStamp, GPSTimeStamp, XMP"),
    Column("timezone", _STRING, "IANA time zone of the place of capture.", "position, timezone-boundary-builder"),
    Column(
        "place_city",
        _STRING,
        "Nearest populated place of the country, at most 50 km away; in large cities it can be a district. "
        "Null: none is near, or no position.",
        "position, GeoNames",
    ),
    Column("place_region", _STRING, "State, region or canton of that place.", "position, GeoNames"),
    Column(
        "place_country_code",
        _STRING,
        "Country of capture, ISO 3166-1 alpha-2 (`XK`: Kosovo), territorial waters included. Null: the open sea, or no "
        "position.",
        "position, timezone-boundary-builder",
    ),
    Column("title", _STRING, "Title.", f"{_TEXTS} (dc:title, 2:05, XPTitle)"),
    Column("description", _STRING, "Description or caption.", f"{_TEXTS} (dc:description, 2:120, ImageDescription)"),
    Column("keywords", _STRINGS, "Keywords, each once.", f"{_TEXTS} (dc:subject, 2:25, XPKeywords)"),
    Column("rating", _INT, "Rating, 0-5; -1 is rejected by the photographer.", f"{_TEXTS} (xmp:Rating, Rating)"),
    Column("creator", _STRING, "Who made the picture.", f"{_TEXTS} (dc:creator, 2:80, Artist)"),
    Column("copyright", _STRING, "Copyright notice.", f"{_TEXTS} (dc:rights, 2:116, Copyright)"),
    Column("color_space", _STRING, "Colour space or model of the pixels.", "EXIF ColorSpace, decoder"),
    Column("has_icc_profile", _BOOL, "Whether an ICC profile is embedded.", "file content"),
    Column("icc_profile_name", _STRING, "Description of the embedded ICC profile.", "ICC profileDescriptionTag"),
    Column("bit_depth", _INT, "Bits per channel as stored.", "file content", "bits"),
    Column("has_alpha", _BOOL, "Whether the picture has transparency.", "file content"),
    Column("is_animated", _BOOL, "Whether an image file has more than one frame over time.", "file content"),
    Column(
        "live_photo_id",
        _STRING,
        "Identifier that the two files of an Apple live photo share.",
        "Apple MakerNote, QuickTime com.apple.quicktime.content.identifier",
    ),
    Column("is_motion_photo", _BOOL, "Whether a clip is embedded in the photo.", "XMP GCamera:MotionPhoto, MicroVideo"),
    Column(
        "pair_media_id",
        _STRING,
        "`media_id` of the other file of the same shot: photo and clip of a live or motion photo, RAW and JPEG. Both "
        "name each other. Of three (RAW, JPEG, clip), the JPEG and the clip do, and the RAW names the JPEG. Written "
        "again without a new materialization when the other file comes later.",
        "`live_photo_id`, else folder, stem, format, `duration_s` and capture time",
    ),
    Column("container", _STRING, "Container of a video.", "FFmpeg demuxer"),
    Column("video_codec", _STRING, "Codec of the video stream.", "FFmpeg"),
    Column("audio_codec", _STRING, "Codec of the first audio stream. Null: a still, or no audio.", "FFmpeg"),
    Column("frame_rate_fps", _FLOAT, "Average frame rate.", "container", "frames/s"),
    Column("bit_rate_bps", _INT, "Bit rate of the whole file.", "container", "bit/s"),
    Column("rotation_deg", _INT, "Clockwise turn that makes frames upright: 0, 90, 180, 270.", "display matrix", "deg"),
    Column("pixel_format", _STRING, "Pixel format of the video stream.", "FFmpeg"),
    Column("color_transfer", _STRING, "Transfer characteristics of the video stream.", "FFmpeg, ITU-T H.273"),
    Column("audio_channels", _INT, "Channels of the first audio stream.", "FFmpeg"),
    Column("sample_rate_hz", _INT, "Sample rate of the first audio stream.", "FFmpeg", "Hz"),
    Column("tags_json", _STRING, "All other tags: one JSON object, names with their group and values as text.", "all"),
    Column("warnings", _STRINGS, "Recoverable oddities of the file, for people. Null: none.", "ingest"),
)

_RENDITIONS = (
    *_common(),
    _required(
        "kind",
        _STRING,
        "`thumb_150`, `thumb_300`, `thumb_600`, `thumb_1200`, `preview` (of videos: of the poster); `optimized`, one "
        "row per format; of videos `storyboard`, `animated_preview`, `clip`, and `frame_01` to `frame_16`, which are "
        "analysed.",
        "ingest",
    ),
    _required("path", _STRING, "Key of the rendition in the library.", "object store"),
    Column("public_url", _STRING, "Lasting address for browsers. Null: the library has none.", "configuration"),
    _required("format", _STRING, "Short name of the format.", "encoder"),
    _required("width_px", _INT, "Width of the rendition.", "encoder", "px"),
    _required("height_px", _INT, "Height of the rendition.", "encoder", "px"),
    _required("size_bytes", _INT, "Length of the rendition.", "encoder", "bytes"),
    Column("crop_x_px", _INT, "Left edge of the crop in the upright original. Null: all is shown.", "cropper", "px"),
    Column("crop_y_px", _INT, "Top edge of the crop in the upright original. Null: all is shown.", "cropper", "px"),
    Column("crop_width_px", _INT, "Width of the crop in the upright original. Null: all is shown.", "cropper", "px"),
    Column("crop_height_px", _INT, "Height of the crop in the upright original. Null: all is shown.", "cropper", "px"),
    _required("crop_reason", _STRING, "`faces`, `entropy`, `center`, or `none`: not cropped.", "cropper"),
    Column("ssim", _FLOAT, "Structural similarity to the original at the same size, 0-1. Null: not measured.", "SSIM"),
    Column("asset", _STRING, "Asset that made it: `thumbnails` or `optimized`. Null: `thumbnails`.", "ingest"),
    Column("quality", _INT, "Quality that the encoder was told, on its own scale. Null: there is none.", "encoder"),
    Column(
        "thumbhash", _STRING, "ThumbHash of what is shown, base64: a placeholder while pictures load.", "thumbnails"
    ),
    Column("duration_s", _FLOAT, "Length of a clip or animation. Null: a still.", "encoder", "s"),
    Column("frame_s", _FLOAT, "Time of an analysed frame in the video. Null: of other kinds.", "frame sampler", "s"),
)

_APPEARANCE = (
    *_common(),
    Column(
        "dominant_colors",
        _COLORS,
        "Up to five colours, the largest share first: `rgb_hex` as `#rrggbb` (sRGB), `share` of the pixels 0-1.",
        "k-means in CIELAB",
    ),
    Column("brightness", _FLOAT, "Mean lightness, 0 black to 1 white.", "CIELAB L*"),
    Column("saturation", _FLOAT, "Mean saturation, 0 grey to 1.", "HSV"),
    Column("color_temperature", _FLOAT, "Correlated colour temperature of the mean colour.", "McCamy 1992", "K"),
    Column("blur_score", _FLOAT, "How blurred the picture is, 0 sharp to 1.", "media.appearance"),
    Column("noise_score", _FLOAT, "How noisy the picture is, 0 clean to 1.", "media.appearance"),
    Column("contrast", _FLOAT, "Contrast of the lightness, 0 flat to 1.", "media.appearance"),
    Column("exposure", _FLOAT, "Exposure, -1 too dark to 1 too light, 0 balanced.", "media.appearance"),
    Column("quality_score", _FLOAT, "One number, 0-1, from blur, noise, contrast and exposure.", "media.appearance"),
    Column("phash", _HASH, "Perceptual hash (DCT, 64 bits); compare by Hamming distance.", "media.perceptual_hash"),
    Column("dhash", _HASH, "Difference hash (64 bits); compare by Hamming distance.", "media.perceptual_hash"),
)

_FRAME = Column("frame_s", _FLOAT, "Time of the frame in the video. Null: a picture.", "analyze", "s")


def _box(of: str) -> tuple[Column, ...]:
    return (
        _required("x_min_px", _FLOAT, f"Left edge of the {of} in the upright original.", "detector", "px"),
        _required("y_min_px", _FLOAT, f"Top edge of the {of} in the upright original.", "detector", "px"),
        _required("x_max_px", _FLOAT, f"Right edge of the {of} in the upright original.", "detector", "px"),
        _required("y_max_px", _FLOAT, f"Bottom edge of the {of} in the upright original.", "detector", "px"),
    )


_POINTS = pa.list_(pa.list_(pa.float64()))

_EMBEDDINGS = (
    *_common(),
    _FRAME,
    _required("dim", _INT, "Length of `vector`.", "model"),
    _required("vector", _VECTOR, "The picture as a vector of length 1; compare by cosine within a `model`.", "model"),
)

_OBJECTS = (
    *_common(),
    _FRAME,
    _required("object_index", _INT, "Number of the object in its picture or frame, from 0, surest first.", "detector"),
    _required("label", _STRING, "Class, as COCO names it.", "detector"),
    _required("score", _FLOAT, "How sure the model is, 0-1; comparable within one `model`.", "detector"),
    *_box("object"),
)

_FACES = (
    *_common(),
    _FRAME,
    _required("face_index", _INT, "Number of the face in its picture or frame, from 0, surest first.", "detector"),
    _required("score", _FLOAT, "How sure the model is, 0-1; comparable within one `model`.", "detector"),
    *_box("face"),
    Column(
        "landmarks",
        _POINTS,
        "Points [x, y] in px of the upright original: right eye, left eye, nose, right and left mouth corner (the "
        "person's). Null: the detector gives none.",
        "detector",
    ),
    Column(
        "embedding",
        _VECTOR,
        "Vector of the face; compare as `embedding_metric` says, within one `embedding_model`. Null: no consent to "
        "recognition, or no model.",
        "face encoder",
    ),
    Column("embedding_model", _STRING, "Model of `embedding`, with revision.", "model registry"),
    Column("embedding_metric", _STRING, "`euclidean` or `cosine`.", "model registry"),
    Column("face_size_px", _FLOAT, "Shorter side of the box.", "detector", "px"),
    Column("face_sharpness", _FLOAT, "Sharpness of the face, 0 no detail to 1.", "models.face_quality"),
    Column("face_yaw_deg", _FLOAT, "Turn to the side, 0 towards the camera; an estimate.", "landmarks", "deg"),
    Column("face_pitch_deg", _FLOAT, "Nod, positive upwards; an estimate.", "landmarks", "deg"),
    Column("face_roll_deg", _FLOAT, "Turn in the plane of the picture, positive clockwise.", "landmarks", "deg"),
    Column("face_quality", _FLOAT, "How well the face can be recognised, 0-1.", "models.face_quality"),
)

_SCENES = (
    *_common(),
    _FRAME,
    _required("rank", _INT, "1 is the likeliest label.", "classifier"),
    _required("label", _STRING, "Label of the whole picture.", "classifier"),
    _required("score", _FLOAT, "Probability over the classes of the model, 0-1.", "classifier"),
    Column("caption", _STRING, "Sentence about the picture; in the row of rank 1 only.", "captioner"),
    Column(
        "caption_source",
        _STRING,
        "Who wrote `caption`: a model, or `labels`: a list of the likeliest labels.",
        "model registry",
    ),
)

_TEXTS_READ = (
    *_common(),
    _FRAME,
    _required("text_index", _INT, "Number of the line in its picture or frame, from 0, in reading order.", "reader"),
    _required("text", _STRING, "The line as it was read.", "reader"),
    _required("score", _FLOAT, "How sure the model is, 0-1.", "reader"),
    *_box("line"),
    Column("polygon", _POINTS, "Corners [x, y] in px, clockwise from the reader's upper left.", "reader"),
)

_SAFETY = (
    *_common(),
    _FRAME,
    _required("category", _STRING, "What the score is about: `nsfw`.", "model"),
    _required("score", _FLOAT, "How likely, 0-1; a reason to look, never a certainty.", "model"),
    _required("flagged", _BOOL, "Whether the score reaches the threshold of review.", "setting safety_review"),
    Column("level", _STRING, "`review` or `sensitive`. Null: neither.", "settings safety_review, safety_sensitive"),
)

_PEOPLE = (
    *_common(),
    _required(
        "person_id", _STRING, "Whose face it is; the same as long as the person is, across regroupings.", "people"
    ),
    _FRAME,
    _required("face_index", _INT, "Number of the face in table `faces`.", "faces"),
    *_box("face"),
    Column("name", _STRING, "Name that a user gave. Null: none.", "`media-assets people name`"),
    _required(
        "distance",
        _FLOAT,
        "Distance to the mean of the person's faces when the row was written, as `embedding_metric` of table `faces` "
        "says.",
        "people",
    ),
    _required("is_weak", _BOOL, "Whether the face is too poor to start a person or to join two.", "face_quality"),
)

_NEAR_DUPLICATES = (
    *_common(),
    _required("group_id", _STRING, "Group of files that show the same; the same as long as the group is.", "hashes"),
    _required("representative_media_id", _STRING, "File of the group that all others resemble.", "hashes"),
    _required(
        "distance",
        _INT,
        "Different bits of `phash` to the representative (mirrored: to its mirror image), 0-64.",
        "Hamming distance",
        "bits",
    ),
    Column(
        "method",
        _STRING,
        "What the file has in common with the representative: `sha256` (all bytes), `phash` (it looks the same), "
        "`phash+embedding` (it looks alike and shows the same) or `phash+mirror` (it is its mirror image). Null: it is "
        "the representative.",
        "near_duplicates",
    ),
)

_REJECTED = (
    *_common(input_always_known=False),
    _required("source_key", _STRING, "Key of the upload below the inbox root; odd bytes are escaped.", "inbox"),
    Column("sha256", _STRING, "SHA-256 of the file. Null: its bytes cannot be read.", "bytes of the upload"),
    Column("size_bytes", _INT, "Length of the file. Null: unknown.", "inbox", "bytes"),
    _required("stage", _STRING, "Where it was found: `inbox`, `sniff`, `decode`, `metadata` or `render`.", "ingest"),
    _required("reason_code", _STRING, "Reason for programs, for example `truncated`.", "media.errors.ReasonCode"),
    _required("permanent", _BOOL, "True: only another upload helps. False: a retry may.", "ingest"),
    _required("message", _STRING, "Reason for people; says what to do next.", "ingest"),
    Column("tool_version", _STRING, "What judged the bytes, with version. Null: nothing read them.", "ingest"),
    _required("attempts", _INT, "How often this version of the upload was tried.", "ledger"),
    _required("first_seen_at", _UTC, "First rejection of a file under this key since it was last accepted.", "ledger"),
    _required("last_seen_at", _UTC, "Latest rejection.", "ledger"),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table("files", "One row per accepted media file.", ("media_id",), _FILES),
        Table("metadata", "One row per accepted media file: what the file says of itself.", ("media_id",), _METADATA),
        Table(
            "renditions",
            "One row per rendition of a media file.",
            ("media_id", "kind", "format"),
            _RENDITIONS,
            split=("asset", "thumbnails"),
        ),
        Table(
            "appearance",
            "One row per accepted media file: how it looks. Of videos: the poster.",
            ("media_id",),
            _APPEARANCE,
        ),
        Table(
            "embeddings", "One row per picture, or per analysed frame of a video.", ("media_id", "frame_s"), _EMBEDDINGS
        ),
        Table("objects", "One row per object that was found.", ("media_id", "frame_s", "object_index"), _OBJECTS),
        Table("faces", "One row per face that was found.", ("media_id", "frame_s", "face_index"), _FACES),
        Table("scenes", "One row per label of a picture or frame.", ("media_id", "frame_s", "rank"), _SCENES),
        Table("texts", "One row per line of text that was read.", ("media_id", "frame_s", "text_index"), _TEXTS_READ),
        Table("safety", "One row per category and picture or frame.", ("media_id", "frame_s", "category"), _SAFETY),
        Table(
            "people",
            "One row per face of an owner who consented to recognition, if it belongs to somebody.",
            ("media_id", "frame_s", "face_index"),
            _PEOPLE,
        ),
        Table("near_duplicates", "One row per file that has near-duplicates.", ("media_id",), _NEAR_DUPLICATES),
        Table("rejected", "One row per media file whose present upload is rejected.", ("media_id",), _REJECTED),
    )
}
"""Every table of the library by name, in the order of the data dictionary."""


def table_named(name: str) -> Table:
    """Look a table up.

    Raises:
        CatalogError: There is no such table.
    """
    try:
        return TABLES[name]
    except KeyError:
        raise CatalogError(f"There is no table {name!r}. Use one of: {', '.join(TABLES)}.") from None


def rows_to_table(table: Table, rows: Sequence[Mapping[str, object]]) -> pa.Table:
    """Turn rows into an Arrow table of exactly the table's schema.

    A column that a row lacks is null. "", an empty list and numbers that are not finite are stored as null too:
    missing has one form only.

    Args:
        table: The table they belong to.
        rows: Column name to value. Timestamps in UTC columns are aware, local ones naive.

    Returns:
        As many rows as came in, in their order.

    Raises:
        CatalogError: A column is unknown, a required one is null, or a value is of another type.
    """
    known = {column.name for column in table.columns}
    unknown = sorted({name for row in rows for name in row} - known)
    if unknown:
        raise CatalogError(
            f"Table {table.name} has no column {unknown[0]!r}. Declare it in storage/schemas.py or do not write it."
        )
    arrays = [_array(table, column, [_cell(row.get(column.name)) for row in rows]) for column in table.columns]
    return pa.Table.from_arrays(arrays, schema=table.schema)


def _cell(value: object) -> object:
    """Give missing its one form."""
    empty = value in ("", (), []) if isinstance(value, str | tuple | list) else False
    return None if empty or (isinstance(value, float) and not math.isfinite(value)) else value


def _array(table: Table, column: Column, values: list[object]) -> "pa.Array[pa.Scalar[pa.DataType]]":
    where = f"Column {table.name}.{column.name}"
    accepts = _ACCEPTS.get(column.type)
    for value in values:
        if value is None and not column.nullable:
            raise CatalogError(f"{where} must not be null. Give a value in every row.")
        # Arrow alone would cut 1.5 to 1, read naive times as UTC and split a string into a list of letters.
        if value is not None and accepts is not None and not accepts(value):
            raise CatalogError(f"{where} is {column.type}, got {type(value).__name__}. Convert the value first.")
    try:
        return pa.array(values, type=column.type)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError, TypeError, ValueError) as error:
        raise CatalogError(f"{where} is {column.type}: {error}. Correct the value before it is written.") from error


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_strings(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


_ACCEPTS: dict[pa.DataType, Callable[[object], bool]] = {
    _STRING: lambda value: isinstance(value, str),
    _INT: _is_int,
    _FLOAT: lambda value: _is_int(value) or isinstance(value, float),
    _BOOL: lambda value: isinstance(value, bool),
    _UTC: lambda value: isinstance(value, datetime) and value.tzinfo is not None,
    _LOCAL: lambda value: isinstance(value, datetime) and value.tzinfo is None,
    _STRINGS: _is_strings,
    _HASH: _is_int,
}
