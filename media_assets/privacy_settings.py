"""Settings about privacy: what may be computed, shown and shared. ``Settings`` inherits them.

A leaf module, as ``settings`` is.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from pydantic_settings import BaseSettings


class ExportRole(BaseModel):
    """The most that a copy for a role tells.

    Attributes:
        privacy: How exactly it tells places.
        times: How exactly it tells times.
        k: Least number of files that share a place or a camera before it counts as common.
        suppress_rare: Whether rare places are left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    privacy: Literal["exact", "city", "country", "none"]
    times: Literal["exact", "day", "month", "year"] = "day"
    k: PositiveInt = 5
    suppress_rare: bool = False


class PrivacySettings(BaseSettings):
    """The part of the settings that is about privacy."""

    privacy_policy: Path | None = Field(
        None,
        description="TOML file that says which purposes are allowed where an owner has said nothing. Default: faces, "
        "text, location and analysis are, recognition and publication are not. See docs/consent.md.",
    )
    share: bool = Field(
        True, description="Make copies that may be shared of the files of owners who consented to publication."
    )
    share_style: Literal["solid", "pixelate", "blur"] = Field(
        "solid", description="How faces and texts are covered; `blur` is weak: it can be undone in part."
    )
    share_longest_px: PositiveInt | None = Field(
        None, description="Longest side of copies (pixels). Default: that of the original."
    )
    share_jpeg_quality: int = Field(92, ge=1, le=100, description="JPEG quality of copies.")
    share_keep_audio: bool = Field(False, description="Keep the sound of videos in their copies.")
    share_cover_texts: bool = Field(
        True,
        description="Cover texts that identify: e-mail addresses, phone, card and identity numbers, licence plates.",
    )
    share_location: Literal["exact", "city", "country", "none"] = Field(
        "none", description="How exactly table `shareable` tells where a picture was taken."
    )
    share_timeout_s: PositiveFloat = Field(
        6 * 3600.0, description="Wall-clock time for the copy of one video (seconds)."
    )
    publish_review: Literal["block", "queue", "allow"] = Field(
        "queue",
        description="What happens to the shareable copy of a file whose sensitive content is `review`: none is made "
        "(`block`), none until somebody allows it (`queue`, see `media-assets review`), or one is made (`allow`).",
    )
    publish_sensitive: Literal["block", "queue", "allow"] = Field(
        "block", description="Likewise where it is `sensitive`."
    )
    publish_unrated: Literal["block", "queue", "allow"] = Field(
        "queue",
        description="Likewise for files that are not rated, because their owners deny analysis or `safety_model` is "
        "`none`. What is still to be rated waits in any case.",
    )
    ui_previews: Literal["on", "blurred", "off"] = Field(
        "on",
        description="Pictures in Dagster's records of assets, which everybody sees who may open its UI: `on`, "
        "`blurred` (a blur of 8 pixels' detail) or `off`. It counts for what is recorded from then on.",
    )
    url_expiry_s: PositiveInt = Field(
        3600,
        le=7 * 24 * 3600,
        description="How long signed addresses of objects in a bucket work (seconds): those of galleries, `search` and "
        "`review`.",
    )
    export_roles: dict[str, ExportRole] = Field(
        {},
        description="What a copy for a role tells at most: in the file `[export_roles.NAME]` with `privacy` and, if "
        "wanted, `times` (`day`), `k` (5) and `suppress_rare` (`false`); in the environment JSON. See docs/export.md.",
    )
