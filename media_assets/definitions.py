"""The Dagster code location. Everything is assembled in ``defs.build``."""

from media_assets.defs.build import build_definitions
from media_assets.storage.private_text import keep_logs_private

keep_logs_private()

defs = build_definitions()
