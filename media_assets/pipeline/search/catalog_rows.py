"""Reads what a search needs from the catalog: SQL with bound parameters, nothing else.

What words match is decided in ``words`` and ``label_names``, how matches are ranked in ``text_search``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from media_assets.pipeline.search.records import Circle, Filters
from media_assets.storage.objects import ObjectStore
from media_assets.storage.query import CatalogQueries, run_query

# Not `embeddings`: its files are large, and the index has copies of its own.
_TABLES = ("files", "metadata", "renditions", "appearance", "objects", "scenes", "texts", "people")
_EARTH_KM = 6371.009  # mean radius

_LABELS = "SELECT DISTINCT 'object' AS field, label FROM objects UNION SELECT DISTINCT 'scene', label FROM scenes"

_PLACES = """
SELECT DISTINCT place_city AS city, place_region AS region, place_country_code AS country_code FROM metadata
WHERE place_city IS NOT NULL OR place_region IS NOT NULL OR place_country_code IS NOT NULL
"""

_SIZES = """
SELECT (SELECT count(*) FROM files) AS files,
  (SELECT avg(length(description) - length(replace(description, ' ', '')) + 1) FROM metadata) AS description,
  (SELECT avg(words) FROM (
    SELECT sum(length(text) - length(replace(text, ' ', '')) + 1) AS words
    FROM (SELECT DISTINCT media_id, text FROM texts) GROUP BY media_id)) AS text,
  (SELECT count(*) FROM objects) AS objects, (SELECT count(*) FROM scenes) AS scenes
"""

_LABELLED = """
SELECT media_id, 'object' AS field, label AS value, max(score) AS score, arg_max(frame_s, score) AS frame_s
FROM objects WHERE list_contains($objects::VARCHAR[], label) GROUP BY media_id, label
UNION ALL
SELECT media_id, 'scene', label, max(score), arg_max(frame_s, score)
FROM scenes WHERE list_contains($scenes::VARCHAR[], label) GROUP BY media_id, label
"""

# A line of text that a video shows in many frames counts once.
_WRITTEN = """
WITH lines AS (
  SELECT media_id, text, max(score) AS score, arg_max(frame_s, score) AS frame_s,
    any_value(length(text) - length(replace(text, ' ', '')) + 1) AS words
  FROM texts GROUP BY media_id, text),
counted AS (SELECT media_id, text, score, frame_s, sum(words) OVER (PARTITION BY media_id) AS words FROM lines),
named AS (SELECT media_id, unnest(keywords) AS keyword FROM metadata)
SELECT media_id, 'text' AS field, text AS value, score, frame_s, words::DOUBLE AS words
FROM counted WHERE regexp_matches(text, $pattern)
UNION ALL SELECT media_id, 'title', title, NULL, NULL, NULL FROM metadata WHERE regexp_matches(title, $pattern)
UNION ALL SELECT media_id, 'description', description, NULL, NULL,
  length(description) - length(replace(description, ' ', '')) + 1 FROM metadata
  WHERE regexp_matches(description, $pattern)
UNION ALL SELECT media_id, 'keywords', keyword, NULL, NULL, NULL FROM named WHERE regexp_matches(keyword, $pattern)
UNION ALL SELECT media_id, 'file_name', file_name, NULL, NULL, NULL FROM files
  WHERE regexp_matches(file_name, $pattern)
UNION ALL SELECT media_id, 'caption', caption, NULL, min(frame_s), NULL FROM scenes
  WHERE caption_source <> 'labels' AND regexp_matches(caption, $pattern) GROUP BY media_id, caption
UNION ALL SELECT media_id, 'person', name, NULL, min(frame_s), NULL FROM people
  WHERE regexp_matches(name, $pattern) GROUP BY media_id, name
"""

_CAPTURED = """
SELECT media_id, captured_at_local AS captured_at FROM metadata
WHERE ($month::INTEGER IS NULL OR month(captured_at_local) = $month)
  AND ($start::TIMESTAMP IS NULL OR captured_at_local >= $start)
  AND ($end::TIMESTAMP IS NULL OR captured_at_local < $end)
  AND captured_at_local IS NOT NULL
"""

_PLACE_KEY = (
    "coalesce(place_city, '') || chr(31) || coalesce(place_region, '') || chr(31) || coalesce(place_country_code, '')"
)
_AT_PLACES = (
    f"SELECT media_id, {_PLACE_KEY} AS place FROM metadata WHERE list_contains($places::VARCHAR[], {_PLACE_KEY})"  # noqa: S608 - no value is in it
)

# Haversine, as in `media.places`.
_ALLOWED = f"""
SELECT files.media_id FROM files LEFT JOIN metadata USING (media_id)
WHERE ($owner::VARCHAR IS NULL OR files.owner = $owner)
  AND ($media_type::VARCHAR IS NULL OR files.media_type = $media_type)
  AND ($start::TIMESTAMP IS NULL OR captured_at_local >= $start)
  AND ($end::TIMESTAMP IS NULL OR captured_at_local < $end)
  AND ($places::VARCHAR[] IS NULL OR list_contains($places::VARCHAR[], {_PLACE_KEY}))
  AND ($radius_km::DOUBLE IS NULL OR 2 * {_EARTH_KM} * asin(sqrt(least(1.0,
    pow(sin(radians(latitude_deg - $latitude_deg::DOUBLE) / 2), 2) + cos(radians($latitude_deg::DOUBLE))
    * cos(radians(latitude_deg)) * pow(sin(radians(longitude_deg - $longitude_deg::DOUBLE) / 2), 2)))) <= $radius_km)
"""  # noqa: S608 - no value is in it

_DETAILS = """
SELECT files.media_id, files.owner, file_name, media_type, captured_at_local AS captured_at, path AS preview
FROM files LEFT JOIN metadata USING (media_id)
LEFT JOIN (SELECT media_id, path FROM renditions WHERE kind = 'preview') AS previews USING (media_id)
WHERE list_contains($media_ids::VARCHAR[], files.media_id)
"""

_NEWEST = """
SELECT files.media_id FROM files LEFT JOIN metadata USING (media_id)
ORDER BY captured_at_local DESC NULLS LAST, file_name, files.media_id
"""

_HASHES = "SELECT media_id, phash FROM appearance WHERE list_contains($media_ids::VARCHAR[], media_id)"

_MODELS = "SELECT model, count(*) AS vectors FROM embeddings GROUP BY model ORDER BY vectors DESC, model"


@dataclass(frozen=True)
class PlaceName:
    """A place that the library knows; ``None`` where it has no such name."""

    city: str | None
    region: str | None
    country_code: str | None

    @property
    def key(self) -> str:
        """As SQL compares it."""
        return "\x1f".join(part or "" for part in (self.city, self.region, self.country_code))


class CatalogRows:
    """The catalog of a library as a search sees it. Close it after use.

    Args:
        store: The library.
        cache_dir: Folder for copies of catalog files of a store that is not local.
    """

    def __init__(self, store: ObjectStore, cache_dir: Path) -> None:
        self._store = store
        self._cache_dir = cache_dir
        self._queries = CatalogQueries(store, cache_dir, _TABLES)

    def close(self) -> None:
        """Release the connection."""
        self._queries.close()

    def _rows(self, sql: str, **parameters: object) -> list[dict[str, Any]]:
        return self._queries.run(sql, parameters or None).to_pylist()

    @cached_property
    def labels(self) -> list[tuple[str, str]]:
        """Field (``object`` or ``scene``) and label, each pair once."""
        return [(row["field"], row["label"]) for row in self._rows(_LABELS)]

    @cached_property
    def places(self) -> list[PlaceName]:
        """Every place that has files, each once."""
        return [PlaceName(**row) for row in self._rows(_PLACES)]

    @cached_property
    def sizes(self) -> Mapping[str, float | None]:
        """``files``, ``objects``, ``scenes``: how many; ``description``, ``text``: words on average."""
        return self._rows(_SIZES)[0]

    def labelled(self, objects: Sequence[str], scenes: Sequence[str]) -> list[dict[str, Any]]:
        """Return media_id, field, value, score and frame_s of files with one of these labels."""
        return self._rows(_LABELLED, objects=list(objects), scenes=list(scenes))

    def written(self, pattern: str) -> list[dict[str, Any]]:
        """Return media_id, field, value, score, frame_s and words (of the whole field) of texts with the pattern."""
        return self._rows(_WRITTEN, pattern=pattern)

    def captured(self, start: object, end: object, month: int | None) -> list[dict[str, Any]]:
        """Return media_id and captured_at of files of a time; ``None``: no condition."""
        return self._rows(_CAPTURED, start=start, end=end, month=month)

    def at_places(self, places: Sequence[PlaceName]) -> list[tuple[str, str]]:
        """Return media id and key of the place of files that were captured at one of these."""
        return [(row["media_id"], row["place"]) for row in self._rows(_AT_PLACES, places=[one.key for one in places])]

    def allowed(self, filters: Filters, places: Sequence[PlaceName] | None) -> set[str]:
        """Return the files that meet the filters but for labels; ``places`` are what ``filters.place`` names."""
        near: Circle | None = filters.near
        rows = self._rows(
            _ALLOWED,
            owner=filters.owner,
            media_type=filters.media_type,
            start=filters.since.start if filters.since else None,
            end=filters.until.end if filters.until else None,
            places=None if places is None else [one.key for one in places],
            latitude_deg=near.latitude_deg if near else None,
            longitude_deg=near.longitude_deg if near else None,
            radius_km=near.radius_km if near else None,
        )
        return {row["media_id"] for row in rows}

    def newest(self) -> list[str]:
        """Return all media ids, by time of capture, the newest first; unknown times last."""
        return [row["media_id"] for row in self._rows(_NEWEST)]

    def details(self, media_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return owner, file_name, media_type, captured_at and preview by media id."""
        return {row["media_id"]: row for row in self._rows(_DETAILS, media_ids=list(media_ids))}

    def hashes(self, media_ids: Sequence[str]) -> dict[str, int]:
        """Return the perceptual hash by media id, where there is one."""
        rows = self._rows(_HASHES, media_ids=list(media_ids))
        return {row["media_id"]: row["phash"] for row in rows if row["phash"] is not None}

    def embedding_models(self) -> dict[str, int]:
        """Return the number of vectors by model, the most first."""
        rows = run_query(self._store, _MODELS, self._cache_dir).to_pylist()
        return {row["model"]: row["vectors"] for row in rows}
