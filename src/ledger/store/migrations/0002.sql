-- What was used and refused, by the names of accounts and tokens, so that those of files have it as well. The tables of
-- the layout before were never used by any release.
DROP TABLE usage_hour;
DROP TABLE token_seen;
DROP TABLE refusal;

-- What was used, by the hour (milliseconds of its beginning); the outcome is the slug of a problem, or empty for
-- answers. `noted` is the hour in which it was written down: later than `hour` only for what was written after the hour
-- had been handed over to others, so that what they were told never changes.
CREATE TABLE usage_hour (
  id @int NOT NULL PRIMARY KEY,
  hour @int NOT NULL,
  account TEXT NOT NULL,
  token TEXT NOT NULL,
  product TEXT NOT NULL,
  outcome TEXT NOT NULL,
  noted @int NOT NULL,
  requests @int NOT NULL CHECK (requests >= 0),
  credits @int NOT NULL CHECK (credits >= 0),
  watched_networks @int NOT NULL CHECK (watched_networks >= 0),
  watched_domains @int NOT NULL CHECK (watched_domains >= 0),
  UNIQUE (hour, account, token, product, outcome, noted)
) @heap;
CREATE INDEX usage_of_account ON usage_hour (account, hour, token, product, outcome);
CREATE INDEX usage_noted ON usage_hour (noted, id);

-- When a token was used last, by its digest: a token that replaces another has the same name.
CREATE TABLE token_use (
  digest @bytes NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
  last_at @int NOT NULL
) @clustered;
CREATE INDEX token_use_age ON token_use (last_at);

-- Refused requests by the minute, for a few days. The account is empty where the token was not known. A row that is
-- watched was not refused: a list that is only watched would have refused it.
CREATE TABLE refusal (
  id @int NOT NULL PRIMARY KEY,
  minute @int NOT NULL,
  account TEXT NOT NULL,
  token TEXT NOT NULL,
  product TEXT NOT NULL,
  problem TEXT NOT NULL,
  watched @int NOT NULL CHECK (watched IN (0, 1)),
  reason TEXT NOT NULL,
  address TEXT NOT NULL,
  host TEXT NOT NULL,
  requests @int NOT NULL CHECK (requests > 0),
  transaction_id TEXT NOT NULL,
  UNIQUE (minute, account, token, product, problem, watched, reason, address, host)
) @heap;
CREATE INDEX refusal_of_account ON refusal (account, minute);
