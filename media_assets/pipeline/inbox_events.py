"""Events of the inbox's bucket make uploads known sooner than the sweep would. They may be lost, doubled or wrong.

Nothing is believed of a message but a key: what lies there is asked of the bucket and recorded as a listing would have
recorded it. The position of the sweep does not change, so that it finds everything that no event told of.
"""

import logging
import time
from dataclasses import dataclass

from media_assets.storage.inbox import InboxObject
from media_assets.storage.inbox_events import EventQueue, Message, nominations
from media_assets.storage.inbox_s3 import S3Inbox
from media_assets.storage.ledger import Ledger

MAX_SECONDS = 6.0
"""After this no other messages are received in one tick."""

_log = logging.getLogger(__name__)


@dataclass
class EventReport:
    """What one call did.

    Attributes:
        messages: Messages that were worked off.
        malformed: Those that were no events of a bucket.
        nominated: Objects of the inbox that they were about and that are there.
        new: Uploads that were not known.
    """

    messages: int = 0
    malformed: int = 0
    nominated: int = 0
    new: int = 0


def receive_events(
    ledger: Ledger, inbox: S3Inbox, queue: EventQueue, *, max_seconds: float = MAX_SECONDS
) -> EventReport:
    """Work off the messages that wait. Each is deleted once its uploads are recorded.

    Raises:
        StorageError: Queue, bucket or ledger cannot be used; messages that were not worked off come again.
    """
    report = EventReport()
    started = time.monotonic()
    while True:
        messages = queue.receive()
        if not messages:
            return report
        found = _found(inbox, messages, report)
        if found:
            report.new += ledger.record_nominated(inbox.url, found).new
        queue.delete(messages)  # only now: until here they would come again
        report.messages += len(messages)
        report.nominated += len(found)
        if time.monotonic() - started >= max_seconds:
            return report


def _found(inbox: S3Inbox, messages: list[Message], report: EventReport) -> list[InboxObject]:
    found: dict[str, InboxObject] = {}
    asked = set()
    for message in messages:
        named = nominations(message.body)
        if named is None:
            report.malformed += 1
            # What it says stays out of the log: it may name uploads.
            _log.warning("A message of the inbox's queue is no event of a bucket (%d characters).", len(message.body))
        for one in named or ():
            if one in asked:
                continue
            asked.add(one)
            there = inbox.nominated(one.bucket, one.key)
            if there is not None:
                found[there.source_key] = there
    return list(found.values())
