"""The subcommands of ``media-assets``, one module each. Put together in ``media_assets.cli``."""
