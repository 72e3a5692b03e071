#!/bin/sh
# Runs in the container of db: list the backups, the newest first, and the databases that restores
# have replaced; or delete such a database.
#   sh scripts/db.sh backups [--drop-replaced NAME]
# shellcheck source-path=SCRIPTDIR source=common.sh
. /scripts/common.sh

if [ "${1:-}" != --drop-replaced ]; then
  (cd / && du -sh --time backups/* 2> /dev/null) | sort -r -k 4
  sql << 'SQL'
SELECT format(E'%s\treplaced by a restore\tdatabase %s\tto delete it: make drop-replaced DB=%s',
              pg_size_pretty(pg_database_size(oid)), datname,
              CASE WHEN datname ~ '^[\w-]+$' THEN datname ELSE quote_literal(datname) END)
FROM pg_database WHERE datname ~ '_before_[0-9]{8}_[0-9]{6}$' ORDER BY datname;
SQL
{%- if cookiecutter.deployment != "none" %}
  # In production.
  [ -z "${BACKUP_TIME:-}" ] || sh /scripts/schedule.sh --healthy || :
{%- if cookiecutter.backup == "continuous" %}
  [ -z "${BACKUP_TIME:-}" ] || sh /scripts/moment.sh || :
{%- endif %}
  [ -z "${BACKUP_REPOSITORY:-}" ] || sh /scripts/offsite.sh list
{%- endif %}
  exit
fi

name=$2
size=$(sql -v name="$name" << 'SQL'
SELECT pg_size_pretty(pg_database_size(oid)) FROM pg_database
WHERE datname = :'name' AND datname <> :'database' AND datname ~ '_before_[0-9]{8}_[0-9]{6}$';
SQL
)
if [ -z "$size" ]; then
  echo "Nothing was deleted: DB=$name is no database that a restore replaced; make backups lists them." >&2
  exit 1
fi
drop_database "$name"
echo "Deleted the database $name ($size)."
