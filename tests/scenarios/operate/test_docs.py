"""Every shell command of docs/operate, run in order in an empty folder, by a shell that stops at the first failure."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fairwitness.demo.processes import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.network]
DOCS = Path(__file__).parents[3] / "docs" / "operate"
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = sorted(path.name for path in DOCS.glob("*.md") if path.name != "town.md" and _BLOCK.search(path.read_text("utf-8")))


def test_each_role_has_a_page_of_commands():
    assert {"hub.md", "agency.md", "home.md", "witness.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_work_as_written(page, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, words in (("fairwitness", '-m fairwitness "$@"'), ("python", '"$@"')):
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}\n')
        (tools / name).chmod(0o700)
    ports = dict(zip(("HUB", "W1", "W2", "W3", "MIRROR"), free_ports(5), strict=True))
    given = {k: v for k, v in os.environ.items() if not k.startswith(("DJANGO_", "FAIRWITNESS_", "PYTEST_"))}
    given |= {f"{name}_PORT": str(port) for name, port in ports.items()}
    given |= {f"{name}_URL": f"http://{'localhost' if name == 'HUB' else '127.0.0.1'}:{port}" for name, port in ports.items()}
    given["PATH"] = f"{tools}:{given['PATH']}"
    work = tmp_path / "work"
    work.mkdir()
    script = "set -eu\n" + "\n".join(_BLOCK.findall((DOCS / page).read_text("utf-8")))
    with (tmp_path / "said").open("w+") as said:
        shell = subprocess.Popen(["/bin/sh", "-c", script], cwd=work, env=given, stdout=said, stderr=said, start_new_session=True)
        try:
            status = shell.wait(480)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)
        said.seek(0)
        assert status == 0, said.read()[-3000:]
