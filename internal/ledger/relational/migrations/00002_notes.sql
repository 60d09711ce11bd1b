-- +goose Up
-- What is kept beside requests: policies, and doubts. Never updated, never deleted from.
CREATE TABLE notes (
	kind       TEXT NOT NULL,
	id         TEXT NOT NULL,
	made       BIGINT NOT NULL,
	body       TEXT NOT NULL,
	algorithm  TEXT NOT NULL,
	key_id     TEXT NOT NULL,
	public_key TEXT NOT NULL,
	signature  TEXT NOT NULL,
	PRIMARY KEY (kind, id)
);
CREATE INDEX notes_by_time ON notes (kind, made, id);
