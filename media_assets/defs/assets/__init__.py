"""Software-defined assets, one op per module."""
