"""Sensor that receives events of the inbox's bucket, if a queue is configured. The inbox sensor starts the runs."""

import dagster as dg

from media_assets.pipeline.inbox_events import receive_events
from media_assets.pipeline.library import Library, store_options
from media_assets.settings import Settings
from media_assets.storage.inbox_events import SqsQueue
from media_assets.storage.inbox_s3 import S3Inbox


def inbox_events_tick(library: Library) -> dg.SkipReason:
    """Work off the messages that wait."""
    url = library.settings.inbox_events_url
    if url is None:
        return dg.SkipReason("The setting `inbox_events_url` names no queue.")
    inbox = library.inbox()
    if not isinstance(inbox, S3Inbox):
        return dg.SkipReason("Events are for an inbox in a bucket; this one is a folder.")
    report = receive_events(library.ledger, inbox, SqsQueue(url, store_options(library.settings)))
    return dg.SkipReason(
        f"{report.messages} messages, {report.malformed} of them no events; {report.nominated} uploads, "
        f"{report.new} new."
    )


def build_inbox_events_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor, running from the start if a queue is configured.

    Args:
        settings: Of the library.
    """
    is_on = settings.inbox_events_url is not None

    @dg.sensor(
        name="inbox_events_sensor",
        minimum_interval_seconds=settings.sensor_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING if is_on else dg.DefaultSensorStatus.STOPPED,
        description="Receives events of the inbox's bucket from a queue, so that uploads are known before the sweep "
        "comes by (setting `inbox_events_url`).",
    )
    def inbox_events_sensor(library: dg.ResourceParam[Library]) -> dg.SkipReason:
        return inbox_events_tick(library)

    return inbox_events_sensor
