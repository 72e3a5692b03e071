#!/bin/sh
# Runs in the container of db: start PostgreSQL as its image does, with the application's role and
# database.
#
# For the image, POSTGRES_USER is the server's superuser. In this project it is the application's
# role, which owns its database and is no superuser. The superuser is postgres, whose password nobody
# knows: it gets in from inside this container only, where no password is asked for.
set -eu
{%- if cookiecutter.postgres_storage != "tmpfs" %}

# Refuse data of another major version, in the folder of this version or of another one.
for folder in "$PGDATA" /var/lib/postgresql /var/lib/postgresql/data /var/lib/postgresql/*/docker; do
  [ -s "$folder/PG_VERSION" ] || continue
  read -r major < "$folder/PG_VERSION"
  [ "$major" != "$PG_MAJOR" ] || break
  hint='undo the change in compose.yaml'
  [ "$major" -gt "$PG_MAJOR" ] || hint="$hint, then run: make upgrade-postgres TO=$PG_MAJOR"
{%- if cookiecutter.deployment == "swarm" %}
  [ -z "${POSTGRES_PASSWORD_FILE:-}" ] || hint='see "Upgrade PostgreSQL" in docs/swarm.md'
{%- endif %}
  echo "The data is of PostgreSQL $major and this server is $PG_MAJOR: $hint" >&2
  exit 1
done

# Two servers on the same data destroy it, and PostgreSQL cannot see one in another container. The
# lock is on the folder and ends with the server.
mkdir -p "$PGDATA"
exec 9< "$PGDATA"
flock -w 10 9 || {
  echo 'Another container runs a server on this data: an upgrade, or another clone of the project.' >&2
  exit 1
}
# With the lock, this file is of a server that was killed. Its process id may be in use again here.
rm -f "$PGDATA/postmaster.pid"
{%- if cookiecutter.deployment != "none" %}
# In production, the folder of the socket is a volume, too.
rm -f /var/run/postgresql/.s.PGSQL.*
{%- endif %}
{%- endif %}

APP_PASSWORD=${POSTGRES_PASSWORD:-$(cat "${POSTGRES_PASSWORD_FILE:-/dev/null}")}
export APP_PASSWORD APP_DB="$POSTGRES_DB" APP_USER="$POSTGRES_USER"
POSTGRES_PASSWORD=$(od -An -N 16 -t x1 /dev/urandom | tr -d ' \n')
export POSTGRES_PASSWORD POSTGRES_USER=postgres
unset POSTGRES_DB POSTGRES_PASSWORD_FILE
{%- if cookiecutter.postgres_storage != "tmpfs" %}

# A first start that was cut off in initdb left data that no server can use. It is deleted if it holds
# nothing: no server has run on it (each writes postmaster.opts), it has no database but the server's
# own, and it is no copy that somebody put there.
if [ -d "$PGDATA/pg_wal" ] && [ ! -e "$PGDATA/postmaster.opts" ] && [ ! -e "$PGDATA/backup_label" ] &&
  ! grep -qs '^host  *all  *all  *all ' "$PGDATA/pg_hba.conf" &&
  [ -z "$(find "$PGDATA/base" -mindepth 1 -maxdepth 1 -name '?????*' 2> /dev/null)" ]; then
  echo 'The first start was cut off. It begins anew.'
  find "$PGDATA" -mindepth 1 -delete
fi

# A first start that was cut off later, or data that an upgrade has copied.
if [ -s "$PGDATA/PG_VERSION" ] && [ ! -e "$PGDATA/app_role_is_made" ]; then
  as_postgres=''
  [ "$(id -u)" != 0 ] || as_postgres='gosu postgres'
  $as_postgres pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -c synchronous_standby_names=''" -t 600 -w start > /dev/null
  sh /scripts/app_role.sh
  $as_postgres pg_ctl -D "$PGDATA" -m fast -w stop > /dev/null
fi

# Drop what a restore left behind that ended with its server. In the background, as an orphan: the
# server that this process becomes must have no child that it does not know.
(
  {
    until psql -U postgres -d postgres -c 'SELECT'; do sleep 1; done
    POSTGRES_DB=$APP_DB POSTGRES_USER=$APP_USER sh /scripts/restore.sh --drop-leftover
  } > /dev/null 2>&1 9>&- &
)
{%- endif %}

exec docker-entrypoint.sh "$@"
