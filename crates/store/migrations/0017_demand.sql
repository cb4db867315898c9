-- What machines of each kind got of images, for who decides what to build next. Days are counted
-- from 1970 in UTC; nodes stand as keyed hashes, and no user name or address is here.
CREATE TABLE demand (
    id         INTEGER PRIMARY KEY,
    repository TEXT    NOT NULL,
    tag        TEXT    NOT NULL,
    target     TEXT    NOT NULL,
    gpu        TEXT    NOT NULL,
    got        TEXT    NOT NULL,
    known      INTEGER NOT NULL,
    pulls      INTEGER NOT NULL,
    last_day   INTEGER NOT NULL,
    -- The last day on which more nodes pulled than are told apart.
    more_nodes INTEGER,
    UNIQUE (repository, tag, target, gpu, got)
) STRICT;
CREATE INDEX demand_by_pulls ON demand (known, pulls, last_day);
CREATE INDEX demand_by_day ON demand (last_day, pulls);

CREATE TABLE demand_days (
    demand_id INTEGER NOT NULL REFERENCES demand (id) ON DELETE CASCADE,
    day       INTEGER NOT NULL,
    pulls     INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    PRIMARY KEY (demand_id, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX demand_days_by_day ON demand_days (day);

CREATE TABLE demand_nodes (
    demand_id INTEGER NOT NULL REFERENCES demand (id) ON DELETE CASCADE,
    node      INTEGER NOT NULL,
    last_day  INTEGER NOT NULL,
    PRIMARY KEY (demand_id, node)
) STRICT, WITHOUT ROWID;
CREATE INDEX demand_nodes_by_day ON demand_nodes (last_day);
