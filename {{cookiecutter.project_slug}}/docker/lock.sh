#!/bin/sh
# Pin what requirements*.in ask for, with everything that needs, in requirements*.txt. Versions that
# are pinned already stay, unless arguments say otherwise: --upgrade, --upgrade-package django.
set -eu

for name in requirements requirements-dev requirements-build; do
  uv pip compile --quiet --universal --generate-hashes --custom-compile-command "make lock" \
    "$@" --output-file "$name.txt" "$name.in"
done
