"""``python -m sdg_stream`` and the ``sdg-stream`` script."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its code; what is not an error for people is a bug and says so."""
    from .cli.app import app  # noqa: PLC0415  (nothing is imported before it is needed)
    from .cli.errors import report_bug  # noqa: PLC0415

    sys.excepthook = report_bug
    app()


if __name__ == "__main__":
    main()
