"""Sensor that lets ingested uploads leave the inbox; off where they stay. No run is needed for that."""

import dagster as dg

from media_assets.pipeline.departures import depart
from media_assets.pipeline.library import Library
from media_assets.settings import Settings
from media_assets.storage import keys
from media_assets.storage.private_text import without_names

_SHOWN = 5


def departures_tick(context: dg.SensorEvaluationContext, library: Library) -> dg.SkipReason:
    """Do a bounded piece of what is due; what is on record in the ledger is all the state there is."""
    if library.settings.after_ingest == "keep":
        return dg.SkipReason("The setting `after_ingest` is `keep`.")
    report = depart(library, library.inbox())
    if report.is_busy:
        return dg.SkipReason("Another process lets uploads leave right now.")
    for source_key, message in report.held[:_SHOWN]:
        private = without_names(message, [source_key])
        context.log.warning(f"The upload of {keys.media_id(source_key)} cannot leave the inbox now: {private}")
    return dg.SkipReason(
        f"{report.left} uploads left the inbox, {report.gone} were gone, {report.superseded} are newer versions, "
        f"{len(report.held)} cannot leave now." + ("" if report.is_complete else " More follow.")
    )


def build_departures_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor, running from the start unless uploads stay.

    Args:
        settings: Of the library.
    """
    stays = settings.after_ingest == "keep"

    @dg.sensor(
        name="departures_sensor",
        minimum_interval_seconds=settings.sensor_interval_s,
        default_status=dg.DefaultSensorStatus.STOPPED if stays else dg.DefaultSensorStatus.RUNNING,
        description="Moves or deletes uploads that were ingested, once their stored original was read back "
        "(setting `after_ingest`).",
    )
    def departures_sensor(context: dg.SensorEvaluationContext, library: dg.ResourceParam[Library]) -> dg.SkipReason:
        return departures_tick(context, library)

    return departures_sensor
