"""``python -m ninep``: the program ``ninep``."""

from __future__ import annotations

import sys

from ninep.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
