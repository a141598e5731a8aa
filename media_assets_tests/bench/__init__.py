"""Measurements that are run by hand or by ``make bench-*``; no tests, nothing is asserted here."""
