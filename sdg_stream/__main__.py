"""``python -m sdg_stream`` and the ``sdg-stream`` script.

``python -m`` looks for modules in the working folder before anywhere else, and that folder may be somebody's
data set with a ``yaml.py`` in it. So it is taken off the path before anything more is imported. The package,
and what Python itself and the package's first lines need (``importlib``, ``contextlib``, ``typing``), were
looked for there by then: in a folder that you do not trust, use the script, or ``python -P -m sdg_stream``.
"""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its code; what is not an error for people is a bug and says so."""
    _hold_standard_streams()
    from .cli.app import app  # noqa: PLC0415  (nothing is imported before it is needed)
    from .cli.errors import report_bug  # noqa: PLC0415

    sys.excepthook = report_bug
    app()


def _hold_standard_streams() -> None:
    """Put the null device where a standard stream is closed (``>&-``).

    Else the next file that is opened gets its number, and with it what was meant for the screen.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.dup(descriptor), "w" if descriptor else "r", encoding="utf-8"))


def _leave_out_working_folder() -> None:
    """Import nothing from where the command happens to be run; this package, once imported, needs no path."""
    try:
        here = os.getcwd()  # noqa: PTH109  (pathlib is not imported yet)
    except OSError:  # it is gone, so nothing is in it
        return
    if not sys.flags.safe_path and sys.path and sys.path[0] in {"", here}:
        del sys.path[0]


if __name__ == "__main__":
    _leave_out_working_folder()
    main()
