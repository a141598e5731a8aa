"""One search, from request to answer: which ranking is used, and what is told about it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from media_assets.models.errors import ModelError
from media_assets.models.loading import load_model
from media_assets.models.registry import ModelSpec
from media_assets.pipeline.analysis_recipe import chosen, places_of
from media_assets.pipeline.library import Library
from media_assets.pipeline.search.catalog_rows import CatalogRows, PlaceName
from media_assets.pipeline.search.label_names import other_names
from media_assets.pipeline.search.likeness import rank_by_vectors
from media_assets.pipeline.search.query_picture import read_query_picture
from media_assets.pipeline.search.records import (
    BadRequestError,
    Filters,
    Hit,
    Ranked,
    Reason,
    SearchAnswer,
    SearchError,
    SearchRequest,
)
from media_assets.pipeline.search.text_search import TextRanking, place_names, rank_by_words, terms_of
from media_assets.pipeline.search.words import is_match, tokens
from media_assets.storage.vector_index import VectorIndex

INDEX_FOLDER = "search-index"
_RRF_K = 60  # Cormack, Clarke and Buettcher 2009
_FUSED = 200  # vectors' best that are merged with what words found

Tell = Callable[[str], None]


def search(library: Library, request: SearchRequest, tell: Tell = lambda message: None) -> SearchAnswer:
    """Search a library.

    Args:
        library: The library; what is compacted is searched.
        request: What is asked.
        tell: Receives what people who wait should know.

    Raises:
        SearchError: It cannot be done; the message says what to do.
        ModelError: A model that is needed cannot be used.
        StorageError: The catalog cannot be read, or the index not be written.
    """
    catalog = CatalogRows(library.store, library.settings.state_dir / "query-cache")
    try:
        return _Search(library, request, catalog, tell).answer()
    finally:
        catalog.close()


class _Search:
    """The state of one search."""

    def __init__(self, library: Library, request: SearchRequest, catalog: CatalogRows, tell: Tell) -> None:
        self._library = library
        self._request = request
        self._tell = tell
        self._catalog = catalog
        self._notes: list[str] = []

    def answer(self) -> SearchAnswer:
        """Choose the ranking by what was asked."""
        if not self._catalog.sizes["files"]:
            raise SearchError(
                "The library has no files yet. Process some: media-assets process PATH --library "
                f"{self._library.settings.library_url}"
            )
        labelled = self._with_labels()
        allowed = self._allowed(labelled)
        if self._request.like is not None:
            return self._by_likeness(allowed)
        if self._request.text is not None:
            return self._by_text(self._request.text, allowed)
        return self._by_time(allowed, labelled or {})

    # ------------------------------------------------------------ filters

    def _allowed(self, labelled: dict[str, tuple[Reason, ...]] | None) -> set[str] | None:
        """Return the files that meet the filters; ``None`` when there is none of them."""
        filters = self._request.filters
        if replace(filters, labels=()) == Filters():
            return None if labelled is None else set(labelled)
        places = None if filters.place is None else self._places(filters.place)
        allowed = self._catalog.allowed(filters, places)
        return allowed if labelled is None else allowed & set(labelled)

    def _places(self, name: str) -> list[PlaceName]:
        """Return the places that have every word of a name among those of city, region and country, or that code."""
        words = tokens(name)
        found = []
        for place in self._catalog.places:
            parts = [part for own in place_names(place) for part in tokens(own)]
            is_code = (place.country_code or "").casefold() == name.strip().casefold()
            if is_code or (words and all(any(is_match(word, part) for part in parts) for word in words)):
                found.append(place)
        if not found:
            self._notes.append(f"No file was captured at a place called {name!r}.")
        return found

    def _with_labels(self) -> dict[str, tuple[Reason, ...]] | None:
        """Return the files that have all labels of the filters, with what was found; ``None`` without such a filter."""
        found: dict[str, tuple[Reason, ...]] | None = None
        for label in self._request.filters.labels:
            best = self._with_label(label)
            if found is None:
                found = {media_id: (reason,) for media_id, reason in best.items()}
            else:
                found = {one: (*reasons, best[one]) for one, reasons in found.items() if one in best}
        return found

    def _with_label(self, label: str) -> dict[str, Reason]:
        """Return the surest object or scene of that name in each file. The whole name counts, not one word of it."""
        wanted = [pair for pair in self._catalog.labels if _is_called(*pair, label)]
        if not wanted:
            self._notes.append(f"No object and no scene is called {label!r}.")
            return {}
        objects, scenes = ([name for field, name in wanted if field == kind] for kind in ("object", "scene"))
        best: dict[str, Reason] = {}
        for row in self._catalog.labelled(objects, scenes):
            before = best.get(row["media_id"])
            if before is None or row["score"] > (before.score or 0):
                best[row["media_id"]] = Reason(row["field"], row["value"], row["score"], row["frame_s"])
        return best

    # ------------------------------------------------------------ by time

    def _by_time(self, allowed: set[str] | None, labelled: dict[str, tuple[Reason, ...]]) -> SearchAnswer:
        newest = [one for one in self._catalog.newest() if allowed is None or one in allowed]
        ranked = [Ranked(media_id, None, labelled.get(media_id, ())) for media_id in newest]
        return SearchAnswer(self._hits(ranked), len(ranked), "time", notes=tuple(self._notes))

    # ------------------------------------------------------------ by words

    def _by_text(self, text: str, allowed: set[str] | None) -> SearchAnswer:
        by_words = self._words(text, allowed)
        embedded = self._embedded_text(text)
        if embedded is not None:
            return self._fused(by_words, *embedded, allowed)
        matched: Literal["all", "any"] = "all" if by_words.is_all else "any"
        ranked = by_words.ranked
        return SearchAnswer(self._hits(ranked), len(ranked), "words", matched if ranked else None, None, self._said())

    def _words(self, text: str, allowed: set[str] | None) -> TextRanking:
        terms = terms_of(text)
        if not terms:
            raise BadRequestError(f"There is no word in {text!r}. Search for words, a date, or --like a picture.")
        ranking = rank_by_words(self._catalog, terms, allowed)
        if len(terms) > 1 and ranking.ranked and not ranking.is_all:
            self._notes.append("No file matches all words; these match some of them.")
        sizes = self._catalog.sizes
        unseen = [table for table in ("objects", "scenes") if not sizes[table]]
        if len(unseen) == 2:
            self._notes.append(
                "No picture has been analysed yet, so only names, metadata, places and dates were searched. Analyse: "
                "media-assets reprocess --asset objects --asset scenes --asset texts --stale"
            )
        return ranking

    def _embedded_text(self, text: str) -> tuple[VectorIndex, NDArray[np.float32]] | None:
        """Return the vectors of the library and that of a text; ``None`` when no model of both is chosen or works."""
        settings = self._library.settings
        spec = chosen(settings, "embeddings")
        if spec is None or spec.tier != "hub":  # no model of the other tiers reads text
            return None
        index = self._index(spec)
        if not len(index):
            self._notes.append(f"Only words were compared: {self._without_vectors(spec)}")
            return None
        try:
            model = load_model(spec.name, places_of(settings))
            if not hasattr(model, "embed_texts"):
                return None
            return index, np.asarray(model.embed_texts([text]), np.float32)
        except ModelError as error:
            self._notes.append(f"Only words were compared: {error}")
            return None

    def _fused(
        self, by_words: TextRanking, index: VectorIndex, vector: NDArray[np.float32], allowed: set[str] | None
    ) -> SearchAnswer:
        """Merge by reciprocal ranks: a file has the sum of 1 / (60 + rank) over the rankings that have it."""
        most = max(_FUSED, self._request.limit)
        by_look, used = rank_by_vectors(index, vector, limit=most, allowed=allowed, how=self._request.index)
        scores: dict[str, float] = {}
        reasons: dict[str, tuple[Reason, ...]] = {}
        for ranking in (by_words.ranked, by_look):
            for rank, one in enumerate(ranking, 1):
                scores[one.media_id] = scores.get(one.media_id, 0.0) + 1 / (_RRF_K + rank)
                reasons[one.media_id] = (*reasons.get(one.media_id, ()), *one.reasons)
        ranked = [
            Ranked(one, score, reasons[one])
            for one, score in sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
        ]
        matched: Literal["all", "any"] = "all" if by_words.is_all else "any"
        return SearchAnswer(
            self._hits(ranked),
            None,  # every picture is more or less like a text
            "words and likeness",
            matched if by_words.ranked else None,
            used,
            self._said(),
        )

    # ------------------------------------------------------------ by likeness

    def _by_likeness(self, allowed: set[str] | None) -> SearchAnswer:
        settings, like = self._library.settings, self._request.like
        spec = chosen(settings, "embeddings")
        if spec is None:
            raise SearchError("The setting embeddings_model is none. Choose a model: media-assets models list")
        matched: Literal["all", "any"] | None = None
        said: dict[str, tuple[Reason, ...]] = {}
        if self._request.text is not None:
            by_words = self._words(self._request.text, allowed)
            said = {one.media_id: one.reasons for one in by_words.ranked}
            allowed = set(said)
            matched = None if not allowed else "all" if by_words.is_all else "any"
        index = self._index(spec)
        if not len(index):
            raise SearchError(self._without_vectors(spec))
        if isinstance(like, Path):
            picture = read_query_picture(self._library, like, self._tell)
            queries, phash = picture.vectors, picture.phash
        else:
            queries = self._vectors_of(str(like), index, spec)
            phash = self._catalog.hashes([str(like)]).get(str(like))
        without = None if isinstance(like, Path) else str(like)
        ranked, used = rank_by_vectors(
            index, queries, limit=self._request.limit, allowed=allowed, without=without, how=self._request.index
        )
        ranked = self._with_hashes(phash, ranked)
        ranked = [replace(one, reasons=(*one.reasons, *said.get(one.media_id, ()))) for one in ranked]
        return SearchAnswer(self._hits(ranked), None, "likeness", matched, used, self._said())

    def _vectors_of(self, media_id: str, index: VectorIndex, spec: ModelSpec) -> NDArray[np.float32]:
        if media_id not in self._catalog.details([media_id]):
            raise BadRequestError(f"{media_id!r} is no file of this machine, and no media id of this library.")
        vectors = index.vectors_of(media_id)
        if not len(vectors):
            raise SearchError(
                f"{media_id} has no vector of model {spec.version}. Make it: media-assets reprocess --asset embeddings "
                "--stale"
            )
        return vectors

    def _with_hashes(self, own: int | None, ranked: list[Ranked]) -> list[Ranked]:
        """Add how many bits of the perceptual hashes differ, where both pictures have one."""
        if own is None:
            return ranked
        hashes = self._catalog.hashes([one.media_id for one in ranked])
        told = []
        for one in ranked:
            other = hashes.get(one.media_id)
            if other is None:
                told.append(one)
                continue
            bits = (own ^ other).bit_count()
            told.append(replace(one, reasons=(*one.reasons, Reason("phash", f"{bits} of 64 bits differ", float(bits)))))
        return told

    # ------------------------------------------------------------ vectors, and what is shown

    def _index(self, spec: ModelSpec) -> VectorIndex:
        library = self._library
        return VectorIndex(library.store, spec.version, library.settings.state_dir / INDEX_FOLDER, self._tell)

    def _without_vectors(self, spec: ModelSpec) -> str:
        """Why there is nothing to compare, and what to do."""
        others = [name for name in self._catalog.embedding_models() if name != spec.version]
        if others:
            return (
                f"The vectors of this library are of model {others[0]}, and the settings choose {spec.version}. Set "
                "MEDIA_ASSETS_EMBEDDINGS_MODEL, or make them: media-assets reprocess --asset embeddings --stale"
            )
        return (
            f"No picture has a vector of model {spec.version} yet. Make them: media-assets process PATH, or for files "
            "that the library has: media-assets reprocess --asset embeddings --stale"
        )

    def _said(self) -> tuple[str, ...]:
        return tuple(self._notes)

    def _hits(self, ranked: Sequence[Ranked]) -> tuple[Hit, ...]:
        shown = ranked[: self._request.limit]
        details = self._catalog.details([one.media_id for one in shown])
        return tuple(
            Hit(
                rank=rank,
                score=one.score,
                media_id=one.media_id,
                owner=details[one.media_id]["owner"],
                file_name=details[one.media_id]["file_name"],
                media_type=details[one.media_id]["media_type"],
                captured_at=details[one.media_id]["captured_at"],
                preview=details[one.media_id]["preview"],
                reasons=one.reasons,
            )
            for rank, one in enumerate((one for one in shown if one.media_id in details), 1)
        )


def _is_called(field: str, label: str, name: str) -> bool:
    """Return whether a label, or another name of it, is the given one, apart from case and plural."""
    wanted = tokens(name)
    for own in (label, *other_names(field, label)):
        parts = tokens(own)
        if len(parts) == len(wanted) and all(map(is_match, wanted, parts)):
            return bool(wanted)
    return False
