"""Searches in a small library of rows; the files that these are about do not exist."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from media_assets.models import registry
from media_assets.models.errors import ModelMissingError
from media_assets.pipeline.library import Library
from media_assets.pipeline.search import likeness, query_picture
from media_assets.pipeline.search import search as search_module
from media_assets.pipeline.search.dates import parse_period
from media_assets.pipeline.search.label_names import other_names
from media_assets.pipeline.search.records import (
    BadRequestError,
    Circle,
    Filters,
    SearchAnswer,
    SearchError,
    SearchRequest,
)
from media_assets.pipeline.search.search import search
from media_assets.pipeline.search.text_search import Term, shares
from media_assets.settings import Settings
from media_assets.storage.catalog import compact
from media_assets_tests.pictures import truncated_jpeg
from media_assets_tests.unit.pipeline.search_library import add_file, fill, local, unit


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A library that tests only read."""
    library = Library(Settings(library=str(tmp_path_factory.mktemp("library")), workers=1))
    fill(library.store)
    yield library
    library.close()


def ids(answer: SearchAnswer) -> list[str]:
    return [hit.media_id for hit in answer.hits]


def find(library: Library, text: str | None = None, **values: Any) -> SearchAnswer:
    fields = {name: values.pop(name) for name in ("like", "limit", "index") if name in values}
    return search(library, SearchRequest(text, filters=Filters(**values), **fields))


def why(answer: SearchAnswer, media_id: str) -> dict[str, tuple[str, float | None, float | None]]:
    (hit,) = [hit for hit in answer.hits if hit.media_id == media_id]
    return {reason.field: (reason.value, reason.score, reason.frame_s) for reason in hit.reasons}


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dog", ["dog-2", "beach-1", "snack-3"]),  # an object and a scene say more than one; half of "hot dog" is least
        ("hot dogs", ["snack-3"]),
        ("beach", ["beach-7", "beach-1"]),  # the name of one file, the scene of another (seashore, sandbar)
        ("bikes", ["clip-6"]),
        ("phones", ["party-4"]),
        ("sofa", []),
        ("MÜNCHEN", ["party-4"]),
        ("munchen", ["party-4"]),
        ("birthday cakes", ["party-4"]),
        ("families in gardens", ["party-4"]),
        ("no smoking", ["sign-5"]),
        ("東京", ["sign-5"]),
        ("oslo", ["dog-2"]),
        ("norway", ["dog-2"]),
        ("france dog", ["beach-1"]),
        ("2023", ["dog-2"]),
        ("may 2024", ["beach-1", "clip-6"]),
        ("3 may 2024", ["beach-1"]),
        ("dog 2024-05", ["beach-1"]),
        ("march", ["march-8"]),  # the month, or the word
        ("in december", ["dog-2"]),
        ("beach2019", ["beach-7"]),
        ("100%", []),
    ],
)
def test_words_find_files(filled: Library, text: str, expected: list[str]) -> None:
    answer = find(filled, text)
    assert ids(answer) == expected
    assert (answer.ranked_by, answer.found, answer.vectors) == ("words", len(expected), None)
    assert answer.matched == ("all" if expected else None)


def test_a_result_says_why(filled: Library) -> None:
    answer = find(filled, "dog may 2024 nice")
    assert why(answer, "beach-1") == {
        "object": ("dog", 0.9, None),
        "captured_at": ("2024-05-03 12:30:00", None, None),
        "place": ("Nice, Provence-Alpes-Côte d'Azur, France", None, None),
    }
    (hit,) = answer.hits
    assert (hit.rank, hit.owner, hit.file_name, hit.media_type) == (1, "alice", "IMG_0001.jpg", "image")
    assert (hit.captured_at, hit.preview) == (local("2024-05-03 12:30"), "renditions/beach-1/preview.jpg")


def test_a_video_tells_the_frame(filled: Library) -> None:
    assert why(find(filled, "bicycle"), "clip-6") == {"object": ("bicycle", 0.8, 5.5)}
    assert why(find(filled, "exit"), "clip-6") == {"text": ("EXIT", 0.7, 1.0)}


def test_when_no_file_has_all_words_any_will_do(filled: Library) -> None:
    answer = find(filled, "dog smoking")
    assert answer.matched == "any"
    assert set(ids(answer)) == {"beach-1", "dog-2", "snack-3", "sign-5"}
    assert answer.hits[0].media_id == "sign-5"  # the rarer word
    assert any("all words" in note for note in answer.notes)


@pytest.mark.parametrize("text", ["", "%", "!! --", "\x00"])
def test_a_text_without_words_is_refused(filled: Library, text: str) -> None:
    with pytest.raises(BadRequestError, match="no word"):
        find(filled, text)


@pytest.mark.parametrize("text", ["'; DROP TABLE files; --", "dog' OR 1=1 --", "$pattern", "\\E.*(", "\x00dog"])
def test_no_text_is_sql_or_a_pattern(filled: Library, text: str) -> None:
    assert set(ids(find(filled, text))) <= {"party-4", "beach-1", "dog-2", "snack-3", "beach-7"}
    assert set(ids(find(filled, owner=text))) == set()
    assert set(ids(find(filled, place=text, labels=(text,)))) == set()


def test_the_limit_cuts_what_is_shown_only(filled: Library) -> None:
    answer = find(filled, "dog", limit=1)
    assert (ids(answer), answer.found) == (["dog-2"], 3)


def test_the_score_is_the_written_formula(filled: Library) -> None:
    (only,) = [hit for hit in find(filled, "dog").hits if hit.media_id == "snack-3"]
    idf = math.log(1 + (8 - 3 + 0.5) / (3 + 0.5))
    tf = 2.5 * 0.95 / 2  # an object, its score, half of its name
    assert only.score == pytest.approx(idf * tf / (1.2 + tf))


def test_people_are_found_by_their_names(library: Library) -> None:
    add_file(library.store, "a-1", people=("Anna Meier", "Anna Meier"))
    add_file(library.store, "b-1", people=("Hannah",))
    compact(library.store)
    assert why(find(library, "anna"), "a-1") == {"person": ("Anna Meier", None, 0.5)}
    assert ids(find(library, "anna")) == ["a-1"]


def test_long_texts_weigh_less(library: Library) -> None:
    for name, words in (("short-1", "a castle"), ("long-2", "a castle " + "and much more " * 30)):
        add_file(library.store, name, metadata={"description": words})
    compact(library.store)
    assert ids(find(library, "castle")) == ["short-1", "long-2"]


def test_what_was_not_analysed_is_said(library: Library) -> None:
    add_file(library.store, "a-1", metadata={"title": "Castle"})
    compact(library.store)
    answer = find(library, "castle")
    assert ids(answer) == ["a-1"]
    assert any("media-assets reprocess --asset objects" in note for note in answer.notes)


def test_an_empty_library_says_what_to_do(library: Library) -> None:
    with pytest.raises(SearchError, match="media-assets process PATH"):
        find(library, "dog")


def test_shares_of_names() -> None:
    def share(name: str, *words: str) -> list[float]:
        found = shares((name,), [Term(word, (word,)) for word in words])
        return [found.get(number, 0.0) for number in range(len(words))]

    assert share("hot dog", "dog") == [0.5]
    assert share("hot dog", "hot", "dogs") == [1.0, 1.0]
    assert share("hot dog", "dog", "cat") == [0.5, 0.0]
    assert share("New York", "new", "york", "2024") == [1.0, 1.0, 0.0]


def test_other_names_of_labels() -> None:
    assert "bike" in other_names("object", "bicycle")
    assert set(other_names("scene", "golden retriever")) == {"dog", "animal"}
    assert "bird" in other_names("scene", "kite")
    assert other_names("object", "kite") == ()
    assert other_names("scene", "no such label") == ()
    assert {"beach", "sea"} <= set(other_names("scene", "seashore"))
    assert "dog" not in other_names("object", "hot dog")


# ---------------------------------------------------------------- filters


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"owner": "alice"}, ["beach-1"]),
        ({"owner": "nobody"}, []),
        ({"media_type": "video"}, ["clip-6"]),
        ({"since": parse_period("2024-05")}, ["snack-3", "clip-6", "beach-1"]),
        ({"until": parse_period("2023")}, ["dog-2", "march-8"]),
        ({"since": parse_period("2024-05-03"), "until": parse_period("2024-05-03")}, ["beach-1"]),
        ({"near": Circle(43.7, 7.3, 5)}, ["beach-1"]),
        ({"near": Circle(43.7, 7.3, 1)}, []),
        ({"near": Circle(46, 9, 400)}, ["beach-1", "party-4"]),
        ({"place": "Nice"}, ["beach-1"]),
        ({"place": "provence"}, ["beach-1"]),
        ({"place": "Oslo, Norway"}, ["dog-2"]),
        ({"place": "DE"}, ["party-4"]),
        ({"place": "Atlantis"}, []),
        ({"labels": ("dogs",)}, ["beach-1", "dog-2"]),  # not a hot dog
        ({"labels": ("dog", "person")}, ["beach-1"]),
        ({"labels": ("phone",)}, ["party-4"]),
        ({"labels": ("retriever",)}, []),
        ({"labels": ("golden_retriever",), "owner": "bob"}, ["dog-2"]),
    ],
)
def test_filters_alone_show_the_newest_first(filled: Library, filters: dict[str, Any], expected: list[str]) -> None:
    answer = find(filled, **filters)
    assert ids(answer) == expected
    assert (answer.ranked_by, answer.found) == ("time", len(expected))
    assert all(hit.score is None for hit in answer.hits)


def test_filters_narrow_words_and_likeness(filled: Library) -> None:
    assert ids(find(filled, "dog", owner="bob")) == ["dog-2"]
    assert ids(find(filled, like="beach-1", media_type="image", limit=1)) == ["dog-2"]
    assert ids(find(filled, like="beach-1", labels=("dog",))) == ["dog-2"]
    assert ids(find(filled, like="beach-1", owner="nobody")) == []


def test_filters_that_name_nothing_are_told(filled: Library) -> None:
    assert any("Atlantis" in note for note in find(filled, place="Atlantis").notes)
    assert any("dragon" in note for note in find(filled, labels=("dragon",)).notes)


# ---------------------------------------------------------------- likeness


@pytest.mark.parametrize("index", ["exact", "approximate"])
def test_likeness_ranks_by_the_best_frame(filled: Library, index: str) -> None:
    answer = find(filled, like="beach-1", index=index)
    assert ids(answer)[:2] == ["clip-6", "dog-2"]
    assert "beach-1" not in ids(answer)
    assert len(set(ids(answer))) == len(answer.hits) == 5  # a video counts once
    cosine = float(unit(1, 0.1, 0, 0) @ unit(1, 0, 0, 0.1))
    assert answer.hits[0].score == pytest.approx(cosine, abs=1e-6)
    assert why(answer, "clip-6")["embedding"][1:] == (pytest.approx(cosine, abs=1e-6), 5.5)
    assert why(answer, "clip-6")["phash"][1] == 60
    assert why(answer, "dog-2")["phash"][1] == 1
    assert "phash" not in why(answer, "party-4")
    assert (answer.ranked_by, answer.found) == ("likeness", None)
    assert answer.vectors is not None
    assert (answer.vectors.count, answer.vectors.index) == (7, index)


def test_many_vectors_are_searched_through_the_graph(filled: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "EXACT_UP_TO", 3)
    answer = find(filled, like="beach-1", limit=2)
    assert ids(answer) == ["clip-6", "dog-2"]
    assert answer.vectors is not None
    assert answer.vectors.index == "approximate"
    few = find(filled, like="beach-1", media_type="video")
    assert few.vectors is not None
    assert few.vectors.index == "exact"  # two vectors pass the filter


def test_words_narrow_likeness_and_both_say_why(filled: Library) -> None:
    answer = find(filled, "dog", like="clip-6")
    assert ids(answer) == ["beach-1", "dog-2", "snack-3"]
    assert set(why(answer, "beach-1")) == {"embedding", "object", "phash"}


def test_likeness_needs_a_vector(filled: Library) -> None:
    with pytest.raises(BadRequestError, match="no media id"):
        find(filled, like="nobody-1")
    with pytest.raises(SearchError, match="media-assets reprocess --asset embeddings --stale"):
        find(filled, like="beach-7")


def test_likeness_without_any_vectors_says_what_to_do(library: Library) -> None:
    add_file(library.store, "a-1")
    compact(library.store)
    with pytest.raises(SearchError, match="media-assets process PATH"):
        find(library, like="a-1")


def test_vectors_of_another_model_are_not_compared(library: Library) -> None:
    add_file(library.store, "a-1", vectors=[(None, unit(1, 0))], model="older@1")
    compact(library.store)
    with pytest.raises(SearchError, match=r"older@1.*MEDIA_ASSETS_EMBEDDINGS_MODEL"):
        find(library, like="a-1")


def test_without_a_model_there_is_no_likeness(make_library: Callable[..., Library]) -> None:
    library = make_library(embeddings_model="none")
    fill(library.store)
    with pytest.raises(SearchError, match="embeddings_model"):
        find(library, like="beach-1")


# ---------------------------------------------------------------- a file of this machine


@pytest.fixture
def bright(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Leave the model out: the vector tells how bright the preview is. Returns the previews that it saw."""
    seen: list[Path] = []

    def embed(library: Library, preview: Path, tell: Callable[[str], None]) -> np.ndarray[Any, Any]:
        seen.append(preview)
        with Image.open(preview) as picture:
            value = float(np.asarray(picture.convert("L")).mean()) / 255
        return unit(value, 0, 1 - value, 0)[None]

    monkeypatch.setattr(query_picture, "_embed", embed)
    return seen


@pytest.mark.usefixtures("_shared_decoder")
def test_a_file_is_decoded_in_a_process_of_its_own(library: Library, bright: list[Path], tmp_path: Path) -> None:
    fill(library.store)
    path = tmp_path / "query.jpg"
    Image.new("RGB", (64, 48), "white").save(path)
    answer = find(library, like=path)
    assert set(ids(answer)[:2]) == {"beach-1", "clip-6"}  # equally like a white picture
    assert {one for one in ids(answer) if "phash" in why(answer, one)} == {"beach-1", "dog-2", "clip-6"}
    (preview,) = bright
    assert preview.name == "preview.jpg"
    assert not preview.exists()
    assert not list(library.store.scratch_dir().iterdir())  # nothing stays behind


@pytest.mark.usefixtures("_shared_decoder", "bright")
def test_files_that_are_no_pictures_are_refused(library: Library, tmp_path: Path) -> None:
    fill(library.store)
    path = tmp_path / "query.jpg"
    for content in (truncated_jpeg(), b"#!/bin/sh", b""):
        path.write_bytes(content)
        with pytest.raises(SearchError, match=r"query\.jpg"):
            find(library, like=path)
    with pytest.raises(SearchError, match="cannot be read"):
        find(library, like=tmp_path / "gone.jpg")


# ---------------------------------------------------------------- models that read text


class Reader:
    """Embeds a text by the words it knows."""

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        return np.stack([unit(0, 1, 0, 0) if "celebration" in text else unit(0, 0, 0, 1) for text in texts])


@pytest.fixture
def hub(filled: Library, monkeypatch: pytest.MonkeyPatch) -> Library:
    """The library as if its model came from a hub."""
    specs = dict(registry.registered())
    specs["efficientnet-lite0"] = replace(specs["efficientnet-lite0"], tier="hub")
    monkeypatch.setattr(registry, "registered", lambda: specs)
    settings = filled.settings.model_copy(update={"embeddings_model": "efficientnet-lite0"})
    monkeypatch.setattr(filled, "settings", settings)
    return filled


def test_a_text_is_compared_with_vectors(hub: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "load_model", lambda name, places: Reader())
    answer = find(hub, "celebration")
    assert answer.hits[0].media_id == "party-4"
    assert why(answer, "party-4") == {"embedding": ("cosine 1.000", pytest.approx(1), None)}
    assert (answer.ranked_by, answer.matched) == ("words and likeness", None)
    both = find(hub, "dog celebration")
    assert both.matched == "any"
    assert both.vectors is not None
    # 1 / (60 + rank) of both rankings.
    names = {hit.media_id: hit for hit in both.hits}
    assert names["party-4"].score == pytest.approx(1 / 61)
    assert names["dog-2"].score == pytest.approx(1 / 61 + 1 / 62)


def test_a_model_that_fails_leaves_the_words(hub: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, places: object) -> object:
        raise ModelMissingError("It is not here. Fetch it: media-assets models pull X")

    monkeypatch.setattr(search_module, "load_model", load)
    answer = find(hub, "dog")
    assert ids(answer) == ["dog-2", "beach-1", "snack-3"]
    assert answer.ranked_by == "words"
    assert any("media-assets models pull X" in note for note in answer.notes)


def test_a_model_without_text_is_not_asked(hub: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "load_model", lambda name, places: object())
    assert find(hub, "dog").ranked_by == "words"
