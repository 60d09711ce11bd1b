-- What the service needs at run time in PostgreSQL, where another role owns the tables
-- and runs `jitaccess ledger migrate`. Put the role's name in place of RUNTIME; of a
-- service account that is its address without .gserviceaccount.com, in double quotes.
-- Events and notes can be added and read, and neither changed nor deleted.
GRANT USAGE ON SCHEMA public TO RUNTIME;
GRANT SELECT, INSERT ON events, notes TO RUNTIME;
GRANT SELECT, INSERT, DELETE ON parts TO RUNTIME;
GRANT SELECT, INSERT, UPDATE ON requests, sweeps TO RUNTIME;
GRANT SELECT, INSERT, UPDATE, DELETE ON reviewers, outbox, leases, ended_sessions TO RUNTIME;
GRANT SELECT ON goose_db_version TO RUNTIME;
