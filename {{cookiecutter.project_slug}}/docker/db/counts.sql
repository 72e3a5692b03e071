-- What two servers with the same data agree on: tables, sequences, indexes, extensions, roles.
SELECT format('SELECT %L, count(*) FROM %I.%I', nspname || '.' || relname, nspname, relname)
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY nspname, relname
\gexec
SELECT schemaname || '.' || sequencename, last_value FROM pg_sequences ORDER BY 1;
SELECT 'large objects', count(*) FROM pg_largeobject_metadata;
SELECT 'indexes', count(*) FROM pg_indexes WHERE schemaname NOT IN ('pg_catalog', 'information_schema');
SELECT 'extension', extname FROM pg_extension ORDER BY 2;
SELECT 'role', rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\_%' ORDER BY 2;
