"""A store that can be watched and disturbed, and looks into the catalog as a reader has it."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from media_assets.storage.catalog import read_current
from media_assets.storage.objects import ObjectInfo, ObjectStore, StoreOptions

T = TypeVar("T")
MAY, JUNE = "2024-05", "2024-06"


class WatchedStore(ObjectStore):
    """The real store, with a say before each call and after each change: to fail, to look, to write in between."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner.url, StoreOptions())
        self.inner = inner
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    def put_bytes(self, key: str, data: bytes, *, only_if_absent: bool = False) -> bool:
        return self._call(lambda: self.inner.put_bytes(key, data, only_if_absent=only_if_absent), changes=True)

    def put_file(self, key: str, path: Path, *, consume: bool = False) -> None:
        self._call(lambda: self.inner.put_file(key, path, consume=consume), changes=True)

    def get_to_file(self, key: str, path: Path) -> None:
        self._call(lambda: self.inner.get_to_file(key, path))

    def get_bytes(self, key: str) -> bytes:
        return self._call(lambda: self.inner.get_bytes(key))

    def chunks(self, key: str) -> Iterator[bytes]:
        return self._call(lambda: self.inner.chunks(key))

    def head(self, key: str) -> ObjectInfo | None:
        return self._call(lambda: self.inner.head(key))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self._call(lambda: iter([*self.inner.list(prefix)]))

    def delete(self, key: str) -> None:
        self._call(lambda: self.inner.delete(key), changes=True)

    def local_path(self, key: str) -> Path | None:
        return self.inner.local_path(key)

    def scratch_dir(self) -> Path:
        return self.inner.scratch_dir()

    def _call(self, action: Callable[[], T], *, changes: bool = False) -> T:
        self.before()
        result = action()
        if changes:
            self.after()
        return result


def visible(store: ObjectStore, table: str) -> dict[str, list[str]]:
    """Catalog files of a table by month, as a glob sees them."""
    files = defaultdict(list)
    for info in store.list(f"catalog/{table}"):
        if info.key.endswith(".parquet"):
            files[info.key.split("/")[2].removeprefix("month=")].append(info.key)
    return dict(files)


def kinds_of(store: ObjectStore) -> list[tuple[str, str, int]]:
    """Current renditions in a short form: media id, kind, width (which tells the computations apart)."""
    return [(r["media_id"], r["kind"], r["width_px"]) for r in read_current(store, "renditions").to_pylist()]


def manifest(store: ObjectStore, table: str) -> dict[str, Any]:
    return json.loads(store.get_bytes(f"catalog/{table}/CURRENT.json"))
