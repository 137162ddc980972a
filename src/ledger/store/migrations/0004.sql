-- Alerts of low balances and of tokens that are about to end. The tables of the first layout for them, and for messages
-- to others, were never used by any release.
DROP TABLE alert;
DROP TABLE outbox;

-- What an account wants to be told; what is not here is as the configuration has it.
CREATE TABLE alert_setting (
  account_id TEXT NOT NULL PRIMARY KEY REFERENCES account (id),
  token_days @int CHECK (token_days >= 0),
  mail TEXT,
  row_version @int NOT NULL
) @clustered;
CREATE TABLE alert_balance (
  account_id TEXT NOT NULL REFERENCES alert_setting (account_id),
  product TEXT NOT NULL,
  below @int NOT NULL CHECK (below >= 0),
  PRIMARY KEY (account_id, product)
) @clustered;

-- Crossings, by the names of accounts, so that those of files have them as well. One that is open is not told again:
-- the index is the reason that two processes, or one that was killed, cannot tell it twice. The subject is a product,
-- or a token's digest as sha256: and hexadecimal digits. What it was when it was told never changes: `level` is the balance or
-- the last day, `threshold` what it was compared with.
CREATE TABLE alert (
  id @int NOT NULL PRIMARY KEY,
  event_id TEXT NOT NULL UNIQUE CHECK (length(event_id) = 32),
  kind TEXT NOT NULL CHECK (kind IN ('low-balance', 'token-ends')),
  account TEXT NOT NULL,
  subject TEXT NOT NULL,
  product TEXT NOT NULL,
  token TEXT NOT NULL,
  hint TEXT NOT NULL,
  level @int NOT NULL,
  threshold @int NOT NULL,
  crossed_at @int NOT NULL,
  over_at @int
) @heap;
CREATE UNIQUE INDEX alert_open ON alert (kind, account, subject) WHERE over_at IS NULL;
CREATE INDEX alert_of_account ON alert (account, id);
CREATE INDEX alert_over ON alert (over_at) WHERE over_at IS NOT NULL;

-- What is sent of a crossing: one row for the webhook, and one for each address.
CREATE TABLE alert_message (
  id @int NOT NULL PRIMARY KEY,
  alert_id @int NOT NULL REFERENCES alert (id),
  channel TEXT NOT NULL CHECK (channel IN ('webhook', 'mail')),
  recipient TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'given-up')),
  tries @int NOT NULL CHECK (tries >= 0),
  due_at @int NOT NULL,
  made_at @int NOT NULL,
  done_at @int,
  fault TEXT
) @heap;
CREATE INDEX alert_message_of ON alert_message (alert_id);
CREATE INDEX alert_message_due ON alert_message (channel, due_at) WHERE state = 'waiting';
