-- +goose Up
-- Whose a message is, and the channels that are left to tell it: by these it has its turn.
ALTER TABLE outbox ADD COLUMN person TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN channels TEXT NOT NULL DEFAULT '';
