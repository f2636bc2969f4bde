"""The subcommands of `jaxdec parity`."""

from jaxdec.cli.parity.command import run

__all__ = ["run"]
