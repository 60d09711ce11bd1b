-- What somebody has now, and what of a project failed, among all that is past.
-- +goose Up
CREATE INDEX requests_by_principal_and_state ON requests (principal, state, made, id);
CREATE INDEX requests_by_resource_and_state ON requests (resource, state, made, id);
