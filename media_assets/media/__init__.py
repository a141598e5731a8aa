"""Pure media functions: bytes, arrays and records in and out. No Dagster, no object store, no network."""
