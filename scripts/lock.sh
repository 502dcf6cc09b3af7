#!/bin/sh
# Rewrites requirements/*.txt from the pyproject files: exact versions with hashes and no registry address.
# Needs `uv` on the PATH (pip install uv); run it after changing a dependency, then commit the result.
set -eu
cd "$(dirname "$0")/.."
compile() { uv pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-emit-index-url --no-annotate --no-header --no-emit-package fairwitness-core --output-file "$@"; }
compile requirements/core.txt core/pyproject.toml requirements/build.in
compile requirements/run.txt core/pyproject.toml pyproject.toml requirements/build.in requirements/web.in
compile requirements/dev.txt core/pyproject.toml pyproject.toml requirements/build.in requirements/web.in requirements/dev.in
# Tools that run in environments of their own, so that what they need is not part of the program's.
compile requirements/audit.txt requirements/audit.in
compile requirements/fuzz.txt requirements/fuzz.in
compile plugins/ring/requirements.txt plugins/ring/pyproject.toml
