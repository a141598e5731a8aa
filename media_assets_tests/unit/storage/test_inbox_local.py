"""The inbox in a folder: order, pages, settling, hostile names and links, versions."""

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media_assets.media.errors import ContentError, ReasonCode
from media_assets.storage import errors, inbox_local
from media_assets.storage.inbox import DEFAULT_IGNORE, IgnoreRules, Inbox, InboxObject, open_inbox, printable
from media_assets.storage.objects import StoreOptions

PLENTY = 1 << 30


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def opened(root: Path, **settings: object) -> Inbox:
    return open_inbox(str(root), StoreOptions(), **{"settle_s": 0, **settings})  # type: ignore[arg-type]


def put(root: Path, name: str | bytes, data: bytes = b"data") -> Path:
    path = root / os.fsdecode(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def sweep(inbox: Inbox, limit: int = 1000) -> Iterator[InboxObject]:
    position = None
    while True:
        page = inbox.list(position, limit)
        assert len(page.objects) <= limit
        yield from page.objects
        position = page.position
        if position is None:
            return


def keys_of(inbox: Inbox, limit: int = 1000) -> list[str]:
    return [found.source_key for found in sweep(inbox, limit)]


def only(inbox: Inbox) -> InboxObject:
    (found,) = sweep(inbox)
    return found


def problem_of(root: Path) -> tuple[str, ReasonCode | None]:
    found = only(opened(root))
    if found.problem is not None:
        assert found.problem_message
        assert found.problem_message.endswith(".")
        assert str(root) not in found.problem_message
    return found.source_key, found.problem


# Listing


def test_lists_files_with_their_version(root: Path) -> None:
    path = put(root, "alice/a b.jpg", b"12345")
    os.utime(path, ns=(0, 1_700_000_000_123_456_789))
    found = only(opened(root))
    assert found.source_key == "alice/a b.jpg"
    assert found.etag == f"{1_700_000_000_123_456_789:x}-5"
    assert found.size_bytes == 5
    assert found.modified_at.timestamp() == pytest.approx(1_700_000_000.123456)
    assert found.problem is found.problem_message is None


def test_zero_byte_files_are_listed(root: Path) -> None:
    put(root, "empty.jpg", b"")
    assert only(opened(root)).size_bytes == 0


def test_empty_inbox(root: Path) -> None:
    page = opened(root).list(None, 10)
    assert page.objects == ()
    assert page.position is None


name = st.text(st.sampled_from("ab -.%é日\n\\"), min_size=1, max_size=3).filter(lambda text: text not in (".", ".."))
trees = st.lists(st.lists(name, min_size=1, max_size=3), max_size=25)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(trees, st.integers(1, 7), st.booleans())
def test_a_sweep_in_any_pages_gives_everything_once(
    tmp_path: Path, tree: list[list[str]], limit: int, restart: bool
) -> None:
    folder = tmp_path / "sweep"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    made: set[str] = set()
    for parts in tree:
        path = folder.joinpath(*parts)
        if any(parent.is_file() for parent in path.parents) or path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        made.add("/".join(parts))
    inbox, found, position = opened(folder, ignore=()), [], None
    while True:
        page = inbox.list(position, limit)
        found += [entry.source_key for entry in page.objects]
        position = page.position
        if position is None:
            break
        assert position.isascii()
        if restart:
            inbox = opened(folder, ignore=())
    assert found == sorted(made, key=lambda key: [part.encode() for part in key.split("/")])


def test_resuming_reads_no_folder_that_is_done(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(5):
        put(root, f"f{n}/sub/a.jpg")
    position = opened(root).list(None, 3).position
    read: list[bytes] = []
    real = os.listdir
    monkeypatch.setattr(inbox_local.os, "listdir", lambda path: read.append(path) or real(path))
    assert [found.source_key for found in opened(root).list(position, 10).objects] == ["f3/sub/a.jpg", "f4/sub/a.jpg"]
    assert [os.fsdecode(path.rsplit(b"/", 1)[1]) for path in read] == ["inbox", "f2", "sub", "f3", "sub", "f4", "sub"]


def test_pages_of_one_process_read_a_folder_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(20):
        put(root, f"{n:02}.jpg")
    read: list[bytes] = []
    real = os.listdir
    monkeypatch.setattr(inbox_local.os, "listdir", lambda path: read.append(path) or real(path))
    assert keys_of(opened(root), limit=3) == [f"{n:02}.jpg" for n in range(20)]
    assert len(read) == 1


def test_going_on_after_the_position_was_removed(root: Path) -> None:
    for name_ in ("a/1", "a/2", "b/1", "c"):
        put(root, name_)
    position = opened(root).list(None, 2).position
    shutil.rmtree(root / "a")
    put(root, "a-late")
    page = opened(root).list(position, 10)
    assert [found.source_key for found in page.objects] == ["a-late", "b/1", "c"]


def test_deep_trees(root: Path) -> None:
    folders = [root]
    for _ in range(1200):
        folders.append(folders[-1] / "d")
        folders[-1].mkdir()
    (folders[-1] / "a.jpg").touch()
    found = keys_of(opened(root))
    (folders[-1] / "a.jpg").unlink()
    for folder in reversed(folders):  # shutil.rmtree, and so pytest, would recurse too deep
        folder.rmdir()
    assert found == ["d/" * 1200 + "a.jpg"]


def test_paths_too_long_for_the_system_are_reported(root: Path) -> None:
    put(root, "z.jpg")
    old = Path.cwd()
    try:
        os.chdir(root)
        for _ in range(20):
            Path("d" * 250).mkdir()
            os.chdir("d" * 250)
        Path("a.jpg").touch()
    finally:
        os.chdir(old)
    found = list(sweep(opened(root), limit=1))
    assert [entry.problem for entry in found] == [ReasonCode.NAME_TOO_LONG, None]
    shutil.rmtree(root)


@pytest.mark.parametrize(
    ("name_", "ignored"),
    [
        (".DS_Store", True),
        ("._IMG_1.jpg", True),
        ("Thumbs.db", True),
        ("desktop.ini", True),
        ("a.jpg.part", True),
        ("a.jpg.crdownload", True),
        ("a.tmp", True),
        (".~lock.a.jpg#", True),
        (".IMG_1.jpg.aB3xY9", True),
        ("IMG_1.jpg", False),
        ("a.part.jpg", False),
        (".hidden.jpg", False),
        ("thumbs.jpg", False),
    ],
)
def test_litter_and_partial_uploads_are_left_out(root: Path, name_: str, ignored: bool) -> None:
    put(root, f"alice/{name_}")
    assert (keys_of(opened(root)) == []) is ignored
    assert IgnoreRules(DEFAULT_IGNORE).has_path(f"alice/{name_}") is ignored


def test_file_patterns_do_not_hide_folders(root: Path) -> None:
    put(root, "summer.part/a.jpg")
    put(root, "@eaDir/a.jpg")
    assert keys_of(opened(root)) == ["@eaDir/a.jpg", "summer.part/a.jpg"]
    assert keys_of(opened(root, ignore=("@eaDir/",))) == ["summer.part/a.jpg"]
    assert IgnoreRules(["@eaDir/"]).has_path("x/@eaDir/a.jpg")
    assert not IgnoreRules(["@eaDir/"]).has_path("x/@eaDir")


def test_excluded_folders(root: Path) -> None:
    put(root, "library/originals/a.jpg")
    put(root, "library2/a.jpg")
    (root / "link.jpg").symlink_to(root / "library/originals/a.jpg")
    found = list(sweep(opened(root, exclude=[root / "library"])))
    assert [(entry.source_key, entry.problem) for entry in found] == [
        ("library2/a.jpg", None),
        ("link.jpg", ReasonCode.SYMLINK_OUTSIDE_INBOX),
    ]


# Settling


def test_young_files_wait(root: Path) -> None:
    path = put(root, "a.jpg")
    os.utime(path, (0, 0))  # as cp -p and rsync leave it: old mtime, new ctime
    assert keys_of(opened(root, settle_s=30)) == []
    assert keys_of(opened(root, settle_s=0)) == ["a.jpg"]


def test_settled_files_are_listed(root: Path) -> None:
    put(root, "a.jpg")
    time.sleep(0.25)
    assert keys_of(opened(root, settle_s=0.2)) == ["a.jpg"]


@pytest.mark.parametrize(("ahead_s", "listed"), [(30, False), (3600, True)])
def test_clock_skew(root: Path, monkeypatch: pytest.MonkeyPatch, ahead_s: int, listed: bool) -> None:
    path = put(root, "a.jpg")
    now = time.time()
    os.utime(path, (now + 600 + ahead_s, now + 600 + ahead_s))
    monkeypatch.setattr(inbox_local.time, "time", lambda: now + 600)  # so that ctime is old
    assert (keys_of(opened(root, settle_s=10)) == ["a.jpg"]) is listed


# Names and things that are no files


def test_names_that_are_not_utf8(root: Path) -> None:
    put(root, b"caf\xe9/a.jpg")
    assert problem_of(root) == ("caf\\xe9/a.jpg", ReasonCode.NAME_NOT_UTF8)
    position = opened(root).list(None, 1).position
    assert position is not None
    assert position.isascii()
    assert opened(root).list(position, 1).objects == ()
    assert opened(root).head("caf\\xe9/a.jpg") is None


@pytest.mark.parametrize(
    "odd", ["a\nb.jpg", " a .jpg", "-rf", "é.jpg", "e\u0301.jpg", "a%20b?.jpg", "\u202egpj.exe", "~", "*"]
)
def test_odd_names_are_fine(root: Path, tmp_path: Path, odd: str) -> None:
    put(root, odd, b"x")
    assert problem_of(root) == (odd, None)
    found = only(opened(root))
    assert opened(root).head(odd) == found
    assert opened(root).fetch(odd, found.etag, 1, tmp_path / "dest", PLENTY) == hashlib.sha256(b"x").hexdigest()


def test_messages_escape_control_characters() -> None:
    assert printable("a\n\x1b[31m é日\u202e") == "a\\n\\x1b[31m é日\\u202e"


def test_links(root: Path, tmp_path: Path) -> None:
    outside = put(tmp_path, "outside.jpg")
    put(root, "z/real.jpg", b"12345")
    for link, target in {
        "1-inside.jpg": "z/real.jpg",
        "2-broken.jpg": "nothing.jpg",
        "3-loop.jpg": "3-loop.jpg",
        "4-outside.jpg": str(outside),
        "5-folder": "z",
        "6-self": ".",
        "7-up": "..",
        "8-password": "/etc/passwd",
    }.items():
        (root / link).symlink_to(target)
    found = {entry.source_key: entry for entry in sweep(opened(root))}
    assert {key: entry.problem for key, entry in found.items()} == {
        "1-inside.jpg": None,
        "2-broken.jpg": ReasonCode.SYMLINK_BROKEN,
        "3-loop.jpg": ReasonCode.SYMLINK_LOOP,
        "4-outside.jpg": ReasonCode.SYMLINK_OUTSIDE_INBOX,
        "5-folder": ReasonCode.SYMLINK_TO_FOLDER,
        "6-self": ReasonCode.SYMLINK_TO_FOLDER,
        "7-up": ReasonCode.SYMLINK_OUTSIDE_INBOX,
        "8-password": ReasonCode.SYMLINK_OUTSIDE_INBOX,
        "z/real.jpg": None,
    }
    assert found["1-inside.jpg"].etag == found["z/real.jpg"].etag
    assert all(entry.problem_message for entry in found.values() if entry.problem)
    opened(root).fetch("1-inside.jpg", found["1-inside.jpg"].etag, 5, tmp_path / "dest", PLENTY)
    assert (tmp_path / "dest").read_bytes() == b"12345"


@pytest.mark.timeout(20)
def test_pipes_are_reported_and_never_opened(root: Path, tmp_path: Path) -> None:
    os.mkfifo(root / "a.jpg")
    assert problem_of(root) == ("a.jpg", ReasonCode.NOT_A_FILE)
    found = only(opened(root))
    with pytest.raises(errors.PreconditionFailed):
        opened(root).fetch("a.jpg", found.etag, 0, tmp_path / "dest", PLENTY)


def test_folders_with_the_name_of_a_picture(root: Path) -> None:
    (root / "x.JPG").mkdir()
    assert problem_of(root) == ("x.JPG", ReasonCode.NOT_A_FILE)
    assert keys_of(opened(root), limit=1) == ["x.JPG"]
    (root / "plain").mkdir()
    assert keys_of(opened(root)) == ["x.JPG"]
    put(root, "x.JPG/a.png")
    assert problem_of(root) == ("x.JPG/a.png", None)


def test_missing_root_and_a_file_as_root(tmp_path: Path) -> None:
    with pytest.raises(errors.StoreMissing) as caught:
        opened(tmp_path / "none").list(None, 1)
    assert (
        caught.value.message == f"The inbox folder {tmp_path / 'none'} does not exist. Create it or pass another path."
    )
    put(tmp_path, "file")
    with pytest.raises(errors.StoreMissing, match="is a file"):
        opened(tmp_path / "file").list(None, 1)


def _deny(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As an ordinary user meets a folder of mode 000; root is never refused."""
    real = os.listdir

    def listdir(path: bytes) -> list[bytes]:
        if path == os.fsencode(folder):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path)

    monkeypatch.setattr(inbox_local.os, "listdir", listdir)


def test_an_unreadable_root_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _deny(monkeypatch, root)
    with pytest.raises(errors.StoreDenied, match=str(root)):
        opened(root).list(None, 1)


def test_an_unreadable_folder_does_not_hide_the_others(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name_ in ("a/1.jpg", "b/1.jpg", "c/1.jpg"):
        put(root, name_)
    _deny(monkeypatch, root / "b")
    found = list(sweep(opened(root), limit=1))
    assert [(entry.source_key, entry.problem) for entry in found] == [
        ("a/1.jpg", None),
        ("b", ReasonCode.NOT_A_FILE),
        ("c/1.jpg", None),
    ]
    assert "cannot be read; fix its permissions" in (found[1].problem_message or "")


def test_an_unreadable_file_becomes_a_new_version_when_it_is_readable(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root, "a.jpg")
    with monkeypatch.context() as patch:
        patch.setattr(inbox_local.os, "access", lambda path, mode: mode != os.R_OK)
        assert problem_of(root) == ("a.jpg", ReasonCode.NOT_A_FILE)
        before = only(opened(root))
    after = only(opened(root))
    assert after.problem is None
    assert before.etag != after.etag


# Fetching


def test_fetch_copies_and_hashes(root: Path, tmp_path: Path) -> None:
    data = os.urandom(2_500_000)
    put(root, "alice/a.jpg", data)
    found = only(opened(root))
    digest = opened(root).fetch(found.source_key, found.etag, found.size_bytes, tmp_path / "dest", PLENTY)
    assert digest == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "dest").read_bytes() == data


@pytest.mark.parametrize("change", ["other size", "same size", "renamed over", "folder", "link out"])
def test_fetch_refuses_another_version(root: Path, tmp_path: Path, change: str) -> None:
    path = put(root, "a.jpg", b"12345")
    found = only(opened(root))
    if change == "other size":
        path.write_bytes(b"123456")
    elif change == "same size":
        os.utime(path, (1, 1))
    elif change == "renamed over":
        other = put(tmp_path, "other", b"54321")
        os.utime(other, (1, 1))
        other.replace(path)
    else:
        path.unlink()
        path.mkdir() if change == "folder" else path.symlink_to("/etc/passwd")
    with pytest.raises(errors.PreconditionFailed) as caught:
        opened(root).fetch("a.jpg", found.etag, 5, tmp_path / "dest", PLENTY)
    assert caught.value.key == "a.jpg"
    assert not (tmp_path / "dest").exists()


@pytest.mark.parametrize("change", ["grown", "shrunk", "rewritten"])
def test_fetch_notices_a_change_while_it_reads(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path = put(root, "a.jpg", b"x" * 3_000_000)
    found = only(opened(root))
    real, pending = os.read, [change]

    def read(descriptor: int, length: int) -> bytes:
        if pending:
            what = pending.pop()
            with path.open("r+b") as file:
                if what == "grown":
                    file.seek(0, 2)
                    file.write(b"more")
                elif what == "shrunk":
                    file.truncate(10)
                else:
                    file.write(b"y")
            os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
        return real(descriptor, length)

    monkeypatch.setattr(inbox_local.os, "read", read)
    with pytest.raises(errors.PreconditionFailed):
        opened(root).fetch("a.jpg", found.etag, found.size_bytes, tmp_path / "dest", PLENTY)
    assert not (tmp_path / "dest").exists()


@pytest.mark.parametrize(
    "key",
    ["gone.jpg", "no/such/folder.jpg", "../outside.jpg", "a/../../outside.jpg", "", "/etc/passwd", "a\0b", "x\udcff"],
)
def test_fetch_of_what_is_not_there(root: Path, tmp_path: Path, key: str) -> None:
    put(tmp_path, "outside.jpg")
    put(root, "a/b.jpg")
    with pytest.raises(errors.ObjectMissing):
        opened(root).fetch(key, "0-4", 4, tmp_path / "dest", PLENTY)
    assert opened(root).head(key) is None


def test_fetch_through_a_folder_that_became_a_link_out(root: Path, tmp_path: Path) -> None:
    put(tmp_path, "outside/a.jpg")
    (root / "f").symlink_to(tmp_path / "outside")
    with pytest.raises(errors.PreconditionFailed):
        opened(root).fetch("f/a.jpg", "0-4", 4, tmp_path / "dest", PLENTY)


def test_fetch_refuses_too_much(root: Path, tmp_path: Path) -> None:
    put(root, "a.jpg", b"12345")
    found = only(opened(root))
    with pytest.raises(ContentError) as caught:
        opened(root).fetch("a.jpg", found.etag, 5, tmp_path / "dest", 4)
    assert (caught.value.reason, caught.value.stage) == (ReasonCode.TOO_MANY_BYTES, "inbox")
    assert opened(root).fetch("a.jpg", found.etag, 5, tmp_path / "dest", 5)


def test_fetch_onto_a_full_disk_names_the_folder(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, "a.jpg", b"12345")
    found = only(opened(root))
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, which is a Linux thing")
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *args: real(Path("/dev/full"), *args))
    with pytest.raises(errors.StoreFull, match=str(tmp_path / "spool")):
        opened(root).fetch("a.jpg", found.etag, 5, tmp_path / "spool" / "dest", PLENTY)


def test_when_the_inbox_goes_away(root: Path, tmp_path: Path) -> None:
    put(root, "a.jpg")
    inbox = opened(root)
    found = only(inbox)
    root.rename(tmp_path / "moved")
    with pytest.raises(errors.StoreMissing):
        inbox.fetch("a.jpg", found.etag, 4, tmp_path / "dest", PLENTY)
    with pytest.raises(errors.StoreMissing):
        inbox.list(None, 1)


# Opening


def test_identity_of_the_inbox(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    put(root, "a.jpg")
    inboxes = [opened(root), opened(tmp_path / "alias"), open_inbox(root.as_uri(), StoreOptions(), settle_s=0)]
    assert {inbox.url for inbox in inboxes} == {root.as_uri()}
    assert [keys_of(inbox) for inbox in inboxes] == [["a.jpg"]] * 3


def test_unusable_addresses() -> None:
    with pytest.raises(errors.StorageError, match="not supported"):
        open_inbox("gs://bucket/x", StoreOptions(), settle_s=0)
    with pytest.raises(errors.StorageError) as caught:
        open_inbox("s3://id:hunter2@bucket", StoreOptions(), settle_s=0)
    assert "hunter2" not in str(caught.value)


def test_without_boto3_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    with pytest.raises(errors.StorageError, match=r"pip install 'media_assets\[s3\]'"):
        open_inbox("s3://bucket/inbox", StoreOptions(), settle_s=0)
