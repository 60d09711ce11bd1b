-- +goose Up
-- Who may do what one alone may do at a time, by the clock of the database.
CREATE TABLE leases (
	name   TEXT PRIMARY KEY,
	holder TEXT NOT NULL,
	until  BIGINT NOT NULL
);
