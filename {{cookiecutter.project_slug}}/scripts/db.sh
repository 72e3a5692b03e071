#!/bin/sh
# Runs on the host: run a script of docker/db in the container of the live database{% if cookiecutter.deployment == "compose" %}, or in production, where
# it can, in that of backup{% endif %}.
#   sh scripts/db.sh backup
# `docker exec` leaves a command running when it is interrupted itself. So this holds a pipe open, and
# the script in the container stops at the end of it, whatever ended this one.
set -eu
cd "$(dirname "$0")/.."
{%- if cookiecutter.deployment == "swarm" %}
# On a manager of the swarm, the live database is that of the stack.
! grep -qs '^STACK=' .env || exec sh scripts/stack_db.sh "$@"
{%- endif %}
script=$1
shift

# Never `docker compose exec`: while db is stopped, it takes any container that was run from db.
db=$(docker compose ps --quiet db)
[ -n "$db" ] || {
  echo 'The database is not running. Start it with: docker compose up --detach db' >&2
  exit 1
}

run_in() { # CONTAINER SCRIPT ARGUMENTS
  container=$1
  inside=$2
  shift 2
  folder=$(mktemp -d)
  mkfifo "$folder/pipe"
  # With job control the client has a process group of its own, and Ctrl-C does not reach it.
  ! (: < /dev/tty) 2> /dev/null || set -m
  docker exec --interactive ${LOCK_TIMEOUT:+--env "LOCK_TIMEOUT=$LOCK_TIMEOUT"} "$container" \
    sh /scripts/until_input_ends.sh "/scripts/$inside.sh" "$@" < "$folder/pipe" &
  client=$!
  set +m
  exec 3> "$folder/pipe"
  rm -r "$folder"
  trap 'exec 3>&-' HUP INT TERM
  # A signal ends `wait`, but not the client, which shows what the script does about it.
  while :; do
    status=0
    wait "$client" || status=$?
    kill -0 "$client" 2> /dev/null || return "$status"
  done
}
{%- if cookiecutter.deployment == "compose" %}

# A release replaces it, also during a restore.
running_backup() {
  docker compose ps --quiet --status running backup 2> /dev/null
}
backup=$(running_backup) || backup=''
if [ -z "$backup" ]; then
  not_running='The service backup of production is not running. Start it with: docker compose up --detach backup'
  case $script in
    drill{% if cookiecutter.backup == "continuous" %} | moment{% endif %})
      docker compose config --services | grep -qx backup || not_running='This is for the server: see docs/backups.md.'
      echo "$not_running" >&2
      exit 1
      ;;
  esac
{%- if cookiecutter.media_storage == "volume" %}
  ! docker compose config --services | grep -qx backup || echo "$not_running. Without it, this is without the uploads." >&2
{%- endif %}
  run_in "$db" "$script" "$@" || exit
elif [ "$script" = restore ]; then
  run_in "$backup" offsite fetch "${1:-}" || exit
  run_in "$db" restore "$@" || exit
{%- if cookiecutter.media_storage == "volume" %}
  run_in "$(running_backup)" restore_uploads "$1" || exit
{%- endif %}
{%- if cookiecutter.backup == "continuous" %}
elif [ "$script" = moment ] && [ -n "${1:-}" ]; then
  run_in "$backup" moment "$@" || exit
  run_in "$db" restore moment || exit
{%- if cookiecutter.media_storage == "volume" %}
  run_in "$(running_backup)" restore_uploads moment || exit
{%- endif %}
{%- endif %}
else
  run_in "$backup" "$script" "$@" || exit
fi
{%- else %}
run_in "$db" "$script" "$@"
{%- endif %}
