"""The Dagster code location. Everything is assembled in ``defs.build``."""

from media_assets.defs.build import build_definitions

defs = build_definitions()
