-- Gateways that share a store: which version each has in force, and when it has said so last, by the database's clock.
CREATE TABLE node (
  id TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 32),
  name TEXT NOT NULL,
  program TEXT NOT NULL,
  started_at @int NOT NULL,
  applied @int NOT NULL,
  seen_at @int NOT NULL
) @clustered;
CREATE INDEX node_seen ON node (seen_at);
