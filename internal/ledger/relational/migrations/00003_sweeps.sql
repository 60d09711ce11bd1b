-- When the last periodic sweep began, in one row; nobody gets access by it.
-- +goose Up
CREATE TABLE sweeps (
	id    BIGINT PRIMARY KEY,
	began BIGINT NOT NULL
);
