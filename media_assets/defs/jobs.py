"""Jobs: the selections that sensors start. Backfills from the UI use the assets themselves."""

import dagster as dg

from media_assets.defs.tags import ANALYSIS_TAG, SHARING_TAG
from media_assets.pipeline.assets import ANALYZE_ASSETS, INGEST_ASSETS, PROTECT_ASSETS

ingest_job = dg.define_asset_job(
    "ingest_job",
    selection=dg.AssetSelection.assets(*INGEST_ASSETS),
    description="Ingest a batch of media files. Started by the inbox sensor.",
)

analyze_job = dg.define_asset_job(
    "analyze_job",
    selection=dg.AssetSelection.assets(*ANALYZE_ASSETS),
    description="Analyse the previews of new files. Started by the analysis sensor.",
    tags={ANALYSIS_TAG: "true"},
)

protect_job = dg.define_asset_job(
    "protect_job",
    selection=dg.AssetSelection.assets(*PROTECT_ASSETS),
    description="Make the copies that may leave the library. Started by the protect sensor.",
    tags={SHARING_TAG: "true"},
)

groups_job = dg.define_asset_job(
    "groups_job",
    selection=dg.AssetSelection.assets("people", "near_duplicates"),
    description="Group faces into people, find near duplicates. Started by the groups sensor.",
)

catalog_job = dg.define_asset_job(
    "catalog_job",
    selection=dg.AssetSelection.assets("catalog"),
    description="Compact the tables. Started by the catalog sensor when there are new rows.",
)
