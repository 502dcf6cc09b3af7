"""The command line, as a process of its own: a home is made, filled and asked, and says plainly what is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MAIN = "import sys; from fairwitness.cli import main; sys.exit(main())"


@pytest.mark.slow
def test_a_home_is_made_and_asked_from_a_terminal(tmp_path):
    folder = tmp_path / "home"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("FAIRWITNESS", "DJANGO", "PYTEST"))}

    def run(*words, status=0):
        done = subprocess.run(
            [sys.executable, "-c", MAIN, "home", *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done

    made = json.loads(run("init", str(folder), "--name", "Elm Street").stdout)
    assert oct(Path(made["token"]).stat().st_mode)[-3:] == "600"
    assert oct(folder.stat().st_mode)[-3:] == "700"
    assert json.loads(run("camera", "add", str(folder), "--name", "Porch", "--lat", "37.8", "--lon", "-122.2").stdout) == {
        "camera": 1
    }
    assert json.loads(run("status", str(folder)).stdout)["joined"] is False
    refused = run("trust", str(folder), status=1)
    assert "has not joined a hub yet" in refused.stderr
    assert "join.none" in refused.stderr
    assert "is in use already" in run("init", str(folder), status=1).stderr
