"""Object store, keys, inbox, ledger, tables and catalog. The only layer that knows paths and object-store clients."""
