"""Assembly of all definitions in one function, with overrides for tests and for the command line."""

import dagster as dg

from media_assets.defs.assets.catalog import catalog
from media_assets.defs.assets.ingest import build_ingest
from media_assets.defs.jobs import catalog_job, ingest_job
from media_assets.defs.resources import library_resource
from media_assets.defs.sensors import build_sensors
from media_assets.pipeline.library import Library
from media_assets.pipeline.recipe import recipe_of
from media_assets.settings import Settings


def build_definitions(*, library: Library | None = None) -> dg.Definitions:
    """Return the code location.

    Args:
        library: An open library to use instead of the one that the settings name.

    Raises:
        SettingsError: The configuration is not usable.
    """
    settings = library.settings if library is not None else Settings.load()
    return dg.Definitions(
        assets=[build_ingest(recipe_of(settings)), catalog],
        jobs=[ingest_job, catalog_job],
        sensors=build_sensors(settings.sensor_interval_s),
        resources={"library": library if library is not None else library_resource},
        # A run uses all cores by itself; a process per step would only pay the start of Python again.
        executor=dg.in_process_executor,
    )
