-- +goose Up
-- Sessions that were ended before their time. Nobody is let in by it.
CREATE TABLE ended_sessions (
	id    TEXT PRIMARY KEY,
	until BIGINT NOT NULL
);
