"""What logs must not say."""

import io
import logging
from collections.abc import Iterator

import pytest

from media_assets.storage import keys
from media_assets.storage.private_text import keep_logs_private, without_names

SHA256 = "ab" * 32


@pytest.mark.parametrize("owner", ["zanzibarella", "Mary-Jane_2", "Anne Müller"])
def test_owners_are_not_read_off_keys(owner: str) -> None:
    media_id = keys.media_id("a/b.jpg")
    for key in (
        keys.original_key(owner, "2024-05", SHA256, "jpg"),
        keys.quarantine_key(owner, media_id, SHA256, "jpg"),
        f"{keys.reviews_folder(owner, media_id)}/x.json",
    ):
        private = without_names(f"{key} is gone. Restore it.")
        assert keys.owner_segment(owner) not in private
        assert private.endswith("is gone. Restore it.")
    assert SHA256 in without_names(keys.original_key(owner, "2024-05", SHA256, "jpg"))


def test_the_address_of_a_copy_is_not_told() -> None:
    assert "f" * 32 not in without_names(f"{keys.shareable_key('ann', 'f' * 32, 'picture.jpg')} was written.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET https://b.example/a.jpg?X-Amz-Signature=beef&X-Amz-Date=1 200", "GET https://b.example/a.jpg?… 200"),
        ("https://geo.example/reverse?lat=48.1&lon=11.5", "https://geo.example/reverse?…"),
        ("postgresql://ann:secret@db/ledger is down", "postgresql://…@db/ledger is down"),
        ('"GET /a.jpg?x=1&X-Amz-Signature=beef HTTP/1.1"', '"GET /a.jpg?x=1&X-Amz-Signature=… HTTP/1.1"'),
        ("3 of 5 files to do? 40 %", "3 of 5 files to do? 40 %"),
        ("renditions/ab/x/preview.jpg is missing.", "renditions/ab/x/preview.jpg is missing."),
    ],
)
def test_addresses_lose_signatures_positions_and_users_and_other_texts_stay(text: str, expected: str) -> None:
    assert without_names(text) == expected


def test_given_names_go_the_longest_first() -> None:
    assert without_names("/inbox/ann/ann.jpg cannot be read", ["ann", "ann/ann.jpg"]) == "/inbox/… cannot be read"
    assert without_names("nothing", [""]) == "nothing"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What a handler of the root logger writes while logs are kept private."""
    before, written = logging.getLogRecordFactory(), io.StringIO()
    handler = logging.StreamHandler(written)
    logging.getLogger().addHandler(handler)
    keep_logs_private()
    keep_logs_private()
    yield written
    logging.getLogger().removeHandler(handler)
    logging.setLogRecordFactory(before)


def test_logs_of_all_libraries_are_private_with_arguments_and_tracebacks(lines: io.StringIO) -> None:
    log = logging.getLogger("some.library")
    log.warning("signed %s for %d s", "https://b.example/a?X-Amz-Signature=beef", 60)
    error = ValueError("originals/zanzibarella/2024/05/a.jpg is gone")
    log.error("failed", exc_info=error)
    written = lines.getvalue()
    assert "signed https://b.example/a?… for 60 s" in written
    assert "ValueError: originals/…/2024/05/a.jpg is gone" in written
    assert "zanzibarella" not in written
    assert "beef" not in written
