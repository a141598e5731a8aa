"""Uploaders: threads that put, overwrite, delete and rename objects, and remember what they did.

Each key belongs to one uploader, so what an object must be in the end is the last thing that its uploader did to it.
"""

import hashlib
import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from media_assets_tests.s3_server import Server
from media_assets_tests.torture.pictures import broken_file, odd_keys, sound_picture

BUCKET = "torture"
INBOX_PREFIX = "inbox/"
BULK = 1100  # more than one page of a listing
_SHARE_BROKEN = 0.04
_HOT = 6


@dataclass(frozen=True)
class Version:
    """One version of an object as its uploader made it.

    Attributes:
        sha256: Of its bytes.
        etag: As the server answered the upload.
        is_sound: Whether it can be decoded; else it must be rejected.
    """

    sha256: str
    etag: str
    is_sound: bool


class Journal:
    """What all uploaders did. Every operation is also a line of ``operations.jsonl``."""

    def __init__(self, path: Path) -> None:
        self.counts: Counter[str] = Counter()
        self.present: dict[str, Version] = {}
        self.versions: dict[str, list[Version]] = {}
        self.errors: list[str] = []
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8")

    def add(self, operation: str, key: str, version: Version | None) -> None:
        """Record an operation that the server has confirmed; ``version`` is ``None`` when the object is gone."""
        with self._lock:
            self.counts[operation] += 1
            if version is None:
                self.present.pop(key, None)
            else:
                self.present[key] = version
                self.versions.setdefault(key, []).append(version)
            line = {"at": round(time.time(), 3), "op": operation, "key": key}
            self._file.write(json.dumps(line | (vars(version) if version is not None else {})) + "\n")
            self._file.flush()

    def failed(self, operation: str, key: str, error: Exception) -> None:
        """Record that the server did not take an operation."""
        with self._lock:
            self.counts[f"{operation} refused by the server"] += 1
            self.errors.append(f"{operation} {key!r}: {error}"[:300])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Uploader(threading.Thread):
    """One uploader with keys, owner folders and a random sequence of its own."""

    def __init__(self, number: int, seed: int, server: Server, journal: Journal, stop: threading.Event) -> None:
        super().__init__(name=f"uploader-{number}", daemon=True)
        self._number, self._journal, self._stopped = number, journal, stop
        self._rng = random.Random(f"{seed}-{number}")
        self._client: Any = server.client()
        self._mine: list[str] = []
        self._made = 0
        self._places = [key for index, key in enumerate(odd_keys()) if index % 3 == number % 3]

    def run(self) -> None:
        """Upload until told to stop."""
        if self._number == 0:
            self._bulk()
        for key in self._places:
            if self._stopped.is_set():
                return
            self._put("put", f"odd{self._number}/{key}")
        while not self._stopped.is_set():
            operation = self._rng.choices(
                [self._one, self._burst, self._overwrite, self._delete, self._rename, self._before_all, self._brief],
                weights=[6, 2, 6, 3, 2, 2, 2],
            )[0]
            operation()
            self._stopped.wait(self._rng.expovariate(2.0))

    def _body(self, key: str) -> tuple[bytes, bool]:
        self._made += 1
        mark = f"{self._number}-{self._made}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
        if self._rng.random() < _SHARE_BROKEN:
            return broken_file(self._rng, mark), False
        return sound_picture(self._rng, mark), True

    def _put(self, operation: str, key: str) -> None:
        data, is_sound = self._body(key)
        try:
            answer = self._client.put_object(Bucket=BUCKET, Key=INBOX_PREFIX + key, Body=data)
        except Exception as error:  # the server's own limits on keys differ; recorded and reported
            self._journal.failed(operation, key, error)
            return
        self._journal.add(
            operation, key, Version(hashlib.sha256(data).hexdigest(), answer["ETag"].strip('"'), is_sound)
        )
        if key not in self._mine:
            self._mine.append(key)

    def _new_key(self) -> str:
        return f"user{self._number}/{self._rng.randrange(10**6):06d}/IMG_{self._made:05d}.jpg"

    def _bulk(self) -> None:
        for number in range(BULK):
            if self._stopped.is_set():
                return
            self._put("put (one large folder)", f"bulk/IMG_{number:05d}.jpg")

    def _one(self) -> None:
        self._put("put", self._new_key())

    def _burst(self) -> None:
        for _ in range(self._rng.randrange(3, 12)):  # within one second
            self._put("put (burst)", self._new_key())

    def _before_all(self) -> None:
        """A key that sorts before everything that was seen: a listing that goes on after a key never meets it."""
        self._put("put (sorts first)", f"!{10**6 - self._made:07d}-{self._number}/early.jpg")

    def _overwrite(self) -> None:
        if self._mine:
            # Some that were there early and some new ones. Not all over the inbox: new versions of scattered files get
            # a run each, and coming to rest would take the longer the longer the storm was.
            key = self._rng.choice(self._mine[:_HOT] + self._mine[-_HOT:])
            for _ in range(self._rng.choice((1, 1, 1, 2, 4))):  # faster than any tick, too
                self._put("overwrite", key)

    def _delete(self) -> None:
        if self._mine:
            key = self._mine.pop(self._rng.randrange(len(self._mine)))
            self._client.delete_object(Bucket=BUCKET, Key=INBOX_PREFIX + key)
            self._journal.add("delete", key, None)

    def _brief(self) -> None:
        """Put and deleted again before, while or after it is read."""
        key = self._new_key()
        self._put("put (brief)", key)
        self._stopped.wait(self._rng.uniform(0, 8))
        if key in self._mine:
            self._mine.remove(key)
            self._client.delete_object(Bucket=BUCKET, Key=INBOX_PREFIX + key)
            self._journal.add("delete", key, None)

    def _rename(self) -> None:
        sound = [key for key in self._mine if self._journal.present[key].is_sound]
        if not sound:
            return
        old, new = self._rng.choice(sound), self._new_key()
        version = self._journal.present[old]
        answer = self._client.copy_object(
            Bucket=BUCKET, Key=INBOX_PREFIX + new, CopySource={"Bucket": BUCKET, "Key": INBOX_PREFIX + old}
        )
        etag = answer["CopyObjectResult"]["ETag"].strip('"')
        self._journal.add("rename", new, Version(version.sha256, etag, True))
        self._mine.append(new)
        self._mine.remove(old)
        self._client.delete_object(Bucket=BUCKET, Key=INBOX_PREFIX + old)
        self._journal.add("delete", old, None)
