# shellcheck shell=sh
# What the scripts that work on the data share: each reads this file first, with `.`.
set -eu
umask 077

# Limits that a role or a database has are meant for the site, not for these scripts.
export PGOPTIONS='-c client_min_messages=warning -c statement_timeout=0 -c idle_session_timeout=0
  -c idle_in_transaction_session_timeout=0 -c default_transaction_read_only=off -c maintenance_work_mem=128MB'
export PGDATABASE=postgres
# The superuser, who needs no password inside this container.
export PGUSER=postgres

# Run SQL from standard input; print bare rows. In it :"database" is the project's database.
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
  echo "$(($(df -Pk "$1" | awk 'NR == 2 { print $4 }') * 1024))"
}

# Show how far a step is: one line that changes on a terminal, else a new line for each tenth.
last_tenth=0
progress() { # TEXT DONE TOTAL, in bytes
  tenth=$(($2 * 10 / ($3 + 1)))
  if [ "${TERMINAL:-}" = 1 ]; then
    printf '\r\033[K%s' "$1"
  elif [ "$tenth" != "$last_tenth" ]; then
    last_tenth=$tenth
    echo "$1"
  fi
}

clear_line() {
  [ "${TERMINAL:-}" != 1 ] || printf '\r\033[K'
}

# Run a command and call `report` once a second meanwhile. The command is in the background because
# a shell handles a signal only when no command is in its foreground.
work=''
run() {
  "$@" &
  work=$!
  ticks=0
  while kill -0 "$work" 2> /dev/null; do
    sleep 0.1
    ticks=$(((ticks + 1) % 10))
    [ "$ticks" != 0 ] || report
  done
  clear_line
  status=0
  wait "$work" || status=$?
  work=''
  return "$status"
}

report() {
  :
}

# End the command of `run` and return when it is gone.
stop_work() {
  [ -z "$work" ] || kill "$work" 2> /dev/null || :
  [ -z "$work" ] || wait "$work" 2> /dev/null || :
  work=''
}

# scripts/db.sh keeps standard input open while it lives. When that ends, however it was ended, this
# script is told to stop.
watcher=''
if [ "${STOP_AT_END_OF_INPUT:-}" = 1 ]; then
  exec 8<&0
  { cat <&8; kill -TERM $$; } > /dev/null 2>&1 &
  watcher=$!
  exec 8<&- < /dev/null
fi
stop_watching() {
  [ -z "$watcher" ] || kill "$watcher" 2> /dev/null || :
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
