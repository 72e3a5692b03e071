#!/bin/sh
# Runs in the container of db: make the application's role and database where they are missing. On its
# first start the image runs this, before the server listens on the network.
set -e

psql -XAtq -v ON_ERROR_STOP=1 -U postgres -d postgres -v options="${DB_ROLE_OPTIONS:-}" << 'SQL'
\getenv user APP_USER
\getenv password APP_PASSWORD
\getenv database APP_DB
SELECT format('CREATE ROLE %I LOGIN %s PASSWORD %L', :'user', :'options', :'password')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'user') \gexec
SELECT format('ALTER ROLE postgres PASSWORD %L', :'password') WHERE :'user' = 'postgres' \gexec
SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'user')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
SQL
touch "$PGDATA/app_role_is_made"
