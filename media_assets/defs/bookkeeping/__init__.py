"""Storages of Dagster that keep their connections and write many events at once.

``SqliteStorage`` and ``PostgresStorage`` are Dagster's own storages with the same configuration, tables and rows: a
database of one can be opened by the other at any time. ``dagster.yaml`` names them (``storage: {module, class}``). The
daemon, the web server and every run import this package, so it imports nothing of the library.
"""
