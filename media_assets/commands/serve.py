"""``media-assets serve``: the web UI and the daemon on a library."""

import signal
import time

import click

from media_assets.commands.output import (
    EXIT_FAILED,
    EXIT_USAGE,
    UserError,
    console,
    json_option,
    library_option,
    print_json,
    progress_console,
    reports_errors,
)
from media_assets.pipeline.library import Library
from media_assets.service import Service, ServiceError
from media_assets.settings import Settings

_WATCH_S = 1.0


@click.command()
@library_option
@click.option("--inbox", metavar="DIR|URL", help="Where uploads arrive.  [default: inbox/ below the library]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that the web server binds.")
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535), help="Port of the web server.")
@json_option
@reports_errors
def serve(library: str | None, inbox: str | None, host: str, port: int, as_json: bool) -> None:
    """Open the Dagster UI and watch the inbox, until Ctrl-C. Processes that end are started again.

    The UI has no login: keep it on 127.0.0.1, or put an authenticating proxy in front of it.
    """
    # Service managers send SIGTERM, and a shell without job control starts background commands with SIGINT ignored:
    # both must end what is started below.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings = Settings.load(library=library, inbox=inbox)
    opened = Library(settings)  # says now what is wrong with store or ledger, not in a log
    opened.check_store()
    opened.ensure_inbox()
    opened.inbox().list(None, 1)
    opened.close()
    try:
        with Service(settings, host=host, port=port) as service:
            if as_json:
                print_json({"url": service.url, "library": settings.library_url, "inbox": settings.inbox_url})
            else:
                console.print(f"UI:      {service.url}", markup=False, soft_wrap=True)
                console.print(f"Inbox:   {settings.inbox_url}", markup=False, soft_wrap=True)
                console.print(f"Library: {settings.library_url}", markup=False, soft_wrap=True)
                console.print(f"Logs:    {service.log_dir}", markup=False, soft_wrap=True)
                console.print("Stop with Ctrl-C.")
            while True:
                for line in service.keep_alive():
                    progress_console.print(line, markup=False, soft_wrap=True)
                time.sleep(_WATCH_S)
    except ServiceError as error:
        raise UserError(str(error), EXIT_USAGE if "taken" in str(error) else EXIT_FAILED) from error
    except KeyboardInterrupt:
        if not as_json:
            console.print("Stopped.")
