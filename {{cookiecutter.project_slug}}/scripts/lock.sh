#!/bin/sh
# Pin what requirements*.in ask for, with everything that needs, in requirements*.txt. Versions that
# are pinned already stay, unless arguments say otherwise: --upgrade, --upgrade-package django.
set -eu

for name in requirements requirements-dev requirements-build; do
  # Dependabot and Renovate read in a lock's first lines how it was made.
  command="uv pip compile --universal --generate-hashes --output-file=$name.txt $name.in"
  $command --quiet --custom-compile-command "$command" "$@"
done
