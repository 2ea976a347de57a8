"""The comparison with other tools: what is compared, where it runs, what is reported.

Jobs have the form that the drivers in ``peers`` read, so that folder is importable, too.
"""

from __future__ import annotations

import sys
from pathlib import Path

PEERS = Path(__file__).parent.parent / "peers"

sys.path.append(str(PEERS))
