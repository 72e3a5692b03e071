#!/bin/sh
# Runs in the container of db: replace the database by a backup.
#   sh scripts/db.sh restore backups/NAME [OWNER]
# The backup goes into a new database. When it is complete, the two swap their names in one
# transaction, and the replaced one stays under another name. With OWNER, which a dump that
# `make backup` did not make needs, that role gets everything in it.
# shellcheck source-path=SCRIPTDIR source=common.sh
. /scripts/common.sh

fail() {
  printf '%s\n' "Nothing was restored: $1" >&2
  exit 1
}

# A name in PostgreSQL has 63 bytes at most.
short=$(echo "SELECT left(:'database', 40)" | sql 2> /dev/null) || fail 'the database does not answer.'
restoring=${short}_restoring
mark='Filled by make restore, not complete'

# Drop what a restore that was killed left behind. Its comment, that it is empty, or that it was dropped
# half-way (-2) proves that it holds no data of the user's.
drop_leftover() {
  comment=$(sql -v name="$restoring" -v mark="$mark" << 'SQL'
SELECT CASE datconnlimit WHEN -2 THEN :'mark' ELSE coalesce(shobj_description(oid, 'pg_database'), '-') END
FROM pg_database WHERE datname = :'name';
SQL
  )
  [ -n "$comment" ] || return 0
  [ "$comment" = "$mark" ] ||
    [ "$(sql -d "$restoring" -c 'SELECT count(*) FROM pg_class WHERE oid >= 16384')" = 0 ] || return 1
  drop_database "$restoring"
}

# Held until the last process of this restore has ended.
exec 9> "${PGHOST:-/var/run/postgresql}/restore.lock"
if [ "${1:-}" = --drop-leftover ]; then
  ! flock -n 9 || drop_leftover
  exit
fi

# Checks, while nothing is changed yet.

owner=${2:-}
name=$(backup_name "${1:-}")
[ -n "$name" ] || fail 'say what, as in FILE=backups/NAME; make backups lists them.'
case $name in
  */* | .*) fail "FILE is a name in backups/, as in FILE=backups/NAME, not '$1'." ;;
esac
backup=/backups/$name
[ -e "$backup" ] || fail "there is no backups/$name. FILE is what make backups lists."
flock -w 5 9 || fail 'another restore is running.'

dump=$backup
[ ! -d "$backup" ] || dump=$backup/data
# pg_restore does not notice a file that was cut off.
if [ -e "$backup/SHA256SUMS" ]; then
  damaged=$(cd "$backup" && sha256sum -c SHA256SUMS 2> /dev/null | grep -v -m 1 ': OK$') || :
  [ -z "$damaged" ] || fail "backups/$name is not what make backup wrote: ${damaged#./}."
fi
contents=$(pg_restore --list --create "$dump" 2> /dev/null) ||
  fail "backups/$name is damaged, of a newer PostgreSQL, or not made by make backup."
case $contents in
  *' TABLE DATA '*' django_migrations '*) ;;
  *) fail "backups/$name is a backup, but not of a Django project." ;;
esac
[ -n "$owner" ] || [ -e "$backup/roles.sql" ] ||
  fail "backups/$name has no roles. To give everything in it to this project's role: OWNER=$POSTGRES_USER."
if [ -n "$owner" ] && [ -z "$(echo "SELECT 1 FROM pg_roles WHERE rolname = :'owner'" | sql -v owner="$owner")" ]; then
  fail "there is no role '$owner' on this server."
fi

prepared=$(echo "SELECT string_agg(gid, ', ') FROM pg_prepared_xacts WHERE database = :'database'" | sql)
[ -z "$prepared" ] || fail "the database has prepared transactions, which have to end first: $prepared."

size=$(sed -n 's/^bytes=//p' "$backup/about.txt" 2> /dev/null) || :
[ "${size:-0}" -gt 0 ] || size=$(($(du -s --block-size=1 "$dump" | cut -f 1) * 2))
# While it is filled, the server also writes up to max_wal_size, 1 GB, of its log.
needed=$((size * 11 / 10 + (size < 1000000000 ? size : 1000000000)))
free=$(free_bytes "$PGDATA")
[ "$free" -gt "$needed" ] ||
  fail "the backup needs about $(megabytes "$needed") on the database's disk, which has $(megabytes "$free") free."
drop_leftover || fail "the name of the database $restoring is needed here: rename that database."

# The new database. From here on, whatever ends this drops it again.

scratch=$(mktemp -d)
undo=yes
new_roles=''
clean_up() {
  trap '' HUP INT TERM
  if [ -n "$undo" ]; then
    drop_database "$restoring" || :
    printf '%s\n' "$new_roles" | sed 's/..*/DROP ROLE IF EXISTS &;/' | sql || :
  fi
  rm -rf "$scratch"
}
trap clean_up EXIT
trap 'fail "it was interrupted."' HUP INT TERM

if [ -z "$owner" ]; then
  # Roles that the server does not have yet, with their settings and memberships. Others stay as they are.
  sql -c 'SELECT quote_ident(rolname) FROM pg_roles' > "$scratch/known"
  awk '
    NR == FNR { known[$0]; next }
    /^CREATE ROLE / && !(substr($0, 13, length($0) - 13) in known) { new[substr($0, 13, length($0) - 13)]; print }
    { sub(/ GRANTED BY .*;$/, ";") }
    {
      for (role in new)
        if (index($0, "ALTER ROLE " role " ") == 1 || index($0, "GRANT " role " TO ") == 1 ||
            /^GRANT / && (index($0, " TO " role " ") || index($0, " TO " role ";"))) { print; next }
    }' "$scratch/known" "$backup/roles.sql" > "$scratch/roles.sql"
  missing_roles=$(sed -n 's/^CREATE ROLE \(.*\);$/\1/p' "$scratch/roles.sql")
  [ -z "$missing_roles" ] ||
    printf 'Making the roles that are missing here: %s\n' "$(printf '%s' "$missing_roles" | paste -sd , -)"
  sql --single-transaction --file="$scratch/roles.sql" > /dev/null || fail 'the roles could not be made.'
  new_roles=$missing_roles

  # What belongs to the database itself and not to something in it, for the new name.
  printf '%s\n' "$contents" > "$scratch/contents"
  grep -E '^[0-9]+; (1262 [0-9]+ DATABASE|0 0 (COMMENT|ACL|SECURITY LABEL) - DATABASE|0 0 DATABASE PROPERTIES) ' \
    "$scratch/contents" > "$scratch/list"
  pg_restore --create --schema-only --use-list="$scratch/list" --file=- "$dump" |
    grep -vE '^(\\|SET |SELECT pg_catalog\.set_config)' > "$scratch/original.sql"
  old=$(sed -n 's/^CREATE DATABASE \(.*\) WITH TEMPLATE = .*/\1/p' "$scratch/original.sql" | sed 's/[][\.*^$/]/\\&/g')
  sed "/^\(CREATE\|ALTER\|COMMENT ON\|SECURITY LABEL\|GRANT\|REVOKE\) /s/ DATABASE $old\([ ;]\)/ DATABASE :\"restoring\"\1/" \
    "$scratch/original.sql" > "$scratch/database.sql"
else
  echo 'CREATE DATABASE :"restoring" WITH TEMPLATE = template0 OWNER :"owner";' > "$scratch/database.sql"
fi
{
  grep '^CREATE DATABASE ' "$scratch/database.sql"
  echo "COMMENT ON DATABASE :\"restoring\" IS '$mark';"
} | sql -v restoring="$restoring" -v owner="$owner" || fail 'the new database could not be made; the reason is above.'

measure() {
  echo "SELECT pg_database_size(:'restoring')" | sql -v restoring="$restoring"
}
fill() {
  PGOPTIONS="$PGOPTIONS -c synchronous_commit=off" \
    pg_restore --exit-on-error --jobs="$jobs" --dbname="$restoring" "$@" "$dump" 2> "$scratch/errors"
}
echo "Restoring backups/$name, about $(megabytes "$size"), into a new database ..."
set --
[ -z "$owner" ] || set -- --no-owner --no-privileges --role="$owner"
with_progress Restoring "$size" fill "$@" ||
  fail "$(grep -m 1 'error:' "$scratch/errors" || head -n 1 "$scratch/errors")"
vacuumdb --quiet --analyze-only --jobs="$jobs" --dbname="$restoring" || fail 'the reason is above.'

readable=$(sql -d "$restoring" -v user="$POSTGRES_USER" << 'SQL'
SELECT bool_or(has_schema_privilege(:'user', relnamespace, 'USAGE') AND has_table_privilege(:'user', oid, 'SELECT'))
FROM pg_class WHERE relname = 'django_migrations' AND relkind = 'r';
SQL
) || fail 'the reason is above.'
[ "$readable" = t ] ||
  fail "in the backup, POSTGRES_USER ($POSTGRES_USER) may not read the tables. To give it everything: OWNER=$POSTGRES_USER."

# The swap takes seconds and is not interrupted: a message could not say whether it happened.

trap '' HUP INT TERM
echo "Swapping it with $POSTGRES_DB ..."
before=${short}_before_$(date -u +%Y%m%d_%H%M%S)
# A rename locks new sessions out and waits for the others to end: they are ended meanwhile.
touch "$scratch/swapping"
while [ -e "$scratch/swapping" ] && kill -0 $$; do
  echo "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :'database'" | sql || :
  sleep 0.1
done > /dev/null 2>&1 9>&- &
{
  echo "SELECT count(*) AS found FROM pg_database WHERE datname = :'database' \\gset"
  # Somebody may hold a lock on one of the two.
  echo "SET lock_timeout = '5s'; SET statement_timeout = '15s';"
  echo 'BEGIN; COMMENT ON DATABASE :"restoring" IS NULL;'
  grep -v '^CREATE DATABASE ' "$scratch/database.sql" || :
  printf '%s\n' '\if :found' 'ALTER DATABASE :"database" RENAME TO :"before";' '\endif'
  echo 'ALTER DATABASE :"restoring" RENAME TO :"database"; COMMIT;'
} | sql -v restoring="$restoring" -v before="$before" || :
rm "$scratch/swapping"
left=$(echo "SELECT count(*) FROM pg_database WHERE datname = :'restoring'" | sql -v restoring="$restoring") ||
  fail 'the server does not answer any more. When it does, make backups shows whether the databases were swapped.'
[ "$left" = 0 ] || fail 'the databases could not be swapped; the reason is above.'
undo=''

kept=$(echo "SELECT pg_size_pretty(pg_database_size(:'before'))" | sql -v before="$before" 2> /dev/null) || kept=''
subscriptions=$(sql -d "$POSTGRES_DB" -c "SELECT string_agg(subname, ', ') FROM pg_subscription
  JOIN pg_database ON pg_database.oid = subdbid WHERE datname = current_database()") || subscriptions=''
if [ -n "$subscriptions" ]; then
  [ -z "$kept" ] || sql -d "$before" << 'SQL' || :
SELECT format('ALTER SUBSCRIPTION %I DISABLE', subname) FROM pg_subscription
JOIN pg_database ON pg_database.oid = subdbid WHERE datname = current_database() \gexec
SQL
  echo "Subscriptions are disabled: $subscriptions. Look at their publisher before you enable them."
fi
echo "Restored backups/$name."
if [ -n "$kept" ]; then
  case $before in
    *[!a-zA-Z0-9_-]*) before="'$before'" ;;
  esac
  echo "What was replaced is kept as the database $before ($kept). To delete it: make drop-replaced DB=$before"
fi
