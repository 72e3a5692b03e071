#!/bin/sh
# Runs in a container of app, for `make lock`: write requirements*.txt, which pin what requirements*.in
# ask for and all that it needs. Versions that are pinned already stay; the arguments --upgrade or
# --upgrade-package NAME change that.
set -eu

for name in requirements requirements-dev requirements-build; do
  # Dependabot and Renovate read in a lock's first lines how it was made.
  command="uv pip compile --universal --generate-hashes --output-file=$name.txt $name.in"
  $command --quiet --custom-compile-command "$command" "$@"
done
