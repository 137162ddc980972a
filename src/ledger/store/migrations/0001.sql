-- Accounts and what belongs to them. Portable: @int, @bytes, @clustered and @heap stand for what each engine calls them.
-- Times are milliseconds since 1970 in UTC, days are days since 1970, ids are UUIDv7 as 32 hexadecimal digits.

CREATE TABLE store_clock (
  only_row @int NOT NULL PRIMARY KEY CHECK (only_row = 1),
  version @int NOT NULL,
  nonce @int NOT NULL
) @heap;
INSERT INTO store_clock VALUES (1, 0, 0);

-- Dirty marks: what has changed, not how. Kept for some days.
CREATE TABLE change (
  version @int NOT NULL,
  kind TEXT NOT NULL,
  id TEXT NOT NULL,
  nonce @int NOT NULL,
  at @int NOT NULL,
  PRIMARY KEY (version, kind, id)
) @clustered;

CREATE TABLE plan (
  name TEXT NOT NULL PRIMARY KEY,
  concurrency @int CHECK (concurrency > 0),
  row_version @int NOT NULL,
  created_at @int NOT NULL
) @clustered;

-- One row a limit: rates by their period, quotas by their calendar.
CREATE TABLE plan_limit (
  plan TEXT NOT NULL REFERENCES plan (name),
  period TEXT NOT NULL CHECK (period IN ('second', 'minute', 'hour', 'day', 'calendar-day', 'calendar-month')),
  requests @int NOT NULL CHECK (requests > 0),
  burst @int CHECK (burst > 0),
  PRIMARY KEY (plan, period),
  CHECK ((burst IS NULL) = (period IN ('calendar-day', 'calendar-month')))
) @clustered;

CREATE TABLE plan_product (
  plan TEXT NOT NULL REFERENCES plan (name),
  product TEXT NOT NULL,
  PRIMARY KEY (plan, product)
) @clustered;

CREATE TABLE account (
  id TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 32),
  name TEXT NOT NULL UNIQUE,
  display TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'closed')),
  plan TEXT,
  concurrency @int CHECK (concurrency > 0),
  row_version @int NOT NULL,
  changed @int NOT NULL,
  created_at @int NOT NULL,
  CHECK (plan IS NULL OR concurrency IS NULL)
) @clustered;
CREATE INDEX account_of_plan ON account (plan) WHERE plan IS NOT NULL;

-- What an account has of a product. Balances are the ledger's.
CREATE TABLE account_product (
  account_id TEXT NOT NULL REFERENCES account (id),
  product TEXT NOT NULL,
  funds TEXT NOT NULL CHECK (funds IN ('credits', 'unmetered')),
  first_grant @int CHECK (first_grant >= 0),
  PRIMARY KEY (account_id, product),
  CHECK ((first_grant IS NULL) = (funds = 'unmetered'))
) @clustered;

-- Limits of an account itself (token_id is empty), and of a token alone.
CREATE TABLE account_limit (
  account_id TEXT NOT NULL REFERENCES account (id),
  token_id TEXT NOT NULL,
  period TEXT NOT NULL CHECK (period IN ('second', 'minute', 'hour', 'day', 'calendar-day', 'calendar-month')),
  requests @int NOT NULL CHECK (requests > 0),
  burst @int CHECK (burst > 0),
  PRIMARY KEY (account_id, token_id, period),
  CHECK ((burst IS NULL) = (period IN ('calendar-day', 'calendar-month')))
) @clustered;

CREATE TABLE token (
  account_id TEXT NOT NULL REFERENCES account (id),
  id TEXT NOT NULL CHECK (length(id) = 32),
  name TEXT NOT NULL,
  digest @bytes NOT NULL CHECK (length(digest) = 32),
  hint TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('enabled', 'disabled', 'revoked')),
  last_day @int,
  not_after @int,
  networks_mode TEXT NOT NULL CHECK (networks_mode IN ('any', 'watch', 'enforce')),
  domains_mode TEXT NOT NULL CHECK (domains_mode IN ('any', 'watch', 'enforce')),
  absent TEXT NOT NULL CHECK (absent IN ('allow', 'deny')),
  replaces TEXT,
  row_version @int NOT NULL,
  created_by TEXT NOT NULL,
  created_at @int NOT NULL,
  PRIMARY KEY (account_id, id),
  FOREIGN KEY (account_id, replaces) REFERENCES token (account_id, id) DEFERRABLE INITIALLY DEFERRED
) @clustered;
CREATE UNIQUE INDEX token_digest ON token (digest);
-- A rotated token that still ends has left its name to the one that replaces it.
CREATE UNIQUE INDEX token_name ON token (account_id, name) WHERE state <> 'revoked' AND not_after IS NULL;
CREATE INDEX token_end ON token (not_after) WHERE not_after IS NOT NULL AND state <> 'revoked';

CREATE TABLE token_product (
  account_id TEXT NOT NULL,
  token_id TEXT NOT NULL,
  product TEXT NOT NULL,
  PRIMARY KEY (account_id, token_id, product),
  FOREIGN KEY (account_id, token_id) REFERENCES token (account_id, id)
) @clustered;

-- Networks and domains in their canonical form.
CREATE TABLE token_entry (
  account_id TEXT NOT NULL,
  token_id TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('network', 'domain')),
  value TEXT NOT NULL,
  note TEXT NOT NULL,
  PRIMARY KEY (account_id, token_id, kind, value),
  FOREIGN KEY (account_id, token_id) REFERENCES token (account_id, id)
) @clustered;

-- Keys of the management API, which are never tokens of lookups.
CREATE TABLE management_key (
  id TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 32),
  digest @bytes NOT NULL UNIQUE CHECK (length(digest) = 32),
  hint TEXT NOT NULL,
  name TEXT NOT NULL,
  account_id TEXT REFERENCES account (id),
  role TEXT NOT NULL CHECK (role IN ('admin', 'support', 'auditor', 'owner', 'member', 'viewer')),
  scopes TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('enabled', 'revoked')),
  ends_at @int,
  row_version @int NOT NULL,
  created_by TEXT NOT NULL,
  created_at @int NOT NULL,
  CHECK ((account_id IS NULL) = (role IN ('admin', 'support', 'auditor')))
) @clustered;
CREATE INDEX management_key_of ON management_key (account_id, id);

-- Append-only. Each row's digest covers the row and the digest of the row before it.
CREATE TABLE audit (
  id @int NOT NULL PRIMARY KEY,
  at @int NOT NULL,
  version @int NOT NULL,
  account_id TEXT,
  actor TEXT NOT NULL,
  via TEXT NOT NULL,
  address TEXT NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  before_json TEXT,
  after_json TEXT,
  previous @bytes NOT NULL CHECK (length(previous) = 32),
  digest @bytes NOT NULL CHECK (length(digest) = 32)
) @heap;
CREATE INDEX audit_of ON audit (account_id, id);
-- The newest row, so that rows taken off the end are missed.
CREATE TABLE audit_head (
  only_row @int NOT NULL PRIMARY KEY CHECK (only_row = 1),
  id @int NOT NULL,
  digest @bytes NOT NULL CHECK (length(digest) = 32)
) @heap;

-- Answers of management calls, so that one that is sent again does nothing again. Kept for 48 hours.
CREATE TABLE idempotency (
  scope TEXT NOT NULL,
  key TEXT NOT NULL,
  request @bytes NOT NULL CHECK (length(request) = 32),
  answer TEXT NOT NULL,
  at @int NOT NULL,
  PRIMARY KEY (scope, key)
) @clustered;
CREATE INDEX idempotency_age ON idempotency (at);
CREATE INDEX change_age ON change (at);

-- What was used, by the hour (milliseconds of its beginning); the problem is empty for what was answered.
CREATE TABLE usage_hour (
  account_id TEXT NOT NULL,
  hour @int NOT NULL,
  token_id TEXT NOT NULL,
  product TEXT NOT NULL,
  problem TEXT NOT NULL,
  requests @int NOT NULL CHECK (requests >= 0),
  credits @int NOT NULL,
  PRIMARY KEY (account_id, hour, token_id, product, problem)
) @clustered;

-- When a token was used last, and from where.
CREATE TABLE token_seen (
  account_id TEXT NOT NULL,
  token_id TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('use', 'network', 'domain')),
  value TEXT NOT NULL,
  last_at @int NOT NULL,
  requests @int NOT NULL CHECK (requests >= 0),
  PRIMARY KEY (account_id, token_id, kind, value)
) @clustered;

-- Refused requests by the minute, for a few days.
CREATE TABLE refusal (
  account_id TEXT NOT NULL,
  minute @int NOT NULL,
  token_id TEXT NOT NULL,
  problem TEXT NOT NULL,
  address TEXT NOT NULL,
  host TEXT NOT NULL,
  requests @int NOT NULL CHECK (requests > 0),
  transaction_id TEXT NOT NULL,
  PRIMARY KEY (account_id, minute, token_id, problem, address, host)
) @clustered;
CREATE INDEX refusal_age ON refusal (minute);

-- What an account wants to be told of, once a crossing.
CREATE TABLE alert (
  account_id TEXT NOT NULL REFERENCES account (id),
  id TEXT NOT NULL CHECK (length(id) = 32),
  kind TEXT NOT NULL CHECK (kind IN ('low-balance', 'token-ends')),
  product TEXT NOT NULL,
  threshold @int NOT NULL CHECK (threshold >= 0),
  mail TEXT,
  webhook TEXT,
  state TEXT NOT NULL CHECK (state IN ('armed', 'told')),
  told_at @int,
  row_version @int NOT NULL,
  PRIMARY KEY (account_id, id)
) @clustered;

-- Messages to others that are not delivered yet: events for billing, webhooks, mail.
CREATE TABLE outbox (
  id @int NOT NULL PRIMARY KEY,
  event_id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK (kind IN ('usage', 'webhook', 'mail')),
  target TEXT NOT NULL,
  payload TEXT NOT NULL,
  made_at @int NOT NULL,
  due_at @int NOT NULL,
  tries @int NOT NULL CHECK (tries >= 0),
  state TEXT NOT NULL CHECK (state IN ('waiting', 'given-up')),
  fault TEXT NOT NULL
) @heap;
CREATE INDEX outbox_due ON outbox (state, due_at);
