-- Rows of the audit are added and nothing else, whoever comes to the database.
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'rows of the audit cannot be changed or removed'; END $$;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE OR DELETE ON audit
  FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON audit
  FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- Every step of the clock wakes those who listen. What has changed is in the change log.
CREATE FUNCTION store_clock_wakes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_notify('tollgate_store', ''); RETURN NULL; END $$;
CREATE TRIGGER store_clock_wakes AFTER UPDATE ON store_clock
  FOR EACH ROW EXECUTE FUNCTION store_clock_wakes();

-- What is written beside the store's history, such as usage, is written one transaction after the other: each locks
-- this row. `recorded` has what each was, so that one whose confirmation was lost is not written twice.
CREATE TABLE store_recording (only_row BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1));
INSERT INTO store_recording VALUES (1);
CREATE TABLE recorded (nonce BIGINT NOT NULL PRIMARY KEY, at BIGINT NOT NULL);
CREATE INDEX recorded_age ON recorded (at);
