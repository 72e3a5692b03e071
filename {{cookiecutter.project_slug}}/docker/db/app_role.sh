#!/bin/sh
# Make the application's role and database where they are missing. The image runs this on its first
# start, before the server listens on the network. DB_ROLE_OPTIONS are such as CREATEDB.
set -e

# Data from before there was the role postgres has APP_USER as its superuser.
superuser=postgres
psql -XAtq -U postgres -d postgres -c 'SELECT' > /dev/null 2>&1 || superuser=$APP_USER

psql -XAtq -v ON_ERROR_STOP=1 -U "$superuser" -d postgres -v options="${DB_ROLE_OPTIONS:-}" << 'SQL'
\getenv user APP_USER
\getenv password APP_PASSWORD
\getenv database APP_DB
SET client_min_messages = warning;
SELECT 'CREATE ROLE postgres SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS LOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'postgres') \gexec
SELECT format('CREATE ROLE %I LOGIN %s PASSWORD %L', :'user', :'options', :'password')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'user') \gexec
SELECT format('ALTER ROLE postgres PASSWORD %L', :'password') WHERE :'user' = 'postgres' \gexec
SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'user')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
SQL
touch "$PGDATA/app_role_is_made"
