"""Run every benchmark of this folder, or those named on the command line."""

import importlib
import sys
from pathlib import Path

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))

for name in sys.argv[1:] or NAMES:
    if name not in NAMES:
        raise SystemExit(f"no benchmark is called {name}; there are {', '.join(NAMES)}")
    print(f"\n== {name}", flush=True)
    importlib.import_module(f"benchmarks.{name}").main([])
