#!/bin/sh
# List the dumps in backups/, the newest first:  docker compose exec -T db sh /scripts/backups.sh
set -eu

now=$(date +%s)
find /backups -name '*.dump' | sort -r | while read -r file; do
  hours=$(((now - $(stat -c %Y "$file")) / 3600))
  printf '%-60s %6s  %3d d %2d h old\n' "${file#/}" "$(du -h "$file" | cut -f 1)" \
    "$((hours / 24))" "$((hours % 24))"
done
