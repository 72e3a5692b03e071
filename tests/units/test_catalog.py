"""What a restore makes of roles.sql and of the contents of a dump."""

import pytest


def test_only_the_roles_that_are_missing_are_made(ops):
    text = """\\restrict x
CREATE ROLE django;
ALTER ROLE django WITH LOGIN PASSWORD 'of another time';
CREATE ROLE "odd ""r"" x";
ALTER ROLE "odd ""r"" x" WITH LOGIN;
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER PASSWORD 'x';
ALTER ROLE "odd ""r"" x" SET work_mem TO '5MB';
GRANT django TO postgres GRANTED BY postgres;
GRANT django TO "odd ""r"" x" WITH ADMIN OPTION GRANTED BY postgres;
GRANT "odd ""r"" x" TO django WITH INHERIT TRUE GRANTED BY postgres;
"""
    assert ops.catalog.missing_roles(text, ["django", "postgres"]).splitlines() == [
        'CREATE ROLE "odd ""r"" x";',
        'ALTER ROLE "odd ""r"" x" WITH LOGIN;',
        'ALTER ROLE "odd ""r"" x" SET work_mem TO \'5MB\';',
        'GRANT django TO "odd ""r"" x" WITH ADMIN OPTION;',
        'GRANT "odd ""r"" x" TO django WITH INHERIT TRUE;',
    ]
    assert ops.catalog.missing_roles(text, ["django", "postgres", 'odd "r" x']) == ""


def test_a_setting_of_a_role_is_never_taken_for_a_statement(ops):
    text = """--
-- User Config "it's"
--

CREATE ROLE django;
ALTER ROLE django SET "app.a" TO 'one;
ALTER ROLE django SUPERUSER;
it''s " GRANTED BY';
ALTER ROLE django SET "app.b" TO ' ; ALTER ROLE django SUPERUSER; --';
GRANT django TO ops_restorer GRANTED BY postgres;
COMMENT ON ROLE django IS 'of app';
"""
    assert ops.catalog.missing_roles(text, ["postgres", "ops_restorer"]) == (
        """CREATE ROLE django;
ALTER ROLE django SET "app.a" TO 'one;
ALTER ROLE django SUPERUSER;
it''s " GRANTED BY';
ALTER ROLE django SET "app.b" TO ' ; ALTER ROLE django SUPERUSER; --';
COMMENT ON ROLE django IS 'of app';
"""
    )


def test_the_entries_of_a_dump_are_told_apart_by_their_kind(ops):
    entries = [
        "6; 2615 16386 SCHEMA - shop django",
        "2; 3079 16387 EXTENSION - hstore ",
        "215; 1259 16389 TABLE public SCHEMA django",
        "3450; 0 0 ACL public TABLE notes django",
        "3451; 826 16390 DEFAULT ACL public DEFAULT PRIVILEGES FOR TABLES django",
    ]
    restore = ops.restore
    assert restore.of_kind(entries, *restore.SCHEMAS) == entries[:1]
    assert restore.of_kind(entries, *restore.EXTENSIONS) == entries[1:2]
    assert restore.of_kind(entries, *restore.RIGHTS) == entries[3:]


@pytest.mark.parametrize("name", ["d" * 63, "\N{SNOWMAN}" * 21, "shop"])
def test_names_of_databases_are_no_longer_than_postgresql_allows(ops, name):
    short = ops.restore.short(name)
    assert name.startswith(short)
    assert len(f"{short}_before_20261130_010203".encode()) <= 63
