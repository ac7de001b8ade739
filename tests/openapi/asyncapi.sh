#!/usr/bin/env bash
# Checks the AsyncAPI document, as `twinhub asyncapi` prints it, with the specification's own JSON schema. The schema
# comes from npm and the validator from PyPI, both into target/asyncapi.
set -euo pipefail
cd "$(dirname "$0")/../.."

specs=6.11.1
at=target/asyncapi
schema="$at/node_modules/@asyncapi/specs/schemas/3.0.0.json"
if ! grep -qs "\"version\": \"$specs\"" "$at/node_modules/@asyncapi/specs/package.json"; then
    command -v npm >/dev/null || { echo "please install: npm" >&2; exit 1; }
    npm install --no-save --no-audit --no-fund --ignore-scripts --silent --prefix "$at" "@asyncapi/specs@$specs"
fi
if [ ! -x "$at/python/bin/jsonschema" ]; then
    python3 -m venv "$at/python" || { echo "please install: python3-venv" >&2; exit 1; }
    "$at/python/bin/pip" install --quiet --disable-pip-version-check 'jsonschema>=4.26,<5'
fi

"${CARGO_TARGET_DIR:-target}/debug/twinhub" asyncapi >"$at/twinhub.json"
"$at/python/bin/python" - "$schema" "$at/twinhub.json" <<'PYTHON'
import json, sys
from jsonschema import Draft7Validator

schema, document = (json.load(open(path, encoding="utf-8")) for path in sys.argv[1:])
Draft7Validator.check_schema(schema)
errors = sorted(Draft7Validator(schema).iter_errors(document), key=lambda error: error.json_path)
for error in errors:
    print(f"{error.json_path}: {error.message[:300]}", file=sys.stderr)
if errors:
    sys.exit(1)
messages = len(document["components"]["messages"])
print(f"the AsyncAPI document is valid, with {messages} messages")
PYTHON
