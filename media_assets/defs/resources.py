"""The resource that opens the library. Assets and sensors receive the plain object, not a wrapper.

Nothing is opened while definitions load; a wrong setting fails the run or the tick with a message that names it.
"""

from collections.abc import Iterator

import dagster as dg

from media_assets.defs.tags import WORKER_TAG
from media_assets.pipeline.library import Library
from media_assets.pipeline.liveness import this_process
from media_assets.settings import Settings


@dg.resource(
    config_schema={
        "library": dg.Field(str, is_required=False, description="Folder or URL. Default: MEDIA_ASSETS_LIBRARY."),
        "inbox": dg.Field(str, is_required=False, description="Folder or URL. Default: MEDIA_ASSETS_INBOX."),
    },
    description="The library that the settings name, open for one run or tick.",
)
def library_resource(context: dg.InitResourceContext) -> Iterator[Library]:
    """Open the library; what is not configured here comes from file and environment."""
    if context.dagster_run is not None and context.instance is not None:
        context.instance.add_run_tags(context.dagster_run.run_id, {WORKER_TAG: this_process()})
    config = context.resource_config or {}
    library = Library(Settings.load(library=config.get("library"), inbox=config.get("inbox")))
    try:
        yield library
    finally:
        library.close()
