"""Words as they are compared: folded letters and the forms that a word can have.

Pure functions over strings. What the words are looked for in is the business of ``text_search``.
"""

import re
import unicodedata
from functools import lru_cache

_RUN = re.compile(r"[^\W_]+")
_PART = re.compile(r"[^\W\d_]+|\d+")
_POSSESSIVE = re.compile(r"['\N{RIGHT SINGLE QUOTATION MARK}]s\b")
_VOWEL = re.compile(r"[aeiouy]")
# Scripts that write no spaces between words (Thai, Lao, Khmer, Burmese, kana, Chinese characters, Hangul with its
# particles): there, a word is looked for inside a run of letters.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")

# Plurals that no rule makes.
_IRREGULAR = {
    "people": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "mice": "mouse",
    "geese": "goose",
    "feet": "foot",
    "teeth": "tooth",
    "oxen": "ox",
}
_PLURALS: dict[str, str] = {one: many for many, one in _IRREGULAR.items()}

# Words that say nothing of a picture; a query of nothing else is taken as it is.
_EMPTY_WORDS = frozenset(
    "a an and at by for from in into is it its my of on or our the their this to with".split()  # noqa: SIM905
)


def fold(text: str) -> str:
    """Return text without case, accents and differences of width: ``Été`` and ``ete`` are the same."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char)).casefold()


def tokens(text: str) -> list[str]:
    """Split text into runs of letters and digits, folded: ``IMG_2024-05a`` gives ``img``, ``2024``, ``05a``."""
    return _RUN.findall(_POSSESSIVE.sub("", fold(text)))


def said_words(text: str) -> list[str]:
    """Return the words of a text that say something, each once: of ``in the snow`` only ``snow``."""
    return [word for word in dict.fromkeys(tokens(text)) if word not in _EMPTY_WORDS]


@lru_cache(maxsize=65_536)
def forms(word: str) -> frozenset[str]:
    """Return what a word can be a form of, itself included: ``biking`` of ``bike``, ``knives`` of ``knife``.

    Two words are the same when they share a form. The rules are those of English plurals, ``-ing`` and ``-ed`` (after
    steps 1a and 1b of Porter 1980), but each gives all the words that it can come from: nothing needs a dictionary, and
    ``car`` is never ``care``.

    Args:
        word: One token, folded.
    """
    found = {word, _IRREGULAR.get(word, word)}
    if word.isascii() and word.isalpha():
        found |= _of_plural(word) | _of_verb(word)
    return frozenset(found)


def _of_plural(word: str) -> set[str]:
    if len(word) < 4 or not word.endswith("s") or word.endswith("ss"):
        return set()
    found = {word[:-1]}
    if word.endswith("ies"):
        found.add(f"{word[:-3]}y")
    elif word.endswith("ves"):
        found |= {f"{word[:-3]}f", f"{word[:-3]}fe"}
    elif word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        found.add(word[:-2])
    return found


def _of_verb(word: str) -> set[str]:
    for ending in ("ing", "ed"):
        stem = word.removesuffix(ending)
        if stem == word or len(stem) < 3 or not _VOWEL.search(stem) or word.endswith("eed"):
            continue
        found = {stem, f"{stem}e"}
        if stem[-1] == stem[-2]:
            found.add(stem[:-1])  # swimming, dropped
        return found
    return set()


def is_match(word: str, token: str) -> bool:
    """Return whether a word of a query and a token of a text are the same word."""
    if word == token:
        return True
    if _UNSPACED.search(word):
        return word in token
    return not forms(word).isdisjoint(forms(token))


def count_matches(word: str, text_tokens: tuple[str, ...]) -> int:
    """Return how often a word is among tokens, as the word itself or as part of one: ``beach`` in ``beach2024``."""
    return sum(any(is_match(word, part) for part in _parts(token)) for token in text_tokens)


@lru_cache(maxsize=65_536)
def _parts(token: str) -> tuple[str, ...]:
    """A token, and its runs of letters and of digits when it has both."""
    return tuple(dict.fromkeys((token, *_PART.findall(token))))


def prefilter(words: list[str]) -> str:
    """Return a regular expression (RE2) that finds every text in which one of the words can match, and some more.

    It lets the database leave out most rows. Texts that are not pure ASCII always pass: only :func:`fold` knows what
    their letters are.
    """
    starts = {start for word in words for form in forms(word) for start in _starts(form) if start.isascii()}
    return "|".join(["(?i)[^\\x00-\\x7F]", *sorted(map(re.escape, starts))])


def _starts(form: str) -> tuple[str, ...]:
    # Plurals change the last letters (pony, ponies; knife, knives), verbs drop an e.
    cut = form.removesuffix("fe") if form.endswith("fe") else form[:-1] if form.endswith(("e", "y", "f")) else form
    return tuple(text for text in (cut or form, _PLURALS.get(form)) if text)
