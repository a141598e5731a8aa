"""Search by words: what each word matches in the catalog, and the ranking of files by it.

The score of a file is BM25F (Robertson and Zaragoza 2009) over the fields of :data:`FIELD_WEIGHTS`::

    score(file) = sum over words w of  idf(w) * tf(w) / (1.2 + tf(w))
    idf(w)      = ln(1 + (N - n(w) + 0.5) / (n(w) + 0.5))
    tf(w)       = sum over fields f of  weight(f) * strength(w, f)

N files are in the library, and n(w) of them match w anywhere. The strength of a written field is the number of its
words that match, divided by ``1 - 0.75 + 0.75 * words / words on average`` in ``description`` and ``text``; a line that
was read counts by its score. The strength of a label is its score, that of a place, a person or a keyword 1, each times
the share of the words of the name that the query has: ``dog`` is half of ``hot dog``. A time matches or does not.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from media_assets.pipeline.search.catalog_rows import CatalogRows, PlaceName
from media_assets.pipeline.search.country_names import names_of_country
from media_assets.pipeline.search.dates import DatePhrase, dates_in
from media_assets.pipeline.search.label_names import other_names
from media_assets.pipeline.search.records import Ranked, Reason
from media_assets.pipeline.search.words import count_matches, is_match, prefilter, said_words, tokens

FIELD_WEIGHTS: dict[str, float] = {
    "title": 3.0,
    "keywords": 3.0,
    "person": 3.0,
    "object": 2.5,
    "place": 2.5,
    "captured_at": 2.5,
    "scene": 2.0,
    "description": 2.0,
    "caption": 1.5,
    "text": 1.5,
    "file_name": 1.5,
}
"""Weight of each field: what people wrote about a picture says more than a model or the name of a file."""

_K1 = 1.2
_B = 0.75
_BY_SHARE = ("keywords", "person")
_BY_LENGTH = ("description", "text")
_LABELS = ("object", "scene")
_MAX_REASONS = 4


@dataclass(frozen=True)
class Term:
    """One thing that a query asks for: a word, or a time."""

    text: str
    words: tuple[str, ...]
    when: DatePhrase | None = None


@dataclass(frozen=True)
class Match:
    """A term in a field of a file.

    Attributes:
        term: Number of the term.
        strength: See the module.
        reason: What was found.
    """

    term: int
    media_id: str
    strength: float
    reason: Reason


@dataclass(frozen=True)
class TextRanking:
    """Files by words.

    Attributes:
        ranked: Best first.
        is_all: Whether each of them has all terms; else each has one at least.
    """

    ranked: tuple[Ranked, ...]
    is_all: bool


def terms_of(text: str) -> list[Term]:
    """Return what a text asks for: times first, then words. Nothing when it has no letter and no digit."""
    dates, rest = dates_in(text)
    timed = [Term(date.text, tuple(tokens(date.text)), date) for date in dates]
    words = said_words(rest)
    if not timed and not words:
        words = list(dict.fromkeys(tokens(rest)))  # nothing but `the`: then it is meant
    return timed + [Term(word, (word,)) for word in words]


def rank_by_words(catalog: CatalogRows, terms: Sequence[Term], allowed: set[str] | None) -> TextRanking:
    """Rank files by terms.

    Args:
        catalog: Where to look.
        terms: At least one.
        allowed: The only files that count; ``None``: all.

    Returns:
        Files that have all terms; if no file has, those that have any.
    """
    found: dict[str, list[Match]] = defaultdict(list)
    matched: list[set[str]] = [set() for _ in terms]
    for match in _matches(catalog, terms):
        matched[match.term].add(match.media_id)
        if allowed is None or match.media_id in allowed:
            found[match.media_id].append(match)
    files = catalog.sizes["files"] or 0
    idf = [math.log(1 + max(0.0, files - len(some) + 0.5) / (len(some) + 0.5)) for some in matched]
    have_all = [media_id for media_id in found if all(media_id in some for some in matched)]
    chosen = have_all or list(found)
    ranked = (_ranked(media_id, found[media_id], idf) for media_id in chosen)
    return TextRanking(tuple(sorted(ranked, key=lambda one: (-(one.score or 0), one.media_id))), bool(have_all))


def _ranked(media_id: str, matches: Iterable[Match], idf: Sequence[float]) -> Ranked:
    of_field: dict[tuple[int, str], float] = {}
    reasons: dict[Reason, float] = defaultdict(float)
    for match in matches:
        at = (match.term, match.reason.field)
        strengths = of_field.get(at, 0.0)
        # Two labels that match one word do not say it twice; two lines of text do.
        is_written = match.reason.field in _BY_LENGTH
        of_field[at] = strengths + match.strength if is_written else max(strengths, match.strength)
        reasons[match.reason] += idf[match.term] * FIELD_WEIGHTS[match.reason.field] * match.strength
    score = 0.0
    for number, weight in enumerate(idf):
        tf = sum(FIELD_WEIGHTS[field] * strength for (term, field), strength in of_field.items() if term == number)
        score += weight * tf / (_K1 + tf)
    best = sorted(reasons, key=lambda reason: (-reasons[reason], reason.field, reason.value))
    return Ranked(media_id, score, tuple(best[:_MAX_REASONS]))


# ---------------------------------------------------------------- what matches


def _matches(catalog: CatalogRows, terms: Sequence[Term]) -> Iterable[Match]:
    yield from _in_labels(catalog, terms)
    yield from _in_places(catalog, terms)
    yield from _in_times(catalog, terms)
    yield from _in_writing(catalog, terms)


def shares(names: Iterable[str], terms: Sequence[Term]) -> dict[int, float]:
    """Return for each term that matches one of the names the greatest share of a name that the terms cover together.

    Args:
        names: A name and others of the same thing.
        terms: All terms of the query: ``hot dog`` covers the whole of its label, ``dog`` one half.
    """
    best: dict[int, float] = {}
    for name in names:
        parts = tokens(name)
        hits = {number: _hits(term, parts) for number, term in enumerate(terms)}
        covered = set().union(*hits.values())
        for number, some in hits.items():
            if some:
                best[number] = max(best.get(number, 0.0), len(covered) / len(parts))
    return best


def _hits(term: Term, parts: Sequence[str]) -> set[int]:
    """Return which words of a name a term has; all words of the term must be there."""
    found = [{at for at, part in enumerate(parts) if is_match(word, part)} for word in term.words]
    return set().union(*found) if all(found) else set()


def _in_labels(catalog: CatalogRows, terms: Sequence[Term]) -> Iterable[Match]:
    found = {(field, label): shares((label, *other_names(field, label)), terms) for field, label in catalog.labels}
    wanted = {
        field: [label for own, label in catalog.labels if own == field and found[own, label]] for field in _LABELS
    }
    if not any(wanted.values()):
        return
    for row in catalog.labelled(wanted["object"], wanted["scene"]):
        reason = Reason(row["field"], row["value"], row["score"], row["frame_s"])
        for term, share in found[row["field"], row["value"]].items():
            yield Match(term, row["media_id"], share * row["score"], reason)


def describe_place(place: PlaceName) -> str:
    """Return a place for people: ``Paris, Île-de-France, France``."""
    country = next(iter(names_of_country(place.country_code)), place.country_code) if place.country_code else None
    return ", ".join(part for part in (place.city, place.region, country) if part)


def place_names(place: PlaceName) -> list[str]:
    """Return every name that a place is found by."""
    countries = names_of_country(place.country_code) if place.country_code else ()
    return [name for name in (place.city, place.region, *countries) if name]


def _in_places(catalog: CatalogRows, terms: Sequence[Term]) -> Iterable[Match]:
    by_key: dict[str, tuple[str, dict[int, float]]] = {}
    wanted = []
    for place in catalog.places:
        share = shares(place_names(place), terms)
        if share:
            by_key[place.key] = describe_place(place), share
            wanted.append(place)
    if not wanted:
        return
    for media_id, key in catalog.at_places(wanted):
        value, share = by_key[key]
        for term, strength in share.items():
            yield Match(term, media_id, strength, Reason("place", value))


def _in_times(catalog: CatalogRows, terms: Sequence[Term]) -> Iterable[Match]:
    for number, term in enumerate(terms):
        if term.when is None:
            continue
        period = term.when.period
        start, end = (period.start, period.end) if period is not None else (None, None)
        for row in catalog.captured(start, end, term.when.month):
            value = row["captured_at"].isoformat(sep=" ", timespec="seconds")
            yield Match(number, row["media_id"], 1.0, Reason("captured_at", value))


def _in_writing(catalog: CatalogRows, terms: Sequence[Term]) -> Iterable[Match]:
    words = [word for term in terms for word in term.words]
    counted: dict[str, list[float]] = {}
    for row in catalog.written(prefilter(words)):
        field, value = row["field"], row["value"]
        if value not in counted:
            counted[value] = _counts(value, terms, by_share=field in _BY_SHARE)
        for number, count in enumerate(counted[value]):
            if count:
                strength = count * (row["score"] if row["score"] is not None else 1.0)
                strength /= _length_norm(field, row["words"], catalog.sizes)
                yield Match(number, row["media_id"], strength, Reason(field, value, row["score"], row["frame_s"]))


def _counts(text: str, terms: Sequence[Term], *, by_share: bool) -> list[float]:
    """Return how often each term is in a text; of a name, the share of it that the terms cover."""
    if by_share:
        found = shares((text,), terms)
        return [found.get(number, 0.0) for number in range(len(terms))]
    parts = tuple(tokens(text))
    return [float(min(count_matches(word, parts) for word in term.words)) for term in terms]


def _length_norm(field: str, words: float | None, sizes: Mapping[str, float | None]) -> float:
    average = sizes.get(field) if field in _BY_LENGTH else None
    return 1.0 if not average or words is None else 1 - _B + _B * words / average
