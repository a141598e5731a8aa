"""Columns of table `shareable`: which files have a copy that may leave the library, and what was covered in it."""

import pyarrow as pa

from media_assets.storage.columns import BOOL, FLOAT, HASH, INT, STRING, STRINGS, Column, common, required

COVERS = pa.list_(
    pa.struct(
        [
            pa.field("kind", pa.string()),
            pa.field("source", pa.string()),
            pa.field("polygon", pa.list_(pa.list_(pa.float64()))),
        ]
    )
)

SHAREABLE = (
    *common(),
    required(
        "state",
        STRING,
        "`published`: the copy is stored below `shareable/`. `held`: one was made, its proof failed, and it was thrown "
        "away. `withheld`: none was made.",
        "protect",
    ),
    Column("reason", STRING, "Why there is no copy, as a code. Null: there is one.", "protect"),
    Column("path", STRING, "Key of the copy; neither name nor folder tell of the original. Null: none.", "protect"),
    Column("format", STRING, "Format of the copy: `jpeg`, `png` or `mp4`. Null: none was made.", "protect"),
    Column("mime_type", STRING, "MIME type of the copy. Null: none was made.", "protect"),
    Column("width_px", INT, "Width of the copy. Null: none was made.", "protect", "px"),
    Column("height_px", INT, "Height of the copy. Null: none was made.", "protect", "px"),
    Column("duration_s", FLOAT, "Length of the copy. Null: a picture, or none was made.", "protect", "s"),
    Column("size_bytes", INT, "Length of the copy. Null: none was made.", "protect", "bytes"),
    Column("sha256", STRING, "SHA-256 of the copy, 64 hex digits. Null: none was made.", "protect"),
    Column("phash", HASH, "DCT hash of the copy, as in `appearance`. Null: none was made.", "perceptual_hash"),
    Column(
        "phash_distance",
        INT,
        "Different bits of the hashes of copy and original, 0-64. Null: one of them has none.",
        "Hamming distance",
        "bits",
    ),
    Column("style", STRING, "How was covered: `solid`, `pixelate` or `blur` (weak).", "setting share_style"),
    Column("faces_covered", INT, "Covers over faces; of videos: faces that were followed.", "protect"),
    Column("texts_covered", INT, "Covers over texts that identify: addresses, numbers, plates.", "protect"),
    Column("faces_left", INT, "Faces that the last proof still saw: 0 in all that is published.", "protect"),
    Column("tags_left", INT, "Tags beside the allowed ones that reading the copy found: 0 likewise.", "protect"),
    Column("rounds", INT, "How often the copy was searched: 1 when nothing was left at once.", "protect"),
    Column("verified_with", STRINGS, "Detectors of the proof, with revisions.", "model registry"),
    Column(
        "covers",
        COVERS,
        "Covers of a picture: `kind` (`face` or `text`), `source` (who found it) and `polygon`, points [x, y] in px of "
        "the copy. Null: none, or a video, in which they move.",
        "protect",
    ),
    Column("has_audio", BOOL, "Whether the copy has sound. Null: none was made.", "setting share_keep_audio"),
    Column(
        "location_level",
        STRING,
        "How exactly the columns below tell where it was taken: `exact`, `city`, `country` or `none`.",
        "setting share_location",
    ),
    Column("latitude_deg", FLOAT, "Latitude, rounded as `location_level` says. Null: withheld.", "protect", "deg"),
    Column("longitude_deg", FLOAT, "Longitude, rounded likewise. Null: withheld.", "protect", "deg"),
    Column("place_city", STRING, "Nearest city. Null: withheld or unknown.", "metadata"),
    Column("place_country_code", STRING, "ISO 3166-1 alpha-2. Null: withheld or unknown.", "metadata"),
)
