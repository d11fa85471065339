"""``python -m nmfdiag``."""

import sys

from nmfdiag.cli import main

sys.exit(main())
