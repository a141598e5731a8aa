"""The object store: one contract for the local folder and for memory, and what only the local folder does."""

import errno
import hashlib
import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError

from media_assets.storage import errors, objects_local
from media_assets.storage.answers import error_of_answer
from media_assets.storage.objects import ObjectStore, StoreOptions, open_store
from media_assets.storage.objects_remote import translate_store_error

NOWHERE = "tables/files/none.parquet"


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path / "library") if request.param == "local" else "memory://")


@pytest.fixture
def local(tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path / "library"))


def keys_of(store: ObjectStore, prefix: str = "") -> list[str]:
    return sorted(info.key for info in store.list(prefix))


@pytest.mark.parametrize("key", ["a", "a/b c%20#1é?+&=.txt", "tables/files/month=2024-05/r-0.parquet", "x/日本.jpg"])
def test_round_trip(store: ObjectStore, tmp_path: Path, key: str) -> None:
    data = os.urandom(3_000_000)
    assert store.put_bytes(key, data) is True
    assert store.get_bytes(key) == data
    assert store.sha256(key) == hashlib.sha256(data).hexdigest()
    store.get_to_file(key, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    info = store.head(key)
    assert info is not None
    assert (info.key, info.size_bytes) == (key, len(data))
    assert info.modified_at.utcoffset() is not None
    assert [(found.key, found.size_bytes, found.etag) for found in store.list()] == [(key, len(data), info.etag)]


def test_overwriting_changes_content_and_etag(store: ObjectStore) -> None:
    store.put_bytes("a", b"one")
    before = store.head("a")
    store.put_bytes("a", b"three")
    after = store.head("a")
    assert store.get_bytes("a") == b"three"
    assert before is not None
    assert after is not None
    assert before.etag != after.etag


def test_only_if_absent_keeps_what_is_there(store: ObjectStore) -> None:
    assert store.put_bytes("t/a", b"1", only_if_absent=True) is True
    assert store.put_bytes("t/a", b"2", only_if_absent=True) is False
    assert store.get_bytes("t/a") == b"1"


def test_of_racing_writers_one_wins(store: ObjectStore) -> None:
    barrier = threading.Barrier(8)

    def write(n: int) -> bool:
        barrier.wait()
        return store.put_bytes("races/a", str(n).encode(), only_if_absent=True)

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(8)))
    assert won.count(True) == 1
    assert store.get_bytes("races/a") == str(won.index(True)).encode()


def test_absent_objects(store: ObjectStore, tmp_path: Path) -> None:
    assert store.head(NOWHERE) is None
    assert not store.exists(NOWHERE)
    store.delete(NOWHERE)
    for read in (
        lambda: store.get_bytes(NOWHERE),
        lambda: store.sha256(NOWHERE),
        lambda: store.get_to_file(NOWHERE, tmp_path / "copy"),
    ):
        with pytest.raises(errors.ObjectMissing) as caught:
            read()
        assert caught.value.key == NOWHERE
    assert not (tmp_path / "copy").exists()
    with pytest.raises(errors.ObjectMissing):
        store.put_file("a", tmp_path / "no file")


def test_a_folder_is_no_object(store: ObjectStore) -> None:
    store.put_bytes("folder/a", b"1")
    assert store.head("folder") is None
    assert store.head("folder/a/b") is None
    store.delete("folder")
    store.delete("folder/a/b")
    with pytest.raises(errors.ObjectMissing):
        store.get_bytes("folder")
    assert keys_of(store) == ["folder/a"]


def test_list_is_by_folder(store: ObjectStore) -> None:
    for key in ("tables/files/1", "tables/files/m/2", "tables/files2/3", "tables/files-4"):
        store.put_bytes(key, b"")
    assert keys_of(store, "tables/files") == keys_of(store, "tables/files/") == ["tables/files/1", "tables/files/m/2"]
    assert keys_of(store, "nothing") == []
    assert len(keys_of(store)) == 4
    store.delete("tables/files/1")
    assert keys_of(store, "tables/files") == ["tables/files/m/2"]


@pytest.mark.parametrize("size", [0, 5, 20_000_000])
@pytest.mark.parametrize("consume", [False, True])
def test_put_file(store: ObjectStore, size: int, consume: bool) -> None:
    path = store.scratch_dir() / f"file-{os.getpid()}-{size}-{consume}"
    data = os.urandom(size)
    path.write_bytes(data)
    store.put_file("originals/a", path, consume=consume)
    assert store.get_bytes("originals/a") == data
    assert path.exists() is not consume
    path.unlink(missing_ok=True)
    assert keys_of(store) == ["originals/a"]


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "../a",
        "a/../b",
        "a/./b",
        "a\nb",
        "a\0b",
        "a\\b",
        "x" * 256,
        "a/" * 600 + "a",
        ".spool/x",
    ],
)
def test_keys_that_no_store_holds_are_refused(store: ObjectStore, tmp_path: Path, key: str) -> None:
    for call in (store.get_bytes, store.head, store.delete, store.public_url, store.local_path, store.presigned_url):
        with pytest.raises(ValueError, match=r"key|spool"):
            call(key)
    with pytest.raises(ValueError, match=r"key|spool"):
        store.put_bytes(key, b"")
    assert keys_of(store) == []


def test_addresses(store: ObjectStore, tmp_path: Path) -> None:
    store.put_bytes("a b/ü.jpg", b"1")
    path = store.local_path("a b/ü.jpg")
    url = store.public_url("a b/ü.jpg")
    assert store.presigned_url("a b/ü.jpg") is None
    if store.url == "memory://":
        assert (path, url) == (None, None)
        return
    assert path is not None
    assert path.read_bytes() == b"1"
    assert url == path.as_uri()
    published = open_store(store.url, StoreOptions(public_base_url="https://cdn.example/media/"))
    assert published.public_url("a b/ü.jpg") == "https://cdn.example/media/a%20b/%C3%BC.jpg"
    assert published.get_bytes("a b/ü.jpg") == b"1"


def test_file_url_and_path_are_the_same_store(tmp_path: Path) -> None:
    folder = tmp_path / "my library"
    open_store(str(folder)).put_bytes("a", b"1")
    assert open_store(folder.as_uri()).get_bytes("a") == b"1"
    assert open_store(str(folder)).url == folder.as_uri()


def test_unusable_addresses(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.StoreMissing, match=r"is a file, not a folder\. Pass"):
        open_store(str(tmp_path / "file"))
    with pytest.raises(errors.StoreMissing, match="no folder"):
        open_store(str(tmp_path / "file" / "library"))
    for bad in ("", "s3://", "ftp://host/x", "nonsense://x", "file://other/x"):
        with pytest.raises(errors.StorageError) as caught:
            open_store(bad)
        assert caught.value.message.endswith(".")


@pytest.mark.parametrize("url", ["s3://AKIA:hunter2@bucket/x", "s3://bucket/x?secret=hunter2", "s3://bucket#hunter2"])
def test_secrets_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(errors.StorageError) as caught:
        open_store(url)
    assert "hunter2" not in str(caught.value)


def test_secrets_are_not_shown() -> None:
    options = StoreOptions(
        s3_endpoint_url="http://127.0.0.1:1",
        s3_access_key_id="id",
        s3_secret_access_key="hunter2",
        s3_region="eu-west-1",
    )
    store = open_store("s3://bucket/prefix/", options)
    assert store.url == "s3://bucket/prefix"
    shown = [repr(options), str(options), repr(store), str(store), store.url]
    assert not any("hunter2" in text for text in shown)
    url = store.presigned_url("a/b.jpg")
    assert url is not None
    assert url.startswith("http://127.0.0.1:1/bucket/prefix/a/b.jpg?")
    assert "hunter2" not in url


# Only the local folder


def test_the_spool_is_on_the_same_disk_and_not_listed(local: ObjectStore) -> None:
    spool = local.scratch_dir()
    (spool / "half").write_bytes(b"x")
    root = local.local_path("a").parent  # type: ignore[union-attr]
    assert spool.parent == root
    (root / ".media_assets-0123.tmp").write_bytes(b"left by a crash on another disk")
    (root / os.fsdecode(b"odd\xff")).write_bytes(b"")
    (root / "odd\tname").write_bytes(b"")
    (root / "loop").symlink_to("loop")
    (root / "up").symlink_to(root)
    os.mkfifo(root / "pipe")
    local.put_bytes("a", b"1")
    assert keys_of(local) == ["a"]


def test_consume_is_a_move(local: ObjectStore) -> None:
    path = local.scratch_dir() / "big"
    path.write_bytes(b"123")
    inode = path.stat().st_ino
    local.put_file("originals/x/big", path, consume=True)
    assert local.local_path("originals/x/big").stat().st_ino == inode  # type: ignore[union-attr]


def test_consume_across_disks_copies(local: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "elsewhere"
    path.write_bytes(b"123")
    real, refused = Path.replace, []

    def replace(self: Path, target: Path) -> Path:
        if self == path:
            refused.append(target)
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    local.put_file("a", path, consume=True)
    assert refused
    assert local.get_bytes("a") == b"123"
    assert not path.exists()


def test_a_part_of_the_library_on_another_disk(local: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if self.parent != target.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    local.put_bytes("originals/a", b"1")
    assert local.get_bytes("originals/a") == b"1"
    assert keys_of(local) == ["originals/a"]


def test_a_link_is_copied_not_moved(local: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "original").write_bytes(b"1")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "original")
    local.put_file("a", link, consume=True)
    assert not local.local_path("a").is_symlink()  # type: ignore[union-attr]
    assert (tmp_path / "original").exists()
    assert not link.is_symlink()


def test_only_if_absent_without_hard_links(local: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    test_of_racing_writers_one_wins(local)
    test_only_if_absent_keeps_what_is_there(local)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_names_the_folder_and_leaves_nothing(
    local: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    local.put_bytes("t/a", b"old")

    def fsync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(objects_local.os, "fsync", fsync)
    source = tmp_path / "source"
    source.write_bytes(b"new")
    for write in (
        lambda: local.put_bytes("t/a", b"new"),
        lambda: local.put_bytes("t/b", b"new", only_if_absent=True),
        lambda: local.put_file("t/a", source),
        lambda: local.put_file("t/a", source, consume=True),
    ):
        with pytest.raises(errors.StoreFull, match=str(tmp_path / "library" / "t")):
            write()
    monkeypatch.undo()
    assert local.get_bytes("t/a") == b"old"
    assert source.exists()
    assert list(local.scratch_dir().iterdir()) == []


def test_read_only_disk(local: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(self: Path, _target: Path) -> Path:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(errors.StoreDenied, match=r"Fix the permissions of .*originals"):
        local.put_bytes("originals/a", b"1")


def test_unwritable_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(errors.StoreDenied, match=str(tmp_path)):
        open_store(str(tmp_path))


def test_a_library_that_was_unplugged_is_not_made_anew(local: ObjectStore, tmp_path: Path) -> None:
    local.put_bytes("a", b"1")
    (tmp_path / "library").rename(tmp_path / "unplugged")
    for call in (
        lambda: local.get_bytes("a"),
        lambda: local.head("a"),
        lambda: local.put_bytes("b", b"1"),
        lambda: list(local.list()),
        local.scratch_dir,
    ):
        with pytest.raises(errors.StoreMissing, match="Mount or restore it"):
            call()
    assert not (tmp_path / "library").exists()


def _write_for_ever(folder: str, started: object) -> None:
    store = open_store(folder)
    n = 0
    while True:
        store.put_bytes("t/a", bytes([n % 256]) * 2_000_000)
        n += 1
        if n == 2:
            started.set()  # type: ignore[attr-defined]


def test_a_killed_writer_leaves_a_whole_object(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=_write_for_ever, args=(str(tmp_path), started))
    process.start()
    assert started.wait(60)
    process.kill()
    process.join()
    data = open_store(str(tmp_path)).get_bytes("t/a")
    assert data == data[:1] * 2_000_000
    assert [info.key for info in open_store(str(tmp_path)).list()] == ["t/a"]


# Errors


@pytest.mark.parametrize(
    "error",
    [
        errors.StoreFull("Full. Free space."),
        errors.ObjectMissing("Gone. List.", "a/b"),
        errors.PreconditionFailed("x.", "k"),
    ],
)
def test_errors_survive_pickling(error: errors.StorageError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.message, str(copy)) == (type(error), error.message, error.message)
    assert getattr(copy, "key", None) == getattr(error, "key", None)


@pytest.mark.parametrize(
    ("status", "code", "expected", "word"),
    [
        (403, "SignatureDoesNotMatch", errors.StoreDenied, "AWS_SECRET_ACCESS_KEY"),
        (403, "InvalidAccessKeyId", errors.StoreDenied, "AWS_ACCESS_KEY_ID"),
        (403, "AccessDenied", errors.StoreDenied, "rights"),
        (403, "", errors.StoreDenied, "rights"),
        (404, "NoSuchBucket", errors.StoreMissing, "Create it"),
        (404, "NoSuchKey", errors.ObjectMissing, "no object"),
        (301, "PermanentRedirect", errors.StoreMissing, "region"),
        (412, "PreconditionFailed", errors.PreconditionFailed, "another version"),
        (503, "SlowDown", errors.StoreUnreachable, "repeat"),
        (429, "", errors.StoreUnreachable, "repeat"),
        (507, "XMinioStorageFull", errors.StoreFull, "quota"),
        (400, "Strange", errors.StorageError, "Strange"),
    ],
)
def test_what_a_server_says(status: int, code: str, expected: type[errors.StorageError], word: str) -> None:
    error = error_of_answer("s3://b", "k", status, code)
    assert type(error) is expected
    assert word in error.message
    assert error.message.endswith(".")
    assert error.retryable is (expected is errors.StoreUnreachable)
    # The same through obstore's text, which must not come along.
    text = f"Server returned non-2xx status code: {status} X: <Error><Code>{code}</Code><Key>hunter2</Key></Error>"
    through = translate_store_error(GenericError(text), "s3://b", "k")
    assert type(through) is expected
    assert "hunter2" not in through.message


def test_errors_without_an_answer() -> None:
    refused = GenericError("Generic S3 error: HTTP error: error sending request")
    assert type(translate_store_error(refused, "s3://b", "k")) is errors.StoreUnreachable
    metadata = GenericError("Error performing PUT http://169.254.169.254/latest/api/token in 5 ms")
    assert type(translate_store_error(metadata, "s3://b", "k")) is errors.StoreDenied
    assert type(translate_store_error(PermissionDeniedError("?"), "s3://b", "k")) is errors.StorageError
