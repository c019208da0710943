"""The entry point: parse first, import late."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def cli(argv: Sequence[str] | None = None) -> None:
    """Run `ml-intern` and exit with its code."""
    from agent.cli.args import parse

    arguments = parse(sys.argv[1:] if argv is None else argv)
    from agent.cli.start import run

    sys.exit(run(arguments))


if __name__ == "__main__":
    cli()
