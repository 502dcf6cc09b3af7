"""On PYTHONPATH, this has every Python process start with a clock SHIFT_SECONDS off, as a machine's clock would be."""

import datetime as dt
import importlib.machinery
import os
import sys
import time

_real, _by = time.time, float(os.environ.get("SHIFT_SECONDS", "0"))
time.time = lambda: _real() + _by


class _Django:
    """Finds django.utils.timezone, whose `now` asks the system and not `time.time`, and has it ask that."""

    @staticmethod
    def find_spec(name, path, target=None):
        if name != "django.utils.timezone":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            module.now = lambda: dt.datetime.fromtimestamp(time.time(), dt.UTC)

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, _Django)
