"""The error tree of the media layer.

    MediaError
    ├── ContentError        the file itself is bad: permanent until it is replaced
    └── ScratchError        renditions could not be written: no fault of the file, retried

Infrastructure errors (storage, network, memory of the run) live in ``storage.errors``. A content error is never
raised out of a batch: it becomes a row of table ``rejected`` (DESIGN.md section 5).
"""

from enum import StrEnum


class ReasonCode(StrEnum):
    """Why a file was rejected; the values of column ``rejected.reason_code``."""

    EMPTY_FILE = "empty_file"
    UNSUPPORTED_TYPE = "unsupported_type"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    NO_PICTURE = "no_picture"
    TOO_MANY_BYTES = "too_many_bytes"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_FRAMES = "too_many_frames"
    TOO_MANY_STREAMS = "too_many_streams"
    TOO_LONG = "too_long"
    DECODER_CRASHED = "decoder_crashed"
    DECODER_TIMEOUT = "decoder_timeout"
    DECODER_MEMORY = "decoder_memory"
    NAME_NOT_UTF8 = "name_not_utf8"
    NAME_TOO_LONG = "name_too_long"
    SYMLINK_OUTSIDE_INBOX = "symlink_outside_inbox"
    SYMLINK_BROKEN = "symlink_broken"
    SYMLINK_LOOP = "symlink_loop"
    SYMLINK_TO_FOLDER = "symlink_to_folder"
    NOT_A_FILE = "not_a_file"
    RUN_KILLED = "run_killed"


DECODER_DEATHS = frozenset({ReasonCode.DECODER_CRASHED, ReasonCode.DECODER_TIMEOUT, ReasonCode.DECODER_MEMORY})
"""Reasons that only say what became of the process, not what it was doing."""

CIRCUMSTANTIAL = DECODER_DEATHS | {
    ReasonCode.RUN_KILLED,
    ReasonCode.TOO_MANY_BYTES,
    ReasonCode.TOO_MANY_PIXELS,
    ReasonCode.TOO_MANY_FRAMES,
    ReasonCode.TOO_MANY_STREAMS,
    ReasonCode.TOO_LONG,
}
"""Reasons that depend on the machine, on limits of the settings or on the version of a decoder: a retry may help."""


class MediaError(Exception):
    """Root of the errors that the media layer raises."""


class ScratchError(MediaError):
    """The scratch folder could not take a rendition, for want of space most likely. No fault of the file."""


class ContentError(MediaError):
    """The file itself is bad. Permanent until it is replaced by another upload.

    Attributes:
        reason: Machine-readable reason, a member of :class:`ReasonCode`.
        message: One sentence for people; ends with what to do next. Never contains a path of the machine.
        stage: Where it was found: ``inbox``, ``sniff``, ``decode``, ``metadata``, ``render`` or ``ingest``.
    """

    def __init__(self, reason: ReasonCode, message: str, stage: str) -> None:
        super().__init__(reason, message, stage)
        self.reason = reason
        self.message = message
        self.stage = stage

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"
