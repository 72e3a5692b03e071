#!/bin/sh
# Back up the database and the uploads of development, or restore a backup: see docs/data.md.
# A backup is a folder: data is what pg_dump writes, media has the uploads.
set -eu
cd "$(dirname "$0")/.."

in_db() { docker compose exec -T db "$@"; }
# \q ends psql: Docker can lose the end of the input.
run_sql() { { cat; printf '%s\n' '\q'; } | in_db env PGOPTIONS='-c client_min_messages=warning' psql -XAtq -v ON_ERROR_STOP=1 \
  -v user="$user" -v database="$database" -v new="${new-}" -U postgres -d "$1"; }
fail() { printf '%s\n' "$1" >&2; exit 1; }
trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM
user=$(in_db printenv APP_USER < /dev/null); database=$(in_db printenv POSTGRES_DB < /dev/null)

backup() {
  partial=$(mktemp -d backups/.partial.XXXXXX)
  trap 'rm -rf "$partial"' EXIT
  { in_db pg_dump -U postgres --format=custom "$database" < /dev/null > "$partial/data" &&
    in_db pg_restore --file=/dev/null "/$partial/data" < /dev/null &&
    mkdir "$partial/media" && cp -R media/. "$partial/media"; } || fail 'No backup was made: the reason is above.'
  name=backups/$(date -u +%Y%m%dT%H%M%SZ)
  { [ ! -e "$name" ] && mv "$partial" "$name"; } || fail "No backup was made: is there a $name already?"
  echo "Made $name ($(du -sh "$name" | cut -f 1)). To restore it: make restore FILE=$name"
{%- if cookiecutter.use_tasks %}
  in_db psql -XAtq -U postgres -d "$database" -c "SELECT count(*) || ' task(s) wait now.' FROM django_ox_oxtask WHERE status IN ('READY', 'RUNNING')" < /dev/null 2> /dev/null || :
{%- endif %}
}

fill() { # ROLE OPTIONS_OF_GREP PATTERN -> restore the entries of the dump that grep selects
  printf '%s\n' "$list" | grep "$2" "^[0-9]+; [0-9]+ [0-9]+ $3 " > "backups/.$new" || :
  in_db pg_restore -U "$1" --use-list="/backups/.$new" --exit-on-error $owners --no-privileges --jobs=2 --dbname="$new" \
    "$dump" < /dev/null || exit 1
}

undo() { # A swap of the two databases that has begun ends first, and then there is nothing to drop.
  rm -f "backups/.$new"
  ! echo "DROP DATABASE $new WITH (FORCE);" | run_sql postgres 2> /dev/null || fail 'Nothing was restored: the database is as it was.'
  fail 'It ended early and may have restored. To see the databases: docker compose exec db psql -U postgres -l'
}

restore() {
  name=${1#./} name=${name#backups/} name=${name%/} media=$PWD/media new=restoring_$(date +%s)_$$
  { [ -n "$name" ] && [ -e "backups/$name" ]; } || fail "Nothing was restored: FILE is a backup, as in FILE=backups/NAME, not '$1'."
  if [ -d "backups/$name" ]; then dump=/backups/$name/data; else dump=/backups/$name; fi
  list=$(in_db pg_restore --list "$dump" < /dev/null) || fail 'Nothing was restored: the reason is above.'
  # As the role of app, which then owns everything. With SUPERUSER=1, as the superuser, with the owners of the backup.
  if [ "${SUPERUSER-}" != 1 ]; then role=$user owners=--no-owner; else role=postgres owners=''; fi
  run_sql postgres << 'SQL' || fail 'Nothing was restored: the reason is above.'
SELECT format('DROP DATABASE %I', datname) FROM pg_database WHERE datname ~ '^restoring_\d+_\d+$' AND datname <> :'database'
  AND datname NOT IN (SELECT datname FROM pg_stat_activity WHERE datname <> '') \gexec
CREATE DATABASE :"new" TEMPLATE template0 OWNER :"user";
GRANT pg_write_all_data TO :"user"; -- Tables of extensions are the superuser's.
SQL
  trap undo EXIT
  echo "Restoring backups/$name into a new database ..."
  fill "$role" -E SCHEMA
  fill postgres -E '(COMMENT - )?EXTENSION'
  fill "$role" -vE '(SCHEMA|(COMMENT - )?EXTENSION)'
  # If the role of app can read the tables, the names of both databases change in one transaction.
  run_sql "$new" << 'SQL' || exit 1
\c - :user
SELECT FROM django_migrations LIMIT 1;
\c postgres postgres
SELECT left(:'database', 40) || to_char(now(), '_before_YYYYMMDD_HH24MISS') AS kept \gset
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :'database' \g /dev/null
REVOKE pg_write_all_data FROM :"user";
BEGIN; ALTER DATABASE :"database" RENAME TO :"kept"; ALTER DATABASE :"new" RENAME TO :"database"; COMMIT;
\echo Restored. What was replaced is kept as the database :kept
SQL
  trap - EXIT
  rm -f "backups/.$new"
  # Uploads that are missing are put back; no file that is there changes.
  [ ! -d "backups/$name/media" ] || (cd "backups/$name/media" && find . -type f -exec sh -c 'for file; do [ -e "$0/$file" ] ||
    { mkdir -p "$0/$(dirname "$file")" && cp -p "$file" "$0/$file.new" && mv "$0/$file.new" "$0/$file"; } || exit 1
    done' "$media" {} +) || fail 'Not all uploads were put back: the reason is above.'
}
case ${1-} in backup) backup ;; restore) restore "${2-}" ;; *) fail 'Say backup, or restore backups/NAME.' ;; esac
