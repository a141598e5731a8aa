"""The thin Dagster layer: partitions, resources, assets, checks, sensors, jobs.

Import the submodules; nothing is wired here.
"""
