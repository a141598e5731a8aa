"""``media-assets query``: SQL over the catalog."""

import click

from media_assets.commands.existing import open_existing
from media_assets.commands.output import json_option, library_option, print_json, print_table, reports_errors
from media_assets.settings import Settings
from media_assets.storage.query import run_query


@click.command()
@click.argument("sql", metavar="SQL")
@library_option
@json_option
@reports_errors
def query(sql: str, library: str | None, as_json: bool) -> None:
    """Run SQL (DuckDB) over the tables files, metadata, renditions and rejected.

    Example: media-assets query "select format, count(*) from files group by all order by 2 desc"
    """
    settings = Settings.load(library=library)
    opened = open_existing(settings)
    result = run_query(opened.store, sql, settings.state_dir / "query-cache")
    opened.close()
    if as_json:
        print_json(result.to_pylist())
        return
    print_table(result.column_names, zip(*(column.to_pylist() for column in result.columns), strict=True))
