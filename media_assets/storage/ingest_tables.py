"""Columns of the tables that op `ingest` fills: files, metadata, renditions, appearance, rejected."""

from media_assets.storage.columns import (
    BOOL,
    COLORS,
    FLOAT,
    HASH,
    INT,
    LOCAL_TIME,
    STRING,
    STRINGS,
    UTC_TIME,
    Column,
    common,
    required,
)

FILES = (
    *common(),
    required("source_key", STRING, "Key of the upload below the inbox root.", "inbox"),
    required("file_name", STRING, "Last segment of `source_key`, as the uploader wrote it.", "inbox"),
    required("sha256", STRING, "SHA-256 of the file, 64 hex digits.", "bytes of the upload"),
    required("size_bytes", INT, "Length of the file.", "bytes of the upload", "bytes"),
    required("media_type", STRING, "`image` or `video`.", "file content"),
    required("mime_type", STRING, "MIME type, by content and not by extension.", "file content"),
    required("format", STRING, "Short name of the format: `jpeg`, `heic`, `mp4` and so on.", "file content"),
    required("width_px", INT, "Width of the upright picture.", "decoder", "px"),
    required("height_px", INT, "Height of the upright picture.", "decoder", "px"),
    Column("orientation", INT, "Orientation as stored, 1-8. Null: absent or out of range.", "EXIF Orientation"),
    Column("duration_s", FLOAT, "Length of a video or an animation. Null: a still, or unknown.", "container", "s"),
    Column("frame_count", INT, "Frames or pages, where the container tells. Null: it does not.", "container"),
    Column("duplicate_of", STRING, "`media_id` that brought the same bytes of the same owner first.", "ledger"),
    required("original_path", STRING, "Key of the stored original in the library.", "object store"),
    required("received_at", UTC_TIME, "When the upload was received.", "inbox"),
    Column(
        "etag",
        STRING,
        "Version of the upload as the inbox names it; `media-assets rebuild` knows uploads by it. Null: written before "
        "the column was there, or from the stored original when the inbox showed another version.",
        "inbox",
    ),
    required("status", STRING, "`accepted`. Rejected files are in table `rejected` only.", "ingest"),
)

_POSITION = "sidecar, EXIF GPS, container (ISO 6709), XMP, Takeout"
_TEXTS = "sidecar, XMP, IPTC, EXIF, container, Takeout"

METADATA = (
    *common(),
    Column(
        "captured_at",
        UTC_TIME,
        "Capture time. Null: unknown, or its UTC offset is unknown.",
        "EXIF, XMP, IPTC, container, sidecar, Takeout, file name; `captured_at_source` tells which",
    ),
    Column(
        "captured_at_local",
        LOCAL_TIME,
        "Wall time as written, no zone. Videos that store UTC only: the UTC time, with `utc_offset_minutes` 0.",
        "as `captured_at`",
    ),
    Column(
        "utc_offset_minutes",
        INT,
        "Offset of the wall time from UTC, east positive.",
        "EXIF OffsetTime*, zone of the time's own tag, GPS time, time zone of the position",
        "min",
    ),
    Column(
        "captured_at_source",
        STRING,
        "Which tag gave the time, as `exif:DateTimeOriginal`; behind a plus what gave its offset, if another one did.",
        "metadata reader",
    ),
    Column("camera_make", STRING, "Maker of the camera.", "EXIF Make, container, XMP"),
    Column("camera_model", STRING, "Model of the camera.", "EXIF Model, container, XMP"),
    Column("lens_make", STRING, "Maker of the lens.", "EXIF LensMake, XMP"),
    Column("lens_model", STRING, "Model of the lens.", "EXIF LensModel, XMP"),
    Column("software", STRING, "Software or firmware that wrote the file.", "EXIF Software, container, XMP"),
    Column("iso", INT, "ISO speed.", "EXIF PhotographicSensitivity"),
    Column("f_number", FLOAT, "Aperture, the N of f/N.", "EXIF FNumber"),
    Column("exposure_time_s", FLOAT, "Exposure time.", "EXIF ExposureTime", "s"),
    Column("focal_length_mm", FLOAT, "Focal length of the lens.", "EXIF FocalLength", "mm"),
    Column("focal_length_35mm_mm", FLOAT, "Focal length for 35 mm film.", "EXIF FocalLengthIn35mmFilm", "mm"),
    Column("flash_fired", BOOL, "Whether the flash fired.", "EXIF Flash, bit 0"),
    Column("white_balance", STRING, "White balance mode.", "EXIF WhiteBalance"),
    Column("metering_mode", STRING, "Metering mode.", "EXIF MeteringMode"),
    Column("exposure_program", STRING, "Exposure program.", "EXIF ExposureProgram"),
    Column("latitude_deg", FLOAT, "Latitude, WGS 84, north positive.", _POSITION, "deg"),
    Column("longitude_deg", FLOAT, "Longitude, WGS 84, east positive.", _POSITION, "deg"),
    Column("altitude_m", FLOAT, "Altitude, above sea level positive.", _POSITION, "m"),
    Column("gps_at", UTC_TIME, "Time of the position fix.", "EXIF GPSDateStamp, GPSTimeStamp, XMP"),
    Column("timezone", STRING, "IANA time zone of the place of capture.", "position, timezone-boundary-builder"),
    Column(
        "place_city",
        STRING,
        "Nearest populated place of the country, at most 50 km away; in large cities it can be a district. "
        "Null: none is near, or no position.",
        "position, GeoNames",
    ),
    Column("place_region", STRING, "State, region or canton of that place.", "position, GeoNames"),
    Column(
        "place_country_code",
        STRING,
        "Country of capture, ISO 3166-1 alpha-2 (`XK`: Kosovo), territorial waters included. Null: the open sea, or no "
        "position.",
        "position, timezone-boundary-builder",
    ),
    Column("title", STRING, "Title.", f"{_TEXTS} (dc:title, 2:05, XPTitle)"),
    Column("description", STRING, "Description or caption.", f"{_TEXTS} (dc:description, 2:120, ImageDescription)"),
    Column("keywords", STRINGS, "Keywords, each once.", f"{_TEXTS} (dc:subject, 2:25, XPKeywords)"),
    Column("rating", INT, "Rating, 0-5; -1 is rejected by the photographer.", f"{_TEXTS} (xmp:Rating, Rating)"),
    Column("creator", STRING, "Who made the picture.", f"{_TEXTS} (dc:creator, 2:80, Artist)"),
    Column("copyright", STRING, "Copyright notice.", f"{_TEXTS} (dc:rights, 2:116, Copyright)"),
    Column("color_space", STRING, "Colour space or model of the pixels.", "EXIF ColorSpace, decoder"),
    Column("has_icc_profile", BOOL, "Whether an ICC profile is embedded.", "file content"),
    Column("icc_profile_name", STRING, "Description of the embedded ICC profile.", "ICC profileDescriptionTag"),
    Column("bit_depth", INT, "Bits per channel as stored.", "file content", "bits"),
    Column("has_alpha", BOOL, "Whether the picture has transparency.", "file content"),
    Column("is_animated", BOOL, "Whether an image file has more than one frame over time.", "file content"),
    Column(
        "live_photo_id",
        STRING,
        "Identifier that the two files of an Apple live photo share.",
        "Apple MakerNote, QuickTime com.apple.quicktime.content.identifier",
    ),
    Column("is_motion_photo", BOOL, "Whether a clip is embedded in the photo.", "XMP GCamera:MotionPhoto, MicroVideo"),
    Column(
        "pair_media_id",
        STRING,
        "`media_id` of the other file of the same shot: photo and clip of a live or motion photo, RAW and JPEG. Both "
        "name each other. Of three (RAW, JPEG, clip), the JPEG and the clip do, and the RAW names the JPEG. Written "
        "again without a new materialization when the other file comes later.",
        "`live_photo_id`, else folder, stem, format, `duration_s` and capture time",
    ),
    Column("container", STRING, "Container of a video.", "FFmpeg demuxer"),
    Column("video_codec", STRING, "Codec of the video stream.", "FFmpeg"),
    Column("audio_codec", STRING, "Codec of the first audio stream. Null: a still, or no audio.", "FFmpeg"),
    Column("frame_rate_fps", FLOAT, "Average frame rate.", "container", "frames/s"),
    Column("bit_rate_bps", INT, "Bit rate of the whole file.", "container", "bit/s"),
    Column("rotation_deg", INT, "Clockwise turn that makes frames upright: 0, 90, 180, 270.", "display matrix", "deg"),
    Column("pixel_format", STRING, "Pixel format of the video stream.", "FFmpeg"),
    Column("color_transfer", STRING, "Transfer characteristics of the video stream.", "FFmpeg, ITU-T H.273"),
    Column("audio_channels", INT, "Channels of the first audio stream.", "FFmpeg"),
    Column("sample_rate_hz", INT, "Sample rate of the first audio stream.", "FFmpeg", "Hz"),
    Column("tags_json", STRING, "All other tags: one JSON object, names with their group and values as text.", "all"),
    Column("warnings", STRINGS, "Recoverable oddities of the file, for people. Null: none.", "ingest"),
)

RENDITIONS = (
    *common(),
    required(
        "kind",
        STRING,
        "`thumb_150`, `thumb_300`, `thumb_600`, `thumb_1200`, `preview` (of videos: of the poster); `optimized`, one "
        "row per format; of videos `storyboard`, `animated_preview`, `clip`, and `frame_01` to `frame_16`, which are "
        "analysed.",
        "ingest",
    ),
    required("path", STRING, "Key of the rendition in the library.", "object store"),
    Column("public_url", STRING, "Lasting address for browsers. Null: the library has none.", "configuration"),
    required("format", STRING, "Short name of the format.", "encoder"),
    required("width_px", INT, "Width of the rendition.", "encoder", "px"),
    required("height_px", INT, "Height of the rendition.", "encoder", "px"),
    required("size_bytes", INT, "Length of the rendition.", "encoder", "bytes"),
    Column("crop_x_px", INT, "Left edge of the crop in the upright original. Null: all is shown.", "cropper", "px"),
    Column("crop_y_px", INT, "Top edge of the crop in the upright original. Null: all is shown.", "cropper", "px"),
    Column("crop_width_px", INT, "Width of the crop in the upright original. Null: all is shown.", "cropper", "px"),
    Column("crop_height_px", INT, "Height of the crop in the upright original. Null: all is shown.", "cropper", "px"),
    required("crop_reason", STRING, "`faces`, `entropy`, `center`, or `none`: not cropped.", "cropper"),
    Column("ssim", FLOAT, "Structural similarity to the original at the same size, 0-1. Null: not measured.", "SSIM"),
    Column("asset", STRING, "Asset that made it: `thumbnails` or `optimized`. Null: `thumbnails`.", "ingest"),
    Column("quality", INT, "Quality that the encoder was told, on its own scale. Null: there is none.", "encoder"),
    Column("thumbhash", STRING, "ThumbHash of what is shown, base64: a placeholder while pictures load.", "thumbnails"),
    Column("duration_s", FLOAT, "Length of a clip or animation. Null: a still.", "encoder", "s"),
    Column("frame_s", FLOAT, "Time of an analysed frame in the video. Null: of other kinds.", "frame sampler", "s"),
)

APPEARANCE = (
    *common(),
    Column(
        "dominant_colors",
        COLORS,
        "Up to five colours, the largest share first: `rgb_hex` as `#rrggbb` (sRGB), `share` of the pixels 0-1.",
        "k-means in CIELAB",
    ),
    Column("brightness", FLOAT, "Mean lightness, 0 black to 1 white.", "CIELAB L*"),
    Column("saturation", FLOAT, "Mean saturation, 0 grey to 1.", "HSV"),
    Column("color_temperature", FLOAT, "Correlated colour temperature of the mean colour.", "McCamy 1992", "K"),
    Column("blur_score", FLOAT, "How blurred the picture is, 0 sharp to 1.", "media.appearance"),
    Column("noise_score", FLOAT, "How noisy the picture is, 0 clean to 1.", "media.appearance"),
    Column("contrast", FLOAT, "Contrast of the lightness, 0 flat to 1.", "media.appearance"),
    Column("exposure", FLOAT, "Exposure, -1 too dark to 1 too light, 0 balanced.", "media.appearance"),
    Column("quality_score", FLOAT, "One number, 0-1, from blur, noise, contrast and exposure.", "media.appearance"),
    Column("phash", HASH, "Perceptual hash (DCT, 64 bits); compare by Hamming distance.", "media.perceptual_hash"),
    Column("dhash", HASH, "Difference hash (64 bits); compare by Hamming distance.", "media.perceptual_hash"),
)

REJECTED = (
    *common(input_always_known=False),
    required("source_key", STRING, "Key of the upload below the inbox root; odd bytes are escaped.", "inbox"),
    Column("sha256", STRING, "SHA-256 of the file. Null: its bytes cannot be read.", "bytes of the upload"),
    Column("size_bytes", INT, "Length of the file. Null: unknown.", "inbox", "bytes"),
    required(
        "stage", STRING, "Where it was found: `inbox`, `sniff`, `decode`, `metadata`, `render` or `ingest`.", "ingest"
    ),
    required("reason_code", STRING, "Reason for programs, for example `truncated`.", "media.errors.ReasonCode"),
    required("permanent", BOOL, "True: only another upload helps. False: a retry may.", "ingest"),
    required("message", STRING, "Reason for people; says what to do next.", "ingest"),
    Column("tool_version", STRING, "What judged the bytes, with version. Null: nothing read them.", "ingest"),
    required("attempts", INT, "How often this version of the upload was tried.", "ledger"),
    required(
        "first_seen_at", UTC_TIME, "First rejection of a file under this key since it was last accepted.", "ledger"
    ),
    required("last_seen_at", UTC_TIME, "Latest rejection.", "ledger"),
    Column("etag", STRING, "Version of the upload as the inbox names it. Null: written before that.", "inbox"),
)
