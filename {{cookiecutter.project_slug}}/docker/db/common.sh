# shellcheck shell=sh
# Runs in containers of db: what the scripts that copy or change data share. Each reads it with `.`.
set -eu
umask 077

# Limits of a role or a database are meant for the site, not for these scripts.
export PGOPTIONS='-c client_min_messages=warning -c statement_timeout=0 -c idle_session_timeout=0
  -c idle_in_transaction_session_timeout=0 -c default_transaction_read_only=off -c quote_all_identifiers=off
  -c maintenance_work_mem=128MB'
export PGDATABASE=postgres
# The superuser, who needs no password inside this container.
export PGUSER=postgres

# Run SQL from standard input and print bare rows. In it, :"database" is the project's database.
sql() {
  psql -XAtq -v ON_ERROR_STOP=1 -v database="$POSTGRES_DB" "$@"
}

# How many processes copy at once.
jobs=$(nproc)
[ "$jobs" -le 4 ] || jobs=4

megabytes() { # BYTES
  echo "$((($1 + 999999) / 1000000)) MB"
}

free_bytes() { # FOLDER
  df --output=avail --block-size=1 "$1" | tail -n 1
}

# Run a command. Meanwhile `measure` prints how many bytes are done, and each tenth of TOTAL is a line.
with_progress() { # STEP TOTAL COMMAND
  step=$1
  total=$2
  shift 2
  shown=''
  while sleep 1 > /dev/null 2>&1 9>&-; do
    bytes_done=$(measure 2> /dev/null) || continue
    tenths=$((bytes_done * 10 / (total + 1)))
    [ "$tenths" = "$shown" ] || echo "$step: $(megabytes "$bytes_done") of about $(megabytes "$total")"
    shown=$tenths
  done &
  meter=$!
  status=0
  "$@" || status=$?
  kill "$meter" 2> /dev/null || :
  wait "$meter" 2> /dev/null || :
  return "$status"
}

# What FILE=... names in backups/.
backup_name() { # FILE
  name=${1#./}
  name=${name#backups/}
  echo "${name%/}"
}
{%- if cookiecutter.postgres_storage != "tmpfs" or cookiecutter.deployment != "none" %}

# A dump without the lines that name its version and a random key.
rows() {
  LC_ALL=C sed -e '1,/^SET /d' -e '/^\\unrestrict /d'
}

# Compare a dump with what was restored from it, as text, both at the same time.
data_is_equal() { # DATABASE DUMP FOLDER_OF_ITS_SOCKET FOLDER_FOR_PIPES
  mkfifo "$4/sent" "$4/arrived"
  pg_restore --section=data --file=- "$2" | rows > "$4/sent" &
  pg_dump -h "$3" --section=data "$1" | rows > "$4/arrived" &
  compared=0
  cmp "$4/sent" "$4/arrived" >&2 || compared=1
  rm "$4/sent" "$4/arrived"
  return "$compared"
}
{%- endif %}
{%- if cookiecutter.deployment != "none" %}

die() {
  printf '%s\n' "$*" >&2
  exit 1
}

# A time as a number that can be compared.
time_of() { # TIME AS date TAKES IT
  date -u -d "$1" +%Y%m%d%H%M%S
}

# The complete backups of this database, each as "TIME NAME", the newest last. What has a time in the
# future does not count: the clock was wrong.
list_backups() {
  grep -lsxF "database=$POSTGRES_DB" /backups/*/about.txt |
    sed -n 's|^/backups/\(.*-\([0-9]\{8\}\)T\([0-9]\{6\}\)Z-pg[^/]*\)/about.txt$|\2\3 \1|p' |
    awk -v latest="$(time_of '2 hours')" '$1 <= latest' | sort
}

newest_backup() {
  list_backups | tail -n 1
}

repository_hash() {
  echo "$BACKUP_REPOSITORY" | sha256sum | cut -d ' ' -f 1
}

is_copied() { # NAME
  [ "$(cat "/backups/$1/copied.txt" 2> /dev/null)" = "$(repository_hash)" ]
}

# Stop a server that was started in a folder, and delete it.
remove_server() { # FOLDER FOLDER_OF_ITS_SOCKET
  [ ! -e "$1/data/postmaster.pid" ] || gosu postgres pg_ctl -D "$1/data" -m immediate -w stop > /dev/null 2>&1 || :
  rm -rf "$1" "$2"
}
{%- endif %}
{%- if cookiecutter.backup == "continuous" %}

# The write-ahead log, as receive.sh explains it. Names of histories and base backups begin with their time.
archive=/backups/archive

histories() {
  find "$archive" -mindepth 1 -maxdepth 1 -regex '.*/[0-9]*T[0-9]*Z-pg[0-9]*-[0-9]*-[0-9A-F]*' 2> /dev/null | sort
}

# The one that wal writes to, or has written to last.
current_history() {
  name=$(cat "$archive/.current" 2> /dev/null) && [ -d "$archive/$name/incoming" ] && echo "$archive/$name"
}

# The base backups of a history, each as "TIME NAME", the newest last, without those of a wrong clock.
bases() { # HISTORY
  find "$1/base" -mindepth 1 -maxdepth 1 -name '[0-9]*Z' -printf '%f\n' 2> /dev/null |
    sed 's/^\(.*\)T\(.*\)Z$/\1\2 &/' | awk -v latest="$(time_of '2 hours')" '$1 <= latest' | sort
}

# The segments of a history that have arrived, also in part.
segments_of() { # HISTORY
  find "$1/incoming" "$1/wal" -name '[0-9A-F]*' ! -name '*.history' -printf '%f\n' | cut -c 1-24 | sort -u
}

# Whether the log was copied off-site, and not by a clock of the future.
log_is_copied() { # HOW LONG AGO, AS date TAKES IT
  [ "$(cat $archive/.copied 2> /dev/null)" = "$(repository_hash)" ] &&
    [ -n "$(find $archive/.copied -newermt "$* ago" ! -newermt '1 minute')" ]
}
{%- endif %}

# A database with a subscription can only be dropped after the subscription, and that only without
# its slot, which belongs to the publisher.
drop_database() { # NAME
  sql -d "$1" << 'SQL' > /dev/null 2>&1 || :
SELECT format('ALTER SUBSCRIPTION %1$I DISABLE; ALTER SUBSCRIPTION %1$I SET (slot_name = NONE); DROP SUBSCRIPTION %1$I', subname)
FROM pg_subscription JOIN pg_database ON pg_database.oid = subdbid WHERE datname = current_database() \gexec
SQL
  echo 'DROP DATABASE IF EXISTS :"name" WITH (FORCE);' | sql -v name="$1"
}
