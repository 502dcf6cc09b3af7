"""On PYTHONPATH, this has every Python process start with a clock SHIFT_SECONDS off, as a machine's clock would be."""

import os
import time

_real, _by = time.time, float(os.environ.get("SHIFT_SECONDS", "0"))
time.time = lambda: _real() + _by
