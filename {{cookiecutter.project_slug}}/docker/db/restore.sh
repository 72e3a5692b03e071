#!/bin/sh
# Replace the database by a backup:  sh scripts/db.sh restore backups/NAME [OWNER]
# The backup goes into a new database. When all of it is there, the two swap their names in one
# transaction. What was live stays, as another database. With OWNER, everything in the backup is
# given to that role, and the backup's own roles are not needed.
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

# Drop what a restore that was cut off left behind. Its comment, or that it is empty, proves that it
# holds nothing of the user's.
drop_leftover() {
  comment=$(sql -v name="$restoring" << 'SQL'
SELECT coalesce(shobj_description(oid, 'pg_database'), '-') FROM pg_database WHERE datname = :'name';
SQL
  )
  [ -n "$comment" ] || return 0
  [ "$comment" = "$mark" ] ||
    [ "$(sql -d "$restoring" -c 'SELECT count(*) FROM pg_class WHERE oid >= 16384')" = 0 ] || return 1
  drop_database "$restoring"
}

# Held until the last process of this restore has ended, whatever ends it.
exec 9> /tmp/restore.lock
if [ "${1:-}" = --drop-leftover ]; then
  ! flock -n 9 || drop_leftover
  exit
fi

name=${1:-}
owner=${2:-}
[ -n "$name" ] || fail 'say what, as in FILE=backups/NAME; make backups lists them.'
name=${name#./}
name=${name#backups/}
name=${name%/}
[ -e "/backups/$name" ] || fail "there is no backups/$name. FILE is what make backups lists."
flock -w 5 9 || fail 'another restore is running.'
before=${short}_before_$(date -u +%Y%m%d_%H%M%S)

# In the past a backup was a file, which held the database and nothing else.
dump=/backups/$name
roles=/dev/null
bytes=0
if [ -d "$dump" ]; then
  roles=$dump/roles.sql
  bytes=$(sed -n 's/^bytes=//p' "$dump/about.txt" 2> /dev/null) || bytes=0
  # pg_restore does not notice a file that was cut off.
  if [ -e "$dump/SHA256SUMS" ]; then
    damaged=$(cd "$dump" && sha256sum -c SHA256SUMS 2> /dev/null | grep -v ': OK$' | head -n 1) || :
    [ -z "$damaged" ] || fail "backups/$name is not what make backup wrote: ${damaged#./}."
  fi
  dump=$dump/data
fi
contents=$(pg_restore --list --create "$dump" 2> /dev/null) ||
  fail "backups/$name is damaged, of a newer PostgreSQL, or not made by make backup."
case $contents in
  *' TABLE DATA '*' django_migrations '*) ;;
  *) fail "backups/$name is a backup, but not of a Django project." ;;
esac

scratch=$(mktemp -d)
new_roles=''
undo=''
clean_up() {
  trap '' HUP INT TERM
  stop_work
  if [ -n "$undo" ]; then
    drop_database "$restoring" || :
    printf '%s\n' "$new_roles" | sed 's/..*/DROP ROLE IF EXISTS &;/' | sql || :
  fi
  rm -rf "$scratch"
  stop_watching
}
trap clean_up EXIT
trap 'clear_line; fail "it was interrupted."' HUP INT TERM

# The backup's SQL for the entries of its list that grep chooses.
statements() { # OPTIONS AND PATTERN OF GREP
  printf '%s\n' "$contents" | grep -E "$@" > "$scratch/list" || :
  pg_restore --create --schema-only --use-list="$scratch/list" --file=- "$dump"
}

# Checks, while nothing is changed yet.

prepared=$(echo "SELECT string_agg(gid, ', ') FROM pg_prepared_xacts WHERE database = :'database'" | sql)
[ -z "$prepared" ] || fail "the database has prepared transactions, which have to end first: $prepared."

[ "${bytes:-0}" -gt 0 ] || bytes=$(($(du -sk "$dump" | cut -f 1) * 1024 * 2))
# While it is filled, the server also writes up to max_wal_size, 1 GB, of its log.
needed=$((bytes * 11 / 10 + (bytes < 1000000000 ? bytes : 1000000000)))
free=$(free_bytes "$PGDATA")
[ "$free" -gt "$needed" ] ||
  fail "the backup needs about $(megabytes "$needed") on the database's disk, which has $(megabytes "$free") free."

if [ -n "$owner" ]; then
  [ "$(echo "SELECT 1 FROM pg_roles WHERE rolname = :'owner'" | sql -v owner="$owner")" = 1 ] ||
    fail "there is no role '$owner' on this server."
else
  # Owners, and who has or lost a right. Lines in a function's source may look like these statements.
  statements -v '^;|^[0-9]+; [0-9]+ [0-9]+ (FUNCTION|PROCEDURE|COMMENT) ' | awk '
    { sub(/ WITH GRANT OPTION;$/, ";") }
    /^(ALTER .* OWNER TO|GRANT .* TO|REVOKE .* FROM|ALTER DEFAULT PRIVILEGES .* TO) .*;$/ {
      role = $0
      sub(/.* (TO|FROM) /, "", role)
      sub(/;$/, "", role)
      print role
    }
    sub(/^ALTER DEFAULT PRIVILEGES FOR ROLE /, "") { sub(/ (IN SCHEMA .* )?(GRANT|REVOKE) .*/, ""); print }
    /^ALTER ROLE .* IN DATABASE / { sub(/^ALTER ROLE /, ""); sub(/ IN DATABASE .*/, ""); print }
    ' | grep -vx PUBLIC | sort -u > "$scratch/needed" || :
  sql -c 'SELECT quote_ident(rolname) FROM pg_roles' | sort > "$scratch/known"
  sed -n 's/^CREATE ROLE \(.*\);$/\1/p' "$roles" | sort > "$scratch/carried"
  sort -u "$scratch/known" "$scratch/carried" > "$scratch/all"
  missing=$(comm -23 "$scratch/needed" "$scratch/all" | paste -sd , -)
  [ -z "$missing" ] || fail "roles are missing here: $missing. Make them with \
docker compose exec db createuser -U $PGUSER NAME, or give everything to this project's role: OWNER=$POSTGRES_USER."
  new_roles=$(comm -13 "$scratch/known" "$scratch/carried")
fi

drop_leftover || fail "the name of the database $restoring is needed here: rename that database."

# The new database. From here on, whatever ends this drops it again.

undo=yes
if [ -n "$new_roles" ]; then
  printf 'Making the roles that are missing here: %s\n' "$(printf '%s' "$new_roles" | paste -sd , -)"
  printf '%s\n' "$new_roles" | while read -r role; do
    ROLE=$role awk '
      BEGIN { role = ENVIRON["ROLE"] }
      $0 == "CREATE ROLE " role ";" { print "0 " $0 }
      index($0, "ALTER ROLE " role " ") == 1 { print "1 " $0 }
      index($0, "GRANT " role " TO ") == 1 || (/^GRANT / && (index($0, " TO " role " ") || index($0, " TO " role ";"))) {
        sub(/ GRANTED BY .*;$/, ";")
        print "2 " $0
      }' "$roles"
  done | sort -u | sed 's/^[012] //' > "$scratch/roles.sql"
  sql --single-transaction --file="$scratch/roles.sql" > /dev/null || fail 'the roles could not be made.'
fi

# What belongs to the database itself and not to something in it, for the new name.
statements '^[0-9]+; (1262 [0-9]+ DATABASE|0 0 (COMMENT|ACL|SECURITY LABEL) - DATABASE|0 0 DATABASE PROPERTIES) ' | awk '
  /^CREATE DATABASE / {
    old = $0
    sub(/^CREATE/, "", old)
    sub(/ WITH TEMPLATE = .*/, "", old)
  }
  !old || /^\\/ || /^SET / || /^SELECT pg_catalog.set_config/ { next }
  /^(CREATE|ALTER|COMMENT ON|SECURITY LABEL|GRANT|REVOKE) / && (at = index($0, old)) {
    $0 = substr($0, 1, at - 1) " DATABASE :\"restoring\"" substr($0, at + length(old))
  }
  { print }' > "$scratch/database.sql"
if [ -n "$owner" ]; then
  echo 'CREATE DATABASE :"restoring" WITH TEMPLATE = template0 OWNER :"owner";' > "$scratch/database.sql"
fi
{
  grep '^CREATE DATABASE ' "$scratch/database.sql"
  echo "COMMENT ON DATABASE :\"restoring\" IS '$mark';"
} | sql -v restoring="$restoring" -v owner="$owner" || fail 'the new database could not be made; the reason is above.'

report() {
  size=$(echo "SELECT pg_database_size(:'restoring')" | sql -v restoring="$restoring" 2> /dev/null) || return 0
  progress "Restoring: $(megabytes "$size") of about $(megabytes "$bytes")" "$size" "$bytes"
}

echo "Restoring backups/$name, about $(megabytes "$bytes"), into a new database ..."
if [ -n "$owner" ]; then
  set -- --no-owner --no-privileges --role="$owner"
else
  set --
fi
fill() {
  PGOPTIONS="$PGOPTIONS -c synchronous_commit=off" \
    pg_restore --exit-on-error --jobs="$jobs" --dbname="$restoring" "$@" "$dump" 2> "$scratch/errors"
}
run fill "$@" ||
  fail "$(grep -m 1 'error:' "$scratch/errors" || head -n 1 "$scratch/errors")"
run vacuumdb --quiet --analyze-only --jobs="$jobs" --dbname="$restoring" || fail 'the reason is above.'

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
  echo "What was live is kept as the database $before ($kept). To delete it: make drop-replaced DB=$before"
fi
