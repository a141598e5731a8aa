"""Columns of the tables of what is seen: by op `analyze` in each file, and by the whole library in groups of them."""

import pyarrow as pa

from media_assets.storage.columns import (
    BOOL,
    FLOAT,
    INT,
    STRING,
    VECTOR,
    Column,
    common,
    required,
)

_FRAME = Column("frame_s", FLOAT, "Time of the frame in the video. Null: a picture.", "analyze", "s")


def _box(of: str) -> tuple[Column, ...]:
    return (
        required("x_min_px", FLOAT, f"Left edge of the {of} in the upright original.", "detector", "px"),
        required("y_min_px", FLOAT, f"Top edge of the {of} in the upright original.", "detector", "px"),
        required("x_max_px", FLOAT, f"Right edge of the {of} in the upright original.", "detector", "px"),
        required("y_max_px", FLOAT, f"Bottom edge of the {of} in the upright original.", "detector", "px"),
    )


_POINTS = pa.list_(pa.list_(pa.float64()))

EMBEDDINGS = (
    *common(),
    _FRAME,
    required("dim", INT, "Length of `vector`.", "model"),
    required("vector", VECTOR, "The picture as a vector of length 1; compare by cosine within a `model`.", "model"),
)

OBJECTS = (
    *common(),
    _FRAME,
    required("object_index", INT, "Number of the object in its picture or frame, from 0, surest first.", "detector"),
    required("label", STRING, "Class, as COCO names it.", "detector"),
    required("score", FLOAT, "How sure the model is, 0-1; comparable within one `model`.", "detector"),
    *_box("object"),
)

FACES = (
    *common(),
    _FRAME,
    required("face_index", INT, "Number of the face in its picture or frame, from 0, surest first.", "detector"),
    required("score", FLOAT, "How sure the model is, 0-1; comparable within one `model`.", "detector"),
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
        VECTOR,
        "Vector of the face; compare as `embedding_metric` says, within one `embedding_model`. Null: no consent to "
        "recognition, or no model.",
        "face encoder",
    ),
    Column("embedding_model", STRING, "Model of `embedding`, with revision.", "model registry"),
    Column("embedding_metric", STRING, "`euclidean` or `cosine`.", "model registry"),
    Column("face_size_px", FLOAT, "Shorter side of the box.", "detector", "px"),
    Column("face_sharpness", FLOAT, "Sharpness of the face, 0 no detail to 1.", "models.face_quality"),
    Column("face_yaw_deg", FLOAT, "Turn to the side, 0 towards the camera; an estimate.", "landmarks", "deg"),
    Column("face_pitch_deg", FLOAT, "Nod, positive upwards; an estimate.", "landmarks", "deg"),
    Column("face_roll_deg", FLOAT, "Turn in the plane of the picture, positive clockwise.", "landmarks", "deg"),
    Column("face_quality", FLOAT, "How well the face can be recognised, 0-1.", "models.face_quality"),
)

SCENES = (
    *common(),
    _FRAME,
    required("rank", INT, "1 is the likeliest label.", "classifier"),
    required("label", STRING, "Label of the whole picture.", "classifier"),
    required("score", FLOAT, "Probability over the classes of the model, 0-1.", "classifier"),
    Column("caption", STRING, "Sentence about the picture; in the row of rank 1 only.", "captioner"),
    Column(
        "caption_source",
        STRING,
        "Who wrote `caption`: a model, or `labels`: a list of the likeliest labels.",
        "model registry",
    ),
)

TEXTS_READ = (
    *common(),
    _FRAME,
    required("text_index", INT, "Number of the line in its picture or frame, from 0, in reading order.", "reader"),
    required("text", STRING, "The line as it was read.", "reader"),
    required("score", FLOAT, "How sure the model is, 0-1.", "reader"),
    *_box("line"),
    Column("polygon", _POINTS, "Corners [x, y] in px, clockwise from the reader's upper left.", "reader"),
)

SAFETY = (
    *common(),
    _FRAME,
    required("category", STRING, "What the score is about: `nsfw`.", "model"),
    required("score", FLOAT, "How likely, 0-1; a reason to look, never a certainty.", "model"),
    required("flagged", BOOL, "Whether the score reaches the threshold of review.", "setting safety_review"),
    Column("level", STRING, "`review` or `sensitive`. Null: neither.", "settings safety_review, safety_sensitive"),
)

PEOPLE = (
    *common(),
    required("person_id", STRING, "Whose face it is; the same as long as the person is, across regroupings.", "people"),
    _FRAME,
    required("face_index", INT, "Number of the face in table `faces`.", "faces"),
    *_box("face"),
    Column("name", STRING, "Name that a user gave. Null: none.", "`media-assets people name`"),
    required(
        "distance",
        FLOAT,
        "Distance to the mean of the person's faces when the row was written, as `embedding_metric` of table `faces` "
        "says.",
        "people",
    ),
    required("is_weak", BOOL, "Whether the face is too poor to start a person or to join two.", "face_quality"),
)

NEAR_DUPLICATES = (
    *common(),
    required("group_id", STRING, "Group of files that show the same; the same as long as the group is.", "hashes"),
    required("representative_media_id", STRING, "File of the group that all others resemble.", "hashes"),
    required(
        "distance",
        INT,
        "Different bits of `phash` to the representative (mirrored: to its mirror image), 0-64.",
        "Hamming distance",
        "bits",
    ),
    Column(
        "method",
        STRING,
        "What the file has in common with the representative: `sha256` (all bytes), `phash` (it looks the same), "
        "`phash+embedding` (it looks alike and shows the same) or `phash+mirror` (it is its mirror image). Null: it is "
        "the representative.",
        "near_duplicates",
    ),
)
