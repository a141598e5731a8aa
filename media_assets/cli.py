"""``media-assets``: the command line. Each subcommand has a module of its own in ``commands``.

Subcommands are imported when they are called, so that ``--help`` and quick commands stay quick.
"""

import importlib
from typing import ClassVar

import click

from media_assets import __version__


class _LazyGroup(click.Group):
    """Finds a subcommand in the module of its name."""

    modules: ClassVar[tuple[str, ...]] = (
        *("archive", "consent", "doctor", "erase", "export", "gallery", "models", "people", "process", "query"),
        *("rebuild", "rejected", "reopen", "reprocess", "retry", "review", "search", "serve", "stale", "status"),
    )

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.modules:
            return None
        module = importlib.import_module(f"media_assets.commands.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="media-assets")
def main() -> None:
    """Turn a pile of photos and videos into partitioned Dagster assets and Parquet tables.

    Configuration comes from media_assets.toml (or the file that MEDIA_ASSETS_CONFIG names), then from the
    environment (MEDIA_ASSETS_LIBRARY, MEDIA_ASSETS_INBOX, ...), then from the options here.
    """


if __name__ == "__main__":
    main()
