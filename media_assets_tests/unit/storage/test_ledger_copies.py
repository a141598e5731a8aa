"""Copies that are on record, from before their object is stored until after it is deleted."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from media_assets.storage.ledger import Ledger
from media_assets.storage.ledger_copies import CopyState, SharedCopy

AT = datetime(2026, 5, 6, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


def copy(path: str, media_id: str, state: CopyState = "writing") -> SharedCopy:
    return SharedCopy(path, media_id, "ann", "2026-05", "f" * 64, state, "host:1:1.00:abc", AT)


def test_a_copy_is_known_before_it_is_published(ledger: Ledger) -> None:
    ledger.record_copies([copy("shareable/1", "a"), copy("shareable/2", "b")])
    assert ledger.copies(["a"]) == [copy("shareable/1", "a")]
    assert [one.path for one in ledger.copies()] == ["shareable/1", "shareable/2"]


def test_a_newer_copy_replaces_the_older_ones_of_its_file_only(ledger: Ledger) -> None:
    ledger.record_copies([copy("shareable/1", "a", "published"), copy("shareable/2", "b", "published")])
    ledger.record_copies([copy("shareable/3", "a"), copy("shareable/4", "a")])
    ledger.publish_copies(["shareable/3"])
    assert {one.path: one.state for one in ledger.copies()} == {
        "shareable/1": "replaced",
        "shareable/2": "published",
        "shareable/3": "published",
        "shareable/4": "writing",  # another run works on it, or has died
    }


def test_what_is_deleted_is_forgotten(ledger: Ledger) -> None:
    ledger.record_copies([copy("shareable/1", "a"), copy("shareable/2", "b")])
    ledger.forget_copies(["shareable/1"])
    assert [one.path for one in ledger.copies()] == ["shareable/2"]
    ledger.forget_everything()
    assert ledger.copies() == []
