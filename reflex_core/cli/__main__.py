"""`python -m reflex_core.cli`, the same as `reflex-proxy`."""

import sys

from .main import main

sys.exit(main())
