#!/bin/sh
# Delete a database that a restore has replaced:  sh scripts/db.sh drop_replaced NAME
# shellcheck source-path=SCRIPTDIR source=common.sh
. /scripts/common.sh

name=${1:-}
found=$(sql -v name="$name" << 'SQL'
SELECT pg_database_size(oid) FROM pg_database
WHERE datname = :'name' AND datname <> :'database' AND datname ~ '_before_[0-9]{8}_[0-9]{6}$';
SQL
) || exit 1
if [ -z "$found" ]; then
  echo "Nothing was deleted: DB=$name is no database that a restore replaced; make backups lists them." >&2
  exit 1
fi
drop_database "$name"
echo "Deleted the database $name ($(megabytes "$found"))."
