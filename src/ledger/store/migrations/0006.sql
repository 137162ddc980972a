-- Where tokens are used from, by the day (milliseconds of its beginning), for a week: the addresses and the hosts of
-- pages with the most requests, and under 'use' all requests. By the token's digest, as its last use.
CREATE TABLE token_source (
  digest @bytes NOT NULL CHECK (length(digest) = 32),
  kind TEXT NOT NULL CHECK (kind IN ('use', 'network', 'domain')),
  day @int NOT NULL,
  value TEXT NOT NULL,
  requests @int NOT NULL CHECK (requests > 0),
  last_at @int NOT NULL,
  PRIMARY KEY (digest, kind, day, value)
) @clustered;
CREATE INDEX token_source_age ON token_source (day);

-- Lists of tokens as they were, as JSON: the one before the last change, which can be put back until `at`; and the last
-- one that was not changed on trial, which comes back at `at` unless the change is confirmed.
CREATE TABLE list_before (
  account_id TEXT NOT NULL,
  token_id TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('network', 'domain')),
  purpose TEXT NOT NULL CHECK (purpose IN ('undo', 'confirm')),
  list TEXT NOT NULL,
  at @int NOT NULL,
  PRIMARY KEY (account_id, token_id, kind, purpose),
  FOREIGN KEY (account_id, token_id) REFERENCES token (account_id, id)
) @clustered;
CREATE INDEX list_before_due ON list_before (purpose, at);
