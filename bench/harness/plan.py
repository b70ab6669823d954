"""What is measured: the suites, who takes part in each, and what the short run leaves out."""
from .lists import BY_LINK, COUNTED, DEEP, FIRST, LISTS
from .servers import (ANEW, BARE, CAP, COSELL, EXTENDED, FASTAPI, GROUP_ONE, HOLDING, LISTS_SERVED, LOGGED, SERVED,
                      SMALLEST, WITH_ROWS, WITH_SQLITE)

CONNECTIONS, MANY = 64, 256
CEILING, CEILING_ALONE = "rows of 64 PUTs a commit, in process", "rows of one PUT a commit, in process"
DISK = "fsync"
IN_PROCESS = "SQLite, in process"
PGBENCH, ON_POSTGRES = "pgbench, one jsonb update", "Cosell on PostgreSQL"
PROGRAM = "the program"
# Measured without a server of `servers.py`.
OWN = (CEILING, CEILING_ALONE, DISK, IN_PROCESS, PGBENCH, ON_POSTGRES, PROGRAM)

# Suites that need no table of the given sizes.
ONCE = ["postgres", "weight", "large"]
SUITES = ["read", "write", "start", *LISTS, "disk", *ONCE]
SMALL, LARGE = 100_000, 1_000_000

WHO = {
    "read": [BARE, WITH_SQLITE, COSELL, HOLDING, LOGGED, CAP, FASTAPI],
    "write": [CEILING, CEILING_ALONE, DISK, WITH_ROWS, COSELL, GROUP_ONE, CAP, FASTAPI],
    "start": [COSELL, CAP, FASTAPI],
    "disk": [COSELL, CAP, FASTAPI],
    "postgres": [PGBENCH, ON_POSTGRES],
    "weight": [PROGRAM],
    "large": [SERVED],
    **{suite: [IN_PROCESS, LISTS_SERVED, EXTENDED, ANEW, CAP, FASTAPI] for suite in LISTS},
}
# The largest tables they take part with.
MOST_ROWS = {CEILING: SMALLEST, CEILING_ALONE: SMALLEST, DISK: SMALLEST, WITH_ROWS: SMALLEST, GROUP_ONE: SMALLEST,
             WITH_SQLITE: SMALL, HOLDING: SMALL, LOGGED: SMALL, ANEW: SMALL}

# The short run: what the targets are made of.
QUICK = {
    ("read", SMALLEST): [BARE, COSELL, CAP, FASTAPI],
    ("read", SMALL): [BARE, COSELL, HOLDING],
    ("read", LARGE): [BARE, COSELL],
    ("write", SMALLEST): [CEILING, CEILING_ALONE, COSELL, GROUP_ONE, CAP],
    ("write", SMALL): [COSELL],
    ("write", LARGE): [COSELL],
    ("start", LARGE): [COSELL],
    ("list", SMALL): [EXTENDED, ANEW, CAP, FASTAPI],
    ("list", LARGE): [EXTENDED],
    ("page", SMALL): [EXTENDED, ANEW, CAP],
    ("page", LARGE): [EXTENDED],
    ("disk", LARGE): [COSELL, CAP],
    ("postgres", 0): [PGBENCH, ON_POSTGRES],
    ("weight", 0): [PROGRAM],
}
QUICK_LISTS = {
    ("list", SMALL): [FIRST],
    ("list", LARGE): [FIRST, COUNTED],
    ("page", SMALL): [FIRST, DEEP],
    ("page", LARGE): [FIRST, BY_LINK],
}


def names(suite, rows, quick):
    """Who takes part. The rows are 0 where a suite needs none of the tables."""
    if quick:
        return QUICK.get((suite, rows), [])
    who = WHO[suite]
    if rows > SMALL and suite in ("read", "write", "page", "search", "apply"):
        # The peers take minutes for some of these lists; their memory and copies are large.
        who = [name for name in who if name not in (CAP, FASTAPI)]
    return [name for name in who if rows <= MOST_ROWS.get(name, rows)]


def asked_in(suite, rows, name, quick):
    """Which lists of a suite a server is asked for."""
    if not quick:
        return LISTS[suite]
    return [DEEP] if (suite, name) == ("page", CAP) else QUICK_LISTS[suite, rows]
