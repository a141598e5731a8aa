"""The service without its web server, as a process of its own; ends when one of its processes has ended.

``python -m media_assets_tests.torture.headless``. Whoever started it starts it again, as systemd or a container would.
"""

import signal
import sys
import time

from media_assets.pipeline.library import Library
from media_assets.service import Service, ServiceError
from media_assets.settings import Settings
from media_assets.storage.errors import StorageError


def main() -> int:
    """Serve until SIGTERM or until a process of the service has ended; return the exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings = Settings.load()
    try:
        library = Library(settings)
        library.check_store()
        library.ensure_inbox()
        library.close()
        with Service(settings) as service:
            while True:
                service.check()
                time.sleep(0.5)
    except (ServiceError, StorageError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
