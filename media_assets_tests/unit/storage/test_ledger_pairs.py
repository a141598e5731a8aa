"""Pairs in the ledger, with a rule that is simple: two files of one name or one identifier are partners."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path

import pytest
import sqlalchemy as sa

from media_assets.storage import keys, ledger_schema
from media_assets.storage.inbox import InboxObject
from media_assets.storage.ledger import Ledger
from media_assets.storage.ledger_schema import PairFacts

AT = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    opened.record_page("file:///in", [InboxObject(name, "1", 1, AT) for name in "abcdef"], None, take_over=True)
    yield opened
    opened.close()


def media(name: str) -> str:
    return keys.media_id(name)


def facts(name: str, name_key: str, live: str | None = None) -> PairFacts:
    return PairFacts(media(name), name_key, live, "image", "jpeg", None, None)


def match(files: Sequence[PairFacts]) -> dict[str, str]:
    partners: dict[str, str] = {}
    for attribute in ("live_key", "name_key"):
        groups: dict[str, list[str]] = defaultdict(list)
        for one in files:
            if getattr(one, attribute) is not None and one.media_id not in partners:
                groups[getattr(one, attribute)].append(one.media_id)
        for group in groups.values():
            if len(group) == 2:
                partners |= {group[0]: group[1], group[1]: group[0]}
    return partners


def write(ledger: Ledger, *files: PairFacts) -> dict[str, str]:
    """What a chunk of a run does."""
    partners = ledger.partners_of(files, match)
    ledger.record_pairs(files, partners, match)
    return partners


def due(ledger: Ledger) -> dict[str, str | None]:
    return {entry.source_key: partner for entry, partner in ledger.unwritten_pairs(100)}


def test_halves_of_one_chunk_need_no_second_row(ledger: Ledger) -> None:
    assert write(ledger, facts("a", "n"), facts("b", "n")) == {media("a"): media("b"), media("b"): media("a")}
    assert due(ledger) == {}


def test_the_second_half_names_the_first_whose_row_is_then_due(ledger: Ledger) -> None:
    assert write(ledger, facts("a", "n")) == {}
    assert write(ledger, facts("b", "n"), facts("c", "m")) == {media("b"): media("a")}
    assert due(ledger) == {"a": media("b")}
    ledger.pairs_written([(media("a"), media("b"))])
    assert due(ledger) == {}


def test_writing_the_same_again_keeps_the_pair(ledger: Ledger) -> None:
    write(ledger, facts("a", "n"), facts("b", "n"))
    assert write(ledger, facts("a", "n")) == {media("a"): media("b")}
    assert write(ledger, facts("b", "n")) == {media("b"): media("a")}
    assert due(ledger) == {}


def test_a_file_that_became_another_one_leaves_its_partner(ledger: Ledger) -> None:
    write(ledger, facts("a", "n", "x"), facts("b", "m", "x"))
    assert write(ledger, facts("a", "n", "y")) == {}
    assert due(ledger) == {"b": None}
    ledger.pairs_written([(media("b"), None)])
    assert write(ledger, facts("c", "k", "y")) == {media("c"): media("a")}
    assert due(ledger) == {"a": media("c")}


def test_a_partner_that_changed_before_its_row_was_written_stays_due(ledger: Ledger) -> None:
    write(ledger, facts("a", "n"))
    write(ledger, facts("b", "n"))
    write(ledger, facts("b", "other"))
    ledger.pairs_written([(media("a"), media("b"))])  # by a run that had looked before
    assert due(ledger) == {"a": None}
    ledger.pairs_written([(media("a"), None)])
    assert due(ledger) == {}


def test_a_file_of_the_same_name_does_not_hide_the_partner_by_identifier(ledger: Ledger) -> None:
    """The partner lies in another folder: it is found only by way of the file that has both."""
    write(ledger, facts("a", "n", "x"), facts("b", "m", "x"))
    assert write(ledger, facts("c", "n")) == {}
    assert due(ledger) == {}


def test_the_order_of_arrival_does_not_matter(tmp_path: Path) -> None:
    files = [facts("a", "n", "x"), facts("b", "m", "x"), facts("c", "n"), facts("d", "m")]
    ends = set()
    for number, order in enumerate(permutations(files)):
        ledger = Ledger(f"sqlite:///{tmp_path / str(number)}.db")
        for one in order:
            write(ledger, one)
        with ledger._engine.connect() as connection:
            columns = (ledger_schema.pair.c.media_id, ledger_schema.pair.c.partner_id)
            ends.add(frozenset(tuple(row) for row in connection.execute(sa.select(*columns))))
        ledger.close()
    (end,) = ends
    assert dict(end) == {
        media("a"): media("b"),
        media("b"): media("a"),
        media("c"): None,
        media("d"): None,
    }


def test_two_halves_that_are_recorded_at_once_find_each_other(ledger: Ledger) -> None:
    """Both runs asked for partners before either had recorded its half."""
    first, second = facts("a", "n"), facts("b", "n")
    assert ledger.partners_of([first], match) == ledger.partners_of([second], match) == {}
    ledger.record_pairs([first], {}, match)
    ledger.record_pairs([second], {}, match)
    assert due(ledger) == {"a": media("b"), "b": media("a")}


def test_due_rows_are_found_by_an_index(ledger: Ledger) -> None:
    statement = sa.select(ledger_schema.pair.c.media_id).where(ledger_schema.pair.c.is_written.is_(False))
    with ledger._engine.connect() as connection:
        text = str(statement.compile(connection, compile_kwargs={"literal_binds": True}))
        plan = connection.execute(sa.text(f"EXPLAIN QUERY PLAN {text}")).all()
    assert "ma_pair_unwritten" in str(plan)
