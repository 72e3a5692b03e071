# shellcheck shell=sh
# Runs in containers of db: what the scripts that copy or change data share. Each reads it with `.`.
set -eu
umask 077

# Limits of a role or a database are meant for the site, not for these scripts.
export PGOPTIONS='-c client_min_messages=warning -c statement_timeout=0 -c idle_session_timeout=0
  -c idle_in_transaction_session_timeout=0 -c default_transaction_read_only=off -c maintenance_work_mem=128MB'
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

# A database with a subscription can only be dropped after the subscription, and that only without
# its slot, which belongs to the publisher.
drop_database() { # NAME
  sql -d "$1" << 'SQL' > /dev/null 2>&1 || :
SELECT format('ALTER SUBSCRIPTION %1$I DISABLE; ALTER SUBSCRIPTION %1$I SET (slot_name = NONE); DROP SUBSCRIPTION %1$I', subname)
FROM pg_subscription JOIN pg_database ON pg_database.oid = subdbid WHERE datname = current_database() \gexec
SQL
  echo 'DROP DATABASE IF EXISTS :"name" WITH (FORCE);' | sql -v name="$1"
}
