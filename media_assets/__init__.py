"""media_assets turns photos and videos into partitioned Dagster assets and Parquet tables.

Nothing is wired here: import the submodule you need. ``media_assets.definitions`` is the Dagster code location.
"""

__version__ = "0.1.0"
