"""Events of a bucket: what messages say, and that lost, doubled and wrong ones do no harm."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from media_assets.pipeline.inbox_events import EventReport, receive_events
from media_assets.pipeline.intake import sweep
from media_assets.storage import keys
from media_assets.storage.errors import StoreUnreachable
from media_assets.storage.inbox import InboxObject, Page
from media_assets.storage.inbox_events import Message, Nomination, nominations
from media_assets.storage.inbox_s3 import S3Inbox
from media_assets.storage.ledger import Ledger
from media_assets.storage.objects import StoreOptions

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def notification(*names: str, event: str = "ObjectCreated:Put", bucket: str = "b") -> str:
    return json.dumps(
        {
            "Records": [
                {
                    "eventSource": "aws:s3",
                    "eventName": event,
                    "s3": {"bucket": {"name": bucket}, "object": {"key": key}},
                }
                for key in names
            ]
        }
    )


def bridged(key: str, kind: str = "Object Created") -> str:
    detail = {"bucket": {"name": "b"}, "object": {"key": key}}
    return json.dumps({"source": "aws.s3", "detail-type": kind, "detail": detail})


class Bucket(S3Inbox):
    """An inbox with the prefix ``in`` of the bucket ``b`` whose objects are a dictionary from key to ETag."""

    def __init__(self, objects: dict[str, str]) -> None:
        super().__init__("s3://b/in", StoreOptions(s3_access_key_id="a", s3_secret_access_key="b"))
        self.objects = objects
        self.asked: list[str] = []
        self.is_down = False

    def head(self, source_key: str) -> InboxObject | None:
        self.asked.append(source_key)
        if self.is_down:
            raise StoreUnreachable("down")
        etag = self.objects.get(source_key)
        return None if etag is None else InboxObject(source_key, etag, 10, NOW)

    def list(self, after: str | None, limit: int) -> Page:
        return Page(tuple(InboxObject(key, etag, 10, NOW) for key, etag in sorted(self.objects.items())), None)


class Queue:
    """A queue that gives messages again until they are deleted."""

    def __init__(self, *bodies: str) -> None:
        self.left = {str(at): Message(body, str(at)) for at, body in enumerate(bodies)}

    def receive(self) -> list[Message]:
        return list(self.left.values())[:10]

    def delete(self, messages: Sequence[Message]) -> None:
        for one in messages:
            del self.left[one.receipt]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


def waiting(ledger: Ledger) -> dict[str, str]:
    return {entry.source_key: entry.etag for entry in ledger.waiting("s3://b/in", 100)}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (notification("in/a.jpg", "in/%C3%A9+%2B1.jpg"), ["in/a.jpg", "in/é +1.jpg"]),
        (notification("in/a.jpg", event="s3:ObjectCreated:CompleteMultipartUpload"), ["in/a.jpg"]),
        (notification("in/a.jpg", event="ObjectRemoved:Delete"), []),
        (json.dumps({"Type": "Notification", "Message": notification("in/a.jpg")}), ["in/a.jpg"]),
        (json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}), []),
        (bridged("in/a b.jpg"), ["in/a b.jpg"]),
        (bridged("in/100%25.jpg"), ["in/100%25.jpg", "in/100%.jpg"]),
        (bridged("in/a.jpg", "Object Deleted"), []),
    ],
)
def test_messages_name_what_was_created(body: str, expected: list[str]) -> None:
    assert nominations(body) == [Nomination("b", key) for key in expected]


@pytest.mark.parametrize(
    "body",
    ["", "no json", "[]", "{}", "17", '{"Records": 3}', '{"Records": [{}]}', "[" * 100_000, '{"detail-type": 1}'],
)
def test_what_is_no_event_is_told_apart(body: str) -> None:
    assert nominations(body) is None


def test_events_make_uploads_known_before_the_sweep_and_leave_its_position(ledger: Ledger) -> None:
    bucket = Bucket({"a.jpg": "1", "é +1.jpg": "2", "later.jpg": "3"})
    ledger.record_page(bucket.url, [], "k", take_over=True)
    queue = Queue(notification("in/a.jpg", "in/%C3%A9+%2B1.jpg"))
    assert receive_events(ledger, bucket, queue) == EventReport(messages=1, nominated=2, new=2)
    assert waiting(ledger) == {"a.jpg": "1", "é +1.jpg": "2"}
    status = ledger.sweep_status(bucket.url)
    assert status is not None
    assert (status.position, status.listed) == ("k", 0)
    assert not queue.left


def test_lost_events_are_found_by_the_sweep_and_doubled_ones_change_nothing(ledger: Ledger) -> None:
    bucket = Bucket({"a.jpg": "1", "lost.jpg": "1"})
    receive_events(ledger, bucket, Queue(notification("in/a.jpg"), notification("in/a.jpg"), notification("in/a.jpg")))
    assert bucket.asked == ["a.jpg"]
    assert sweep(ledger, bucket, page_size=100, max_pages=1, take_over=True).new == 1
    assert receive_events(ledger, bucket, Queue(notification("in/a.jpg", "in/lost.jpg"))).new == 0
    assert waiting(ledger) == {"a.jpg": "1", "lost.jpg": "1"}


def test_a_late_event_records_what_is_there_now(ledger: Ledger) -> None:
    bucket = Bucket({"a.jpg": "2"})
    receive_events(ledger, bucket, Queue(notification("in/a.jpg")))
    assert waiting(ledger) == {"a.jpg": "2"}
    del bucket.objects["a.jpg"]
    assert receive_events(ledger, bucket, Queue(notification("in/a.jpg"))).nominated == 0


def test_what_the_listing_would_not_show_is_not_nominated(ledger: Ledger) -> None:
    bucket = Bucket({"x.part": "1", "a.jpg": "1", "folder/": "1"})
    queue = Queue(
        notification("in/x.part", "in/folder/", "in/", "out/a.jpg", "a.jpg"),
        notification("in/a.jpg", bucket="other"),
        "rubbish",
    )
    assert receive_events(ledger, bucket, queue) == EventReport(messages=3, malformed=1)
    assert bucket.asked == []
    assert not queue.left


def test_messages_come_again_while_the_bucket_is_down(ledger: Ledger) -> None:
    bucket = Bucket({"a.jpg": "1"})
    queue = Queue(notification("in/a.jpg"))
    bucket.is_down = True
    with pytest.raises(StoreUnreachable):
        receive_events(ledger, bucket, queue)
    assert len(queue.left) == 1
    bucket.is_down = False
    assert receive_events(ledger, bucket, queue).new == 1


def test_one_call_is_bounded_by_time(ledger: Ledger) -> None:
    bucket = Bucket({})
    queue = Queue(*[notification("in/none.jpg")] * 25)
    assert receive_events(ledger, bucket, queue, max_seconds=0.0).messages == 10


def test_a_version_that_another_process_has_put_into_a_batch_stays_there(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was looked up can be older than what is written, where transactions do not exclude each other."""
    upload = InboxObject("a.jpg", "1", 10, NOW)
    ledger.record_nominated("s3://b/in", [upload])
    (batch,) = ledger.create_batches("s3://b/in", [ledger.waiting("s3://b/in", 10)])

    def nothing_known(*_: Any) -> dict[str, Any]:
        return {}

    monkeypatch.setattr(ledger, "_rows", nothing_known)
    ledger.record_nominated("s3://b/in", [upload])
    monkeypatch.undo()
    assert ledger.entries([keys.media_id("a.jpg")])[keys.media_id("a.jpg")].batch_id == batch.batch_id
