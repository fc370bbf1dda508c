"""``python -m fpsim``: the command line.

Layer 12. One call.
"""

import sys

from fpsim.cli import main

sys.exit(main())
