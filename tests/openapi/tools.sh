# What the scripts of this folder have in common. Tools lie in target/openapi, are installed when first needed, and again
# when their versions here have changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here="$PWD/tests/openapi"
tools="$PWD/target/openapi"
python="$tools/python/bin"
node="$tools/node"
description="$tools/twinhub.json"
program="$(realpath "${CARGO_TARGET_DIR:-target}/debug/twinhub")"
export PATH="$python:$PATH" PYTHONDONTWRITEBYTECODE=1
mkdir -p "$tools"

# Writes the description down, as the program prints it.
describe() {
    "$program" openapi >"$description"
}

# Installs the Python tools.
python_tools() {
    cmp -s "$here/requirements.txt" "$tools/requirements.txt" && return
    python3 -m venv --clear "$tools/python"
    "$python/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$tools/requirements.txt"
}

# Installs the Node.js tools.
node_tools() {
    cmp -s "$here/package-lock.json" "$node/package-lock.json" && [ -d "$node/node_modules" ] && return
    mkdir -p "$node"
    cp "$here/package.json" "$here/package-lock.json" "$node"
    npm ci --prefix "$node" --silent --no-audit --no-fund
}
