import sys
from pathlib import Path

# The finder of real test data is shared with the tests of the roles.
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
