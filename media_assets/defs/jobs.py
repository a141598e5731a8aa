"""Jobs: the selections that sensors start. Backfills from the UI use the assets themselves."""

import dagster as dg

from media_assets.pipeline.assets import INGEST_ASSETS

ingest_job = dg.define_asset_job(
    "ingest_job",
    selection=dg.AssetSelection.assets(*INGEST_ASSETS),
    description="Ingest a batch of media files. Started by the inbox sensor.",
)

catalog_job = dg.define_asset_job(
    "catalog_job",
    selection=dg.AssetSelection.assets("catalog"),
    description="Compact the tables. Started by the catalog sensor when there are new rows.",
)
