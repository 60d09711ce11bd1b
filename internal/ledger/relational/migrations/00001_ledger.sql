-- One text for SQLite and PostgreSQL. Times are microseconds since 1970; 0 is none.
-- Bytes are Base64.
-- +goose Up
CREATE TABLE requests (
	id        TEXT PRIMARY KEY,
	version   BIGINT NOT NULL,
	head      TEXT NOT NULL,
	state     TEXT NOT NULL,
	principal TEXT NOT NULL,
	resource  TEXT NOT NULL,
	made      BIGINT NOT NULL,
	due       BIGINT NOT NULL,
	summary   TEXT NOT NULL
);
CREATE INDEX requests_by_time ON requests (made, id);
CREATE INDEX requests_by_principal ON requests (principal, made, id);
CREATE INDEX requests_by_resource ON requests (resource, made, id);
CREATE INDEX requests_by_state ON requests (state, made, id);
CREATE INDEX requests_by_due ON requests (due) WHERE due > 0;

CREATE TABLE reviewers (
	request_id TEXT NOT NULL,
	principal  TEXT NOT NULL,
	state      TEXT NOT NULL,
	made       BIGINT NOT NULL,
	PRIMARY KEY (request_id, principal)
);
CREATE INDEX reviewers_by_principal ON reviewers (principal, made, request_id);
CREATE INDEX reviewers_by_state ON reviewers (principal, state, made, request_id);

-- Never updated, never deleted from.
CREATE TABLE events (
	request_id TEXT NOT NULL,
	version    BIGINT NOT NULL,
	body       TEXT NOT NULL,
	algorithm  TEXT NOT NULL,
	key_id     TEXT NOT NULL,
	public_key TEXT NOT NULL,
	signature  TEXT NOT NULL,
	PRIMARY KEY (request_id, version)
);

-- Personal data; erased by deleting.
CREATE TABLE parts (
	request_id TEXT NOT NULL,
	version    BIGINT NOT NULL,
	place      BIGINT NOT NULL,
	person     TEXT NOT NULL,
	salt       TEXT NOT NULL,
	content    TEXT NOT NULL,
	PRIMARY KEY (request_id, version, place)
);
CREATE INDEX parts_by_person ON parts (person);

CREATE TABLE outbox (
	id         TEXT PRIMARY KEY,
	request_id TEXT NOT NULL,
	notice     TEXT NOT NULL,
	made       BIGINT NOT NULL,
	due        BIGINT NOT NULL,
	attempts   BIGINT NOT NULL,
	lease      TEXT NOT NULL
);
CREATE INDEX outbox_by_due ON outbox (due);
