"""The torture test's own account and faults: every promise that it checks can be seen broken."""

import hashlib
import random
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from media_assets.storage import keys
from media_assets_tests.torture.account import (
    Account,
    as_dagster_says,
    key_hash,
    no_duplicates,
    nothing_lost,
    nothing_twice,
)
from media_assets_tests.torture.fault_proxy import FaultProxy
from media_assets_tests.torture.pictures import broken_file, odd_keys, sound_picture
from media_assets_tests.torture.uploaders import Version

KEY, DATA = "a/é.jpg", b"the picture"
SHA = hashlib.sha256(DATA).hexdigest()
ID = keys.media_id(KEY)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PRESENT = {KEY: Version(SHA, "etag", True)}


class _Client:
    def get_object(self, **_: object) -> dict[str, Any]:
        class Body:
            def read(self) -> bytes:
                return DATA

        return {"Body": Body()}


@pytest.fixture
def account(tmp_path: Path) -> Account:
    made = Account(_Client(), "bucket", tmp_path)
    made.inbox, made.inbox_sha256 = {KEY: "etag"}, {f"inbox/{KEY}": SHA}
    made.objects = {"originals/1.jpg", "thumb.jpg", "web.jpg"}
    made.rows = {
        "files": [{"media_id": ID, "sha256": SHA, "original_path": "originals/1.jpg"}],
        "metadata": [{"media_id": ID}],
        "renditions": [
            {"media_id": ID, "kind": "thumb_150", "format": "jpeg", "asset": None, "path": "thumb.jpg"},
            {"media_id": ID, "kind": "optimized", "format": "jpeg", "asset": "optimized", "path": "web.jpg"},
        ],
        "appearance": [{"media_id": ID}],
        "rejected": [],
    }
    made.parts = {
        "files": [{"media_id": ID, "input_version": SHA, "run_id": "run-1", "computed_at": NOW}],
        "rejected": [],
    }
    return made


GREEN = {asset: {ID} for asset in ("original", "metadata", "thumbnails", "optimized", "appearance")}


def broken(account: Account) -> set[str]:
    """First words of the promises that are broken."""
    verdicts = [
        *nothing_lost(account, PRESENT),
        no_duplicates(account),
        nothing_twice(account, {}, {"run-1"})[0],
        *as_dagster_says(account, GREEN, {ID}),
    ]
    return {verdict.promise.split(":")[0] for verdict in verdicts if verdict.broken}


def test_whole_library_breaks_nothing(account: Account) -> None:
    assert broken(account) == set()
    assert all(verdict.looked_at for verdict in nothing_lost(account, PRESENT))
    assert key_hash(KEY) == ID[-12:]


def test_missing_row_is_a_loss(account: Account) -> None:
    account.rows["files"][0]["sha256"] = "0" * 64  # only an older version has a row
    assert "lost" in broken(account)


def test_row_in_both_tables_is_told(account: Account) -> None:
    account.rows["rejected"] = [{"media_id": ID, "sha256": SHA, "reason_code": "truncated", "message": "cut"}]
    assert "lost" in broken(account)


def test_rejected_sound_picture_is_told(account: Account) -> None:
    account.rows["rejected"] = [{"media_id": ID, "sha256": SHA, "reason_code": "truncated", "message": "cut"}]
    account.rows["files"] = []
    assert "sound pictures that were rejected, broken files that were accepted" in broken(account)


def test_missing_original_is_told(account: Account) -> None:
    account.objects.remove("originals/1.jpg")
    assert {"originals that are missing or whose bytes are others", "green without outputs"} <= broken(account)


def test_missing_rendition_is_hollow_green(account: Account) -> None:
    account.objects.remove("web.jpg")
    assert broken(account) == {"green without outputs"}


def test_duplicate_rows_are_told(account: Account) -> None:
    account.rows["metadata"] *= 2
    assert broken(account) == {"duplicates"}


def test_row_that_is_not_green_and_lost_partition(account: Account) -> None:
    _, grey, missing = as_dagster_says(account, {**GREEN, "metadata": set()}, set())
    assert len(grey.broken) == len(missing.broken) == 1


@pytest.mark.parametrize(
    ("recorded", "succeeded", "is_violation"),
    [({}, {"run-2"}, False), ({}, {"run-1", "run-2"}, True), ({(ID, SHA): {"run-1"}}, {"run-2"}, True)],
)
def test_repetition_counts_only_after_recording(
    account: Account, recorded: dict[tuple[str, str], set[str]], succeeded: set[str], is_violation: bool
) -> None:
    again = {"media_id": ID, "input_version": SHA, "run_id": "run-2", "computed_at": NOW + timedelta(seconds=9)}
    account.parts["files"].append(again)
    verdict, repeated = nothing_twice(account, recorded, succeeded)
    assert bool(verdict.broken) == is_violation
    assert repeated == (not is_violation)


# ---------------------------------------------------------------- what is injected


def test_pictures_differ_by_their_mark() -> None:
    made = {sound_picture(random.Random(1), str(mark)) for mark in range(20)}
    assert len(made) == 20
    assert all(one.startswith(b"\xff\xd8\xff\xfe") and one.endswith(b"\xff\xd9") for one in made)
    assert not any(broken_file(random.Random(mark), "x").endswith(b"\xff\xd9") for mark in range(20))


def test_odd_keys_are_distinct_uploads() -> None:
    assert len({keys.media_id(key) for key in odd_keys()}) == len(odd_keys())
    assert all(len(key.encode()) <= 1024 for key in odd_keys())


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, FaultProxy(server.server_port, seed=1) as made:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def test_proxy_forwards_and_says_slow_down(proxy: FaultProxy) -> None:
    url = f"http://127.0.0.1:{proxy.port}/"
    with urlopen(url, timeout=5) as answer:
        assert answer.read() == b"hello"
    proxy.misbehave("slow_down")
    with pytest.raises(HTTPError, match="503") as raised:
        urlopen(url, timeout=5)
    with raised.value as error:
        assert b"<Code>SlowDown</Code>" in error.read()
    assert proxy.injected == {"slow_down": 1}


def test_proxy_refuses_and_recovers(proxy: FaultProxy) -> None:
    url = f"http://127.0.0.1:{proxy.port}/"
    proxy.misbehave("refuse")
    with pytest.raises((URLError, ConnectionError, socket.timeout)):
        urlopen(url, timeout=5)
    proxy.misbehave("none")
    with urlopen(url, timeout=5) as answer:
        assert answer.read() == b"hello"
