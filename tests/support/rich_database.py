"""A database with one object of each kind that a backup may lose, and the state to compare."""

from tests.support.project import Project

# More roles on the server.
MORE_ROLES = r"""
CREATE ROLE reader;
CREATE ROLE writer LOGIN PASSWORD 'of the writer' CONNECTION LIMIT 7;
CREATE ROLE "odd \role";
GRANT reader TO writer WITH ADMIN OPTION;
ALTER ROLE writer SET work_mem = '5MB';
COMMENT ON ROLE reader IS 'may read';
"""

# Run by the superuser in the project's database; `:DBNAME` is a variable of psql.
RICH = r"""
COMMENT ON DATABASE :"DBNAME" IS 'of the project: it''s "quoted", \ and
ALTER DATABASE on lines of its own, such as
SET one = ''two'';
\! a command of psql, :x and :''x''';
ALTER DATABASE :"DBNAME" SET app.note = 'first
SET second = "x", \third';
ALTER DATABASE :"DBNAME" SET lock_timeout = '3min';
ALTER DATABASE :"DBNAME" SET work_mem = '7MB';
ALTER DATABASE :"DBNAME" SET search_path = "$user", public, "Odd schema";
ALTER ROLE reader IN DATABASE :"DBNAME" SET statement_timeout = '3min';
ALTER DATABASE :"DBNAME" CONNECTION LIMIT 77;
REVOKE CONNECT ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO reader, django;
CREATE EXTENSION pgcrypto;
SET ROLE django;
CREATE TABLE customer (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE purchase (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customer, paid boolean NOT NULL
);
CREATE INDEX unpaid ON purchase (customer_id) WHERE NOT paid;
CREATE SEQUENCE invoice START 1000;
INSERT INTO customer (name) SELECT 'customer ' || n FROM generate_series(1, 1000) AS n;
INSERT INTO purchase (customer_id, paid)
SELECT 1 + n % 1000, n % 7 > 0 FROM generate_series(1, 20000) AS n;
SELECT nextval('invoice'), nextval('invoice');
SELECT lo_from_bytea(4711, 'a large object');
GRANT SELECT ON customer TO reader WITH GRANT OPTION;
GRANT UPDATE (name) ON customer TO "odd \role";
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader;
CREATE TABLE secret (owner name, what text);
INSERT INTO secret VALUES ('reader', 'for the reader'), ('writer', 'for the writer');
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON secret TO reader USING (owner = current_user);
GRANT SELECT ON secret TO reader;
CREATE FUNCTION who() RETURNS name SECURITY DEFINER LANGUAGE sql AS 'SELECT current_user';
CREATE FUNCTION looks_like_sql() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
GRANT SELECT ON customer TO nobody_like_this;
END $$;
COMMENT ON TABLE secret IS 'such as
GRANT SELECT ON secret TO nobody_like_this;';
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TYPE span AS RANGE (subtype = float8);
CREATE AGGREGATE concat_all (text) (sfunc = textcat, stype = text, initcond = '');
CREATE MATERIALIZED VIEW totals AS SELECT paid, count(*) FROM purchase GROUP BY paid;
CREATE TABLE parted (day date, n integer) PARTITION BY RANGE (day);
CREATE TABLE parted_2026 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO parted VALUES ('2026-11-21', 1);
RESET ROLE;
CREATE VIEW all_secrets AS SELECT * FROM secret;
ALTER VIEW all_secrets OWNER TO reader;
CREATE SCHEMA archive AUTHORIZATION writer;
CREATE TABLE archive.closed (id integer);
CREATE FUNCTION archive.same(integer) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT $1';
ALTER TABLE archive.closed OWNER TO writer;
ALTER FUNCTION archive.same OWNER TO writer;
CREATE INDEX ON archive.closed (archive.same(id));
INSERT INTO archive.closed VALUES (1);
CREATE PUBLICATION paid FOR TABLE purchase;
ALTER PUBLICATION paid OWNER TO django;
"""

STATE = r"""
SELECT (SELECT count(*) FROM purchase), (SELECT sum(id) FROM purchase), (SELECT count(*) FROM totals),
       (SELECT last_value FROM invoice), (SELECT last_value FROM customer_id_seq),
       (SELECT indexdef FROM pg_indexes WHERE indexname = 'unpaid'),
       (SELECT count(*) FROM pg_constraint WHERE conname = 'purchase_customer_id_fkey'),
       convert_from(lo_get(4711), 'UTF8'), left(crypt('x', '$1$salt$'), 3), who(),
       (SELECT count(*) FROM all_secrets), (SELECT sum(n) FROM parted), (SELECT sum(id) FROM archive.closed);
SELECT relname, relkind, pg_get_userbyid(relowner), (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(relacl) AS a), relrowsecurity FROM pg_class
WHERE relnamespace IN ('public'::regnamespace, 'archive'::regnamespace) ORDER BY relname;
SELECT nspname, pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1;
SELECT pubname, pg_get_userbyid(pubowner) FROM pg_publication;
SELECT extname, extnamespace::regnamespace FROM pg_extension ORDER BY 1;
SELECT attname, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(attacl) AS a) FROM pg_attribute WHERE attacl IS NOT NULL AND attrelid >= 16384 ORDER BY 1;
SELECT proname, pg_get_userbyid(proowner), prosecdef, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(proacl) AS a) FROM pg_proc
WHERE pronamespace = 'public'::regnamespace
AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e') ORDER BY 1;
SELECT pg_get_userbyid(defaclrole), defaclnamespace::regnamespace, defaclobjtype, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(defaclacl) AS a)
FROM pg_default_acl ORDER BY 1;
SELECT polname, polroles::regrole[] FROM pg_policy;
SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datconnlimit, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) AS a),
       shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = :'DBNAME';
SELECT setrole::regrole, setconfig FROM pg_db_role_setting
WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = :'DBNAME') ORDER BY 1;
SELECT rolname, rolsuper, rolcreatedb, rolcanlogin, rolconnlimit, rolpassword FROM pg_authid
WHERE rolname IN ('reader', 'writer', 'odd \role') ORDER BY 1;
SELECT setrole::regrole, setconfig FROM pg_db_role_setting WHERE setdatabase = 0 ORDER BY 1;
SELECT roleid::regrole, member::regrole, admin_option FROM pg_auth_members
WHERE roleid::regrole::text = 'reader';
"""


def state_of(project: Project) -> str:
    """Return the state of the database that a restore or an upgrade has to keep."""
    return project.admin_sql(STATE)
