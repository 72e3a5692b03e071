#!/bin/sh
# Replace the database by a dump:  docker compose exec -T db sh /scripts/restore.sh backups/FILE
# The dump goes into a new database, and only when all of it is there the two swap their names. What
# was replaced stays as …_before_restore until the next restore.
set -eu
export PGUSER="$POSTGRES_USER" PGDATABASE=postgres PGOPTIONS='-c client_min_messages=warning'
restoring=${POSTGRES_DB}_restoring
before=${POSTGRES_DB}_before_restore

fail() {
  echo "Nothing was restored: $1" >&2
  exit 1
}

# Run SQL from standard input; in it, the three databases are variables of psql.
sql() {
  psql -XAtq -v ON_ERROR_STOP=1 -v current="$POSTGRES_DB" -v restoring="$restoring" -v before="$before"
}

name=${1:-}
[ -n "$name" ] || fail 'say what, as in FILE=backups/NAME; make backups lists them.'
name=${name#./}
name=${name#backups/}
file=/backups/$name
[ -f "$file" ] || fail "there is no file backups/$name."

# Held until the last process of this restore has ended, whatever ends it.
exec 9> /tmp/restore.lock
flock -n 9 || fail 'another restore is running.'

contents=$(pg_restore --list "$file" 2> /dev/null) ||
  fail "backups/$name is damaged, of a newer PostgreSQL, or no dump that make backup made."
case $contents in
  *' TABLE DATA '*' django_migrations '*) ;;
  *) fail "backups/$name is a dump, but not of a Django project." ;;
esac

ending=''
undo() {
  [ -z "$ending" ] || kill "$ending" 2> /dev/null || :
  echo 'DROP DATABASE IF EXISTS :"restoring" WITH (FORCE);' | sql
}
trap undo EXIT
trap 'exit 1' HUP INT TERM

echo "Restoring backups/$name ($(du -h "$file" | cut -f 1)) into a new database ..."
# One may be left of a restore that was killed.
sql << 'SQL' || fail 'the database does not answer.'
DROP DATABASE IF EXISTS :"restoring" WITH (FORCE);
CREATE DATABASE :"restoring" TEMPLATE template0;
SQL
said=$(pg_restore --exit-on-error --no-owner --dbname="$restoring" "$file" 2>&1) ||
  fail "$(echo "$said" | grep -m 1 'error:' || echo "$said" | head -n 1)"
psql -Xq -d "$restoring" -c ANALYZE

echo "Swapping it with $POSTGRES_DB ..."
# Renaming locks new sessions out, then waits for the others to end: they are ended meanwhile.
while :; do
  sql << 'SQL' || :
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :'current';
SQL
  sleep 0.1
done > /dev/null 2>&1 &
ending=$!
sql << 'SQL' || fail 'the databases could not be renamed; the message is above.'
DROP DATABASE IF EXISTS :"before" WITH (FORCE);
SELECT count(*) AS found FROM pg_database WHERE datname = :'current' \gset
BEGIN;
\if :found
ALTER DATABASE :"current" RENAME TO :"before";
\endif
ALTER DATABASE :"restoring" RENAME TO :"current";
COMMIT;
SQL
echo "Restored backups/$name; what was there before is in the database $before."
