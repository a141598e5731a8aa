"""The object store and the inbox against a real S3-compatible server."""

import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests

from media_assets.media.errors import ContentError, ReasonCode
from media_assets.storage import errors
from media_assets.storage.inbox import Inbox, open_inbox
from media_assets.storage.objects import ObjectStore, StoreOptions, open_store

pytestmark = pytest.mark.integration

PLENTY = 1 << 30
ODD = [
    "a b/c d.jpg",
    "plus+plus.jpg",
    "100%.jpg",
    "%41.jpg",
    "hash#1.jpg",
    "question?.jpg",
    "é.jpg",
    "e\u0301.jpg",
    "日本/写真.jpg",
    "emoji 😀.jpg",
    "amp&eq=.jpg",
    "less<more>.jpg",
    "quote'\".jpg",
    "tab\t.jpg",
    "semi;colon,comma.jpg",
    "tilde~.jpg",
    "-dash.jpg",
]


@pytest.fixture
def options(s3_server: dict[str, str]) -> StoreOptions:
    return options_for(s3_server)


def options_for(server: dict[str, str], **changes: str) -> StoreOptions:
    server = server | changes
    return StoreOptions(
        s3_endpoint_url=server["endpoint"],
        s3_region="us-east-1",
        s3_access_key_id=server["access"],
        s3_secret_access_key=server["secret"],
    )


@pytest.fixture(params=["", "/some/prefix"])
def store(request: pytest.FixtureRequest, options: StoreOptions, s3_bucket: str) -> ObjectStore:
    return open_store(f"s3://{s3_bucket}{request.param}", options)


@pytest.fixture
def client(s3_server: dict[str, str]) -> Iterator[Any]:
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=s3_server["endpoint"],
        aws_access_key_id=s3_server["access"],
        aws_secret_access_key=s3_server["secret"],
        region_name="us-east-1",
    )
    yield client
    client.close()


def keys_of(inbox: Inbox, limit: int) -> list[str]:
    found, position = [], None
    while True:
        page = inbox.list(position, limit)
        assert len(page.objects) <= limit
        found += [entry.source_key for entry in page.objects]
        position = page.position
        if position is None:
            return found


# The store


def test_round_trip(store: ObjectStore, tmp_path: Path) -> None:
    for size in (0, 10, 20_000_000):
        data = os.urandom(size)
        path = tmp_path / "source"
        path.write_bytes(data)
        store.put_file("originals/a b ü%.jpg", path, consume=True)
        assert not path.exists()
        assert store.get_bytes("originals/a b ü%.jpg") == data
        assert store.sha256("originals/a b ü%.jpg") == hashlib.sha256(data).hexdigest()
        store.get_to_file("originals/a b ü%.jpg", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == data
        info = store.head("originals/a b ü%.jpg")
        assert info is not None
        assert info.size_bytes == size
        assert '"' not in (info.etag or '"')
        assert [(listed.key, listed.size_bytes, listed.etag) for listed in store.list()] == [
            ("originals/a b ü%.jpg", size, info.etag)
        ]


def test_absent_objects(store: ObjectStore) -> None:
    assert store.head("none") is None
    assert not store.exists("none")
    store.delete("none")
    assert list(store.list("none")) == []
    with pytest.raises(errors.ObjectMissing) as caught:
        store.get_bytes("none")
    assert caught.value.key == "none"


def test_only_if_absent(store: ObjectStore) -> None:
    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(lambda n: store.put_bytes("t/a", str(n).encode(), only_if_absent=True), range(6)))
    assert won.count(True) == 1
    assert store.get_bytes("t/a") == str(won.index(True)).encode()
    assert store.put_bytes("t/a", b"new") is True
    assert store.get_bytes("t/a") == b"new"


def test_list_is_by_folder_and_delete_deletes(store: ObjectStore) -> None:
    for key in ("tables/files/1", "tables/files/m/2", "tables/files2/3"):
        store.put_bytes(key, b"1")
    assert sorted(info.key for info in store.list("tables/files/")) == ["tables/files/1", "tables/files/m/2"]
    store.delete("tables/files/1")
    assert sorted(info.key for info in store.list("tables/files")) == ["tables/files/m/2"]


def test_list_over_pages(store: ObjectStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.put_bytes(f"many/{n:04}", b""), range(1100)))
    assert len({info.key for info in store.list("many")}) == 1100


def test_presigned_url_works_for_anybody(store: ObjectStore) -> None:
    store.put_bytes("renditions/a b.jpg", b"picture")
    url = store.presigned_url("renditions/a b.jpg", 60)
    assert url is not None
    answer = requests.get(url, timeout=10)
    assert (answer.status_code, answer.content) == (200, b"picture")
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert requests.get(url.split("?")[0], timeout=10).status_code == 403
    assert store.public_url("renditions/a b.jpg") is None
    assert store.local_path("renditions/a b.jpg") is None


def every_call(store: ObjectStore, tmp_path: Path) -> list[Callable[[], object]]:
    (tmp_path / "file").write_bytes(b"1")
    return [
        lambda: store.head("a"),
        lambda: store.get_bytes("a"),
        lambda: store.put_bytes("a", b"1"),
        lambda: store.put_bytes("a", b"1", only_if_absent=True),
        lambda: store.put_file("a", tmp_path / "file", consume=True),
        lambda: list(store.list("x")),
        lambda: store.delete("a"),
        lambda: store.sha256("a"),
        lambda: store.get_to_file("a", tmp_path / "copy"),
    ]


@pytest.mark.parametrize(
    ("changes", "expected", "word"),
    [
        ({"secret": "hunter2"}, errors.StoreDenied, "secret key"),
        ({"access": "nobody"}, errors.StoreDenied, "access key"),
    ],
)
def test_wrong_credentials(
    s3_server: dict[str, str],
    s3_bucket: str,
    tmp_path: Path,
    changes: dict[str, str],
    expected: type[errors.StorageError],
    word: str,
) -> None:
    options = options_for(s3_server, **changes)
    for call in every_call(open_store(f"s3://{s3_bucket}", options), tmp_path):
        with pytest.raises(expected, match=word) as caught:
            call()
        assert not any(secret in str(caught.value) for secret in changes.values())
        assert s3_server["secret"] not in str(caught.value)
    assert (tmp_path / "file").exists()
    inbox = open_inbox(f"s3://{s3_bucket}/in", options, settle_s=0)
    for inbox_call in (lambda: inbox.list(None, 1), lambda: inbox.fetch("a", "e", 1, tmp_path / "dest", PLENTY)):
        with pytest.raises(expected, match=word):
            inbox_call()


def test_missing_bucket(options: StoreOptions, tmp_path: Path) -> None:
    for index, _ in enumerate(every_call(open_store("s3://no-such-bucket", options), tmp_path)):
        # A store of its own each time: the first call of a process must tell.
        call = every_call(open_store("s3://no-such-bucket/prefix", options), tmp_path)[index]
        with pytest.raises(errors.StoreMissing, match=r"does not exist .*Create it"):
            call()
    inbox = open_inbox("s3://no-such-bucket/in", options, settle_s=0)
    for inbox_call in (
        lambda: inbox.list(None, 1),
        lambda: inbox.head("a"),
        lambda: inbox.fetch("a", "e", 1, tmp_path / "dest", PLENTY),
    ):
        with pytest.raises(errors.StoreMissing, match="Create it"):
            inbox_call()


def _closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def test_unreachable_endpoint(tmp_path: Path) -> None:
    options = options_for({"endpoint": _closed_port(), "access": "a", "secret": "b"})
    store = open_store("s3://bucket-x", options)
    inbox = open_inbox("s3://bucket-x/in", options, settle_s=0)
    calls: list[Callable[[], object]] = [
        lambda: store.head("a"),
        lambda: store.put_bytes("a", b"1"),
        lambda: inbox.list(None, 10),
        lambda: inbox.fetch("a", "e", 1, tmp_path / "dest", PLENTY),
    ]
    for call in calls:
        begun = time.monotonic()
        with pytest.raises(errors.StoreUnreachable, match="Check the endpoint"):
            call()
        assert time.monotonic() - begun < 15


def test_an_endpoint_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        store = open_store("s3://bucket-x", options_for({"endpoint": endpoint, "access": "a", "secret": "b"}))
        begun = time.monotonic()
        with pytest.raises(errors.StoreUnreachable):
            store.head("a")
        assert time.monotonic() - begun < 15


# The inbox


def test_paging_over_odd_keys(options: StoreOptions, s3_bucket: str, client: Any, tmp_path: Path) -> None:
    wanted = sorted({f"alice/{n:04} é +%#.jpg" for n in range(1050)} | {f"bob/{key}" for key in ODD})
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: client.put_object(Bucket=s3_bucket, Key=f"in/box/{key}", Body=key.encode()), wanted))
    client.put_object(Bucket=s3_bucket, Key="in/boxes/other.jpg", Body=b"not ours")
    client.put_object(Bucket=s3_bucket, Key="in/box/alice/empty folder/", Body=b"")
    client.put_object(Bucket=s3_bucket, Key="in/box/alice/.DS_Store", Body=b"litter")
    url = f"s3://{s3_bucket}/in/box/"
    inbox = open_inbox(url, options, settle_s=0)
    assert inbox.url == f"s3://{s3_bucket}/in/box"
    for limit in (5000, 1000, 77):
        assert sorted(keys_of(inbox, limit)) == wanted
    # Each page by another process: only the position is carried over.
    found, position = [], None
    while True:
        page = open_inbox(url, options, settle_s=0).list(position, 300)
        found += page.objects
        position = page.position
        if position is None:
            break
    assert sorted(entry.source_key for entry in found) == wanted
    for entry in found:
        if entry.source_key.startswith("bob/"):
            assert inbox.head(entry.source_key) is not None
            digest = inbox.fetch(entry.source_key, entry.etag, entry.size_bytes, tmp_path / "dest", PLENTY)
            assert digest == hashlib.sha256(entry.source_key.encode()).hexdigest()
            assert (tmp_path / "dest").read_bytes() == entry.source_key.encode()


def test_an_object_beside_a_folder_of_its_name(options: StoreOptions, s3_bucket: str, client: Any) -> None:
    wanted = ["a", "d", "d/a", "d/b", "e"]
    for key in wanted:
        client.put_object(Bucket=s3_bucket, Key=key, Body=b"1")
    inbox = open_inbox(f"s3://{s3_bucket}", options, settle_s=0)
    assert sorted(keys_of(inbox, 1)) == wanted


def test_empty_inbox(options: StoreOptions, s3_bucket: str) -> None:
    assert keys_of(open_inbox(f"s3://{s3_bucket}/in", options, settle_s=0), 10) == []


def test_versions(options: StoreOptions, s3_bucket: str, client: Any, tmp_path: Path) -> None:
    inbox = open_inbox(f"s3://{s3_bucket}/in", options, settle_s=0)
    client.put_object(Bucket=s3_bucket, Key="in/a.jpg", Body=b"first")
    (first,) = inbox.list(None, 10).objects
    client.put_object(Bucket=s3_bucket, Key="in/a.jpg", Body=b"other")
    (second,) = inbox.list(None, 10).objects
    assert first.etag != second.etag
    assert inbox.head("a.jpg") == second
    dest = tmp_path / "dest"
    with pytest.raises(errors.PreconditionFailed) as changed:
        inbox.fetch("a.jpg", first.etag, first.size_bytes, dest, PLENTY)
    assert changed.value.key == "a.jpg"
    with pytest.raises(ContentError) as too_big:
        inbox.fetch("a.jpg", second.etag, second.size_bytes, dest, 4)
    assert too_big.value.reason is ReasonCode.TOO_MANY_BYTES
    client.delete_object(Bucket=s3_bucket, Key="in/a.jpg")
    with pytest.raises(errors.ObjectMissing) as gone:
        inbox.fetch("a.jpg", second.etag, second.size_bytes, dest, PLENTY)
    assert gone.value.key == "a.jpg"
    assert inbox.head("a.jpg") is None
    assert not dest.exists()


def test_multipart_uploads(options: StoreOptions, s3_bucket: str, client: Any, tmp_path: Path) -> None:
    data = os.urandom(12_000_000)
    (tmp_path / "big").write_bytes(data)
    client.upload_file(str(tmp_path / "big"), s3_bucket, "in/big.mp4")
    inbox = open_inbox(f"s3://{s3_bucket}/in", options, settle_s=0)
    (found,) = inbox.list(None, 10).objects
    assert "-" in found.etag
    assert (
        inbox.fetch("big.mp4", found.etag, found.size_bytes, tmp_path / "dest", PLENTY)
        == hashlib.sha256(data).hexdigest()
    )


def test_from_the_environment(s3_server: dict[str, str], s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server["endpoint"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server["access"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server["secret"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    store = open_store(f"s3://{s3_bucket}")
    store.put_bytes("in/a.jpg", b"1")
    inbox = open_inbox(f"s3://{s3_bucket}/in", StoreOptions(), settle_s=0)
    assert keys_of(inbox, 10) == ["a.jpg"]
