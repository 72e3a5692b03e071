#!/bin/sh
# List the backups, the newest first, and the databases that restores have replaced:
#   sh scripts/db.sh backups
# shellcheck source-path=SCRIPTDIR source=common.sh
. /scripts/common.sh

now=$(date +%s)
for backup in /backups/*.dump /backups/*/about.txt; do
  [ ! -e "$backup" ] || echo "${backup%/about.txt}"
done | sort -r | while read -r backup; do
  hours=$(((now - $(stat -c %Y "$backup")) / 3600))
  printf '%-60s %6s  %3d d %2d h old\n' "${backup#/}" "$(du -sh "$backup" | cut -f 1)" \
    "$((hours / 24))" "$((hours % 24))"
done
sql << 'SQL'
SELECT format('database %-51s %6s  replaced by a restore; to delete it: make drop-replaced DB=%s',
              datname, pg_size_pretty(pg_database_size(oid)), datname)
FROM pg_database WHERE datname ~ '_before_[0-9]{8}_[0-9]{6}$' ORDER BY datname;
SQL
