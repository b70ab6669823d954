-- Jobs that one node at a time shall do: who has each, and until when, by the clock of the database. A node that does not
-- come back in time has lost it to the next that asks.
CREATE TABLE job_lease (
  job text COLLATE "C" NOT NULL PRIMARY KEY,
  holder bytea NOT NULL,
  until timestamptz NOT NULL
);
