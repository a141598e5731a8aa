"""The partitions of all per-file assets: one dynamic partition per media file.

See https://docs.dagster.io/guides/build/partitions-and-backfills. The grammar of the keys is in ``storage.keys``.
"""

import dagster as dg

PARTITIONS_NAME = "media"

media_partitions = dg.DynamicPartitionsDefinition(name=PARTITIONS_NAME)
