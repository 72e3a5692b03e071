#!/bin/sh
# Runs in the container of {% if cookiecutter.deployment == "none" %}db{% else %}db, or in production of backup{% endif %}: back up the database into backups/, complete and
# readable or not at all.
#   sh scripts/db.sh backup [KEEP]
# A backup is a folder: data/ is the database as pg_dump writes it, roles.sql has the server's roles
# and their passwords, about.txt says what is in it, and SHA256SUMS shows whether a copy is complete.
{%- if cookiecutter.deployment == "compose" and cookiecutter.media_storage == "volume" %}
# In production, media/ is the uploads.
{%- endif %}
# With KEEP, a number, only so many of the newest backups stay.{% if cookiecutter.deployment != "none" %} With --days KEEP, backups of the last
# KEEP days stay, too.{% endif %} LOCK_TIMEOUT is in seconds.
# shellcheck source-path=SCRIPTDIR source=common.sh
. /scripts/common.sh

fail() {
  echo "No backup was made: $1" >&2
  exit 1
}

{% if cookiecutter.deployment != "none" -%}
days=''
if [ "${1:-}" = --days ]; then
  days=yes
  shift
fi
{% endif -%}
keep=${1:-}
case $keep in
  *[!0-9]* | 0*) fail "KEEP is a whole number from 1 on, not '$keep'." ;;
esac
case ${LOCK_TIMEOUT:=60} in
  *[!0-9]*) fail "LOCK_TIMEOUT is a number of seconds, not '$LOCK_TIMEOUT'." ;;
esac

version=$(sql -c 'SHOW server_version' 2> /dev/null | cut -d ' ' -f 1)
[ -n "$version" ] || fail 'the database does not answer.'
size=$(echo "SELECT pg_database_size(:'database')" | sql) || fail 'the reason is above.'
partial=$(mktemp -d /backups/.partial.XXXXXX) || fail 'backups/ cannot be written.'
trap 'trap "" HUP INT TERM; rm -rf "$partial"' EXIT
trap 'fail "it was interrupted."' HUP INT TERM

measure() {
  du -s --block-size=1 "$partial" | cut -f 1
}

# Who holds a lock that pg_dump cannot get past.
lock_holders() {
  sql << 'SQL'
SELECT format('Session %s of %s has locked %s for %s (%s). To end it: docker compose exec db psql -U %s -c "SELECT pg_terminate_backend(%s)"',
              pid, usename, count(*) || ' table(s)', date_trunc('second', now() - xact_start), state, current_user, pid)
FROM pg_locks JOIN pg_stat_activity USING (pid) JOIN pg_database ON pg_database.oid = database
WHERE mode = 'AccessExclusiveLock' AND granted AND locktype = 'relation' AND pg_database.datname = :'database'
GROUP BY pid, usename, xact_start, state;
SQL
}

echo "Dumping $POSTGRES_DB of PostgreSQL $version, $(megabytes "$size") ..."
# zstd is much faster than gzip; PostgreSQL 15 does not have it.
case $version in 15.*) compress=1 ;; *) compress=zstd:1 ;; esac
pg_dumpall --roles-only > "$partial/roles.sql" || fail 'pg_dumpall says why above.'
with_progress Dumping "$size" pg_dump --format=directory --jobs="$jobs" --compress="$compress" \
  --lock-wait-timeout="${LOCK_TIMEOUT}s" --file="$partial/data" "$POSTGRES_DB" || {
  lock_holders >&2
  fail 'the reason is above.'
}
# Reads every byte of the dump. Only a restore shows that it can be restored.
pg_restore --file=/dev/null "$partial/data" || fail 'the dump cannot be read back.'
printf 'database=%s\npostgres=%s\nbytes=%s\n' "$POSTGRES_DB" "$version" "$size" > "$partial/about.txt"
{%- if cookiecutter.deployment == "compose" and cookiecutter.media_storage == "volume" %}
# After the database, so that each file of a row is there. A file that is in the backup before, too, takes
# no space: both have a hard link to it. rsync exits with 24 if files were deleted meanwhile.
if [ -d /srv/media ]{% if cookiecutter.backup == "continuous" %} && [ -z "${BACKUP_NAME:-}" ]{% endif %}; then
  before=/backups/$(newest_backup | cut -d ' ' -f 2)/media
  [ -d "$before" ] || before=$partial
  status=0
  rsync --recursive --links --times --link-dest="$before" /srv/media/ "$partial/media/" || status=$?
  [ "$status" = 0 ] || [ "$status" = 24 ] || fail 'the uploads cannot be copied; the reason is above.'
fi
{%- endif %}
(cd "$partial" && find data roles.sql about.txt -type f -exec sha256sum {} + > SHA256SUMS)
sync --file-system "$partial"
# As root in the container, the files would be root's on the host.
chown -R "$(stat -c %u:%g /backups)" "$partial"

# From here on there is a backup, whatever the signal.
trap '' HUP INT TERM
{%- if cookiecutter.backup == "continuous" %}
# For moment.sh.
[ -z "${BACKUP_NAME:-}" ] || rm -rf "/backups/$BACKUP_NAME"
{%- endif %}
# Where another backup has the name of this second, the next one is free.
tries=0
until
  name={% if cookiecutter.backup == "continuous" %}${BACKUP_NAME:-$POSTGRES_DB-$(date -u +%Y%m%dT%H%M%SZ)-pg$version}{% else %}$POSTGRES_DB-$(date -u +%Y%m%dT%H%M%SZ)-pg$version{% endif %}
  mv -T "$partial" "/backups/$name" 2> /dev/null
do
  tries=$((tries + 1))
  [ "$tries" -le 10 ] || fail 'no folder can be made in backups/.'
  sleep 1
done
sync /backups
echo "Made backups/$name ($(du -sh "/backups/$name" | cut -f 1))"

# Only what has the name and the contents of a backup of this database is removed, never the new one.
[ -z "$keep" ] ||
  grep -lxF "database=$POSTGRES_DB" "/backups/$POSTGRES_DB"-[0-9]*T[0-9]*Z-pg*/about.txt |
  grep -vF "/$name/" | sort -r | tail -n "+$keep" |
{%- if cookiecutter.deployment != "none" %}
  awk -v kept="${days:+/backups/$POSTGRES_DB-$(date -u -d "$keep days ago" +%Y%m%dT%H%M%SZ)}" 'kept == "" || $0 < kept' |
{%- endif %}
  while read -r about; do
    rm -r "${about%/about.txt}"
    name=${about%/about.txt}
    echo "Removed ${name#/}"
  done
# Left by backups that were killed.
find /backups -maxdepth 1 -name '.partial.*' -mmin +1440 -exec rm -r {} +
