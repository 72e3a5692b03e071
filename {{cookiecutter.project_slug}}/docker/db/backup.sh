#!/bin/sh
# Dump the database into backups/, complete and verified or not at all:
#   docker compose exec -T db sh /scripts/backup.sh [KEEP]
# With KEEP, a number, only so many of the newest dumps stay, once this one is good.
set -eu
umask 077
export PGUSER="$POSTGRES_USER" PGDATABASE="$POSTGRES_DB"

fail() {
  echo "No backup was made: $1" >&2
  exit 1
}

keep=${1:-}
case $keep in
  *[!0-9]* | 0*) fail "KEEP is to be a whole number from 1 on, not '$keep'." ;;
esac

size() {
  du -h "$1" | cut -f 1
}

version=$(psql -XAtq -c 'SHOW server_version' | cut -d ' ' -f 1) || version=''
[ -n "$version" ] || fail 'the database does not answer.'
partial=$(mktemp /backups/.partial.XXXXXX) || fail 'backups/ cannot be written.'
trap 'rm -f "$partial"' EXIT
trap 'exit 1' HUP INT TERM

bytes=$(psql -XAtq -c "SELECT pg_size_pretty(pg_database_size(current_database()))")
echo "Dumping $PGDATABASE of PostgreSQL $version, $bytes ..."
pg_dump --format=custom --file="$partial" || fail 'pg_dump says why above.'
pg_restore --list "$partial" > /dev/null || fail 'the dump cannot be read back.'
sync "$partial"
# As root in the container, the file would be root's on the host.
chown "$(stat -c %u:%g /backups)" "$partial"

# Where another backup has the name of this second, the next one is free.
tries=0
while :; do
  name=$PGDATABASE-$(date -u +%Y%m%dT%H%M%SZ)-pg$version.dump
  mv -n "$partial" "/backups/$name" || :
  [ -e "$partial" ] || break
  [ "$tries" -lt 10 ] || fail 'no file can be made in backups/.'
  tries=$((tries + 1))
  sleep 1
done
echo "Made backups/$name ($(size "/backups/$name"))"

if [ -n "$keep" ]; then
  # Names sort by time.
  find /backups -name "$PGDATABASE-*-pg*.dump" | sort -r | tail -n "+$((keep + 1))" |
    while read -r old; do
      rm "$old"
      echo "Removed ${old#/}"
    done
fi
find /backups -name '.partial.*' -mmin +1440 -delete
