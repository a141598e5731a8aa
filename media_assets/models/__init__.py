"""Inference behind small interfaces: arrays in, typed records out.

Lives here: models and their runtimes, one role per file. Must not: Dagster, storage, the decoding of files. See
DESIGN.md section 9.
"""
