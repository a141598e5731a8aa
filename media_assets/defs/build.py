"""Assembly of all definitions in one function, with overrides for tests and for the command line."""

import dagster as dg

from media_assets.defs.analysis_sensor import build_analysis_sensor
from media_assets.defs.assets.analyze import build_analyze
from media_assets.defs.assets.catalog import catalog
from media_assets.defs.assets.ingest import build_ingest
from media_assets.defs.assets.near_duplicates import near_duplicates
from media_assets.defs.assets.people import people
from media_assets.defs.assets.protect import build_protect
from media_assets.defs.departures_sensor import build_departures_sensor
from media_assets.defs.groups_sensor import build_groups_sensor
from media_assets.defs.inbox_events_sensor import build_inbox_events_sensor
from media_assets.defs.jobs import analyze_job, catalog_job, groups_job, ingest_job, protect_job
from media_assets.defs.privacy import build_privacy_sensor, privacy_job
from media_assets.defs.protect_sensor import build_protect_sensor
from media_assets.defs.resources import library_resource
from media_assets.defs.retention_sensor import build_retention_sensor
from media_assets.defs.sensors import build_sensors
from media_assets.defs.states_sensor import build_states_sensor
from media_assets.pipeline.library import Library
from media_assets.pipeline.recipe import recipe_of
from media_assets.settings import Settings


def build_definitions(*, library: Library | None = None) -> dg.Definitions:
    """Return the code location.

    Args:
        library: An open library to use instead of the one that the settings name.

    Raises:
        SettingsError: The configuration is not usable.
        ModelError: It names a model that does not exist.
    """
    settings = library.settings if library is not None else Settings.load()
    recipe = recipe_of(settings)
    return dg.Definitions(
        assets=[build_ingest(recipe), build_analyze(recipe), build_protect(recipe), catalog, people, near_duplicates],
        jobs=[ingest_job, analyze_job, protect_job, groups_job, catalog_job, privacy_job],
        sensors=[
            *build_sensors(settings.sensor_interval_s),
            build_analysis_sensor(settings.sensor_interval_s),
            build_protect_sensor(settings.sensor_interval_s),
            build_groups_sensor(settings.sensor_interval_s),
            build_privacy_sensor(),
            build_retention_sensor(),
            build_states_sensor(),
            build_departures_sensor(settings),
            build_inbox_events_sensor(settings),
        ],
        resources={"library": library if library is not None else library_resource},
        # A run uses all cores by itself; a process per step would only pay the start of Python again.
        executor=dg.in_process_executor,
    )
