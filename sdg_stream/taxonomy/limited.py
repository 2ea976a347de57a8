"""Bounds itself, then becomes another program: what parses other people's data is started through this file.

    python -I -S limited.py MEMORY FILE_SIZE CPU_SECONDS PROGRAM [ARGUMENT ...]

Sizes are in bytes; what the program starts is bound too. A bound unknown to the system is passed over.
"""

import os
import resource
import sys
from contextlib import suppress

NOT_FOUND = 127  # as shells have it
BOUNDS = (resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU)


def main(memory: str, file_size: str, cpu_seconds: str, *command: str) -> None:
    """Set the bounds and start the command in this process's place."""
    for bound, words in zip(BOUNDS, (memory, file_size, cpu_seconds), strict=True):
        value, hard = int(words), resource.getrlimit(bound)[1]
        with suppress(ValueError, OSError):
            resource.setrlimit(bound, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        os.execvp(command[0], command)  # noqa: S606 -- no shell is wanted
    except OSError:
        sys.exit(NOT_FOUND)


if __name__ == "__main__":
    main(*sys.argv[1:])
