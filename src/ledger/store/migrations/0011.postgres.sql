-- Credits that several gateways share by leases: the rows of the centre (docs/decisions/credits-by-leases.md). Only a
-- database has them, since a file is not shared. Every row of credits has its account.

-- The epoch, and the history in which it began. Leases are taken while it is open.
CREATE TABLE credit_cluster (
  only_row BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
  epoch BIGINT NOT NULL,
  nonce BIGINT NOT NULL,
  opened BIGINT NOT NULL CHECK (opened IN (0, 1)),
  history TEXT COLLATE "C" NOT NULL
);
INSERT INTO credit_cluster VALUES (1, 0, 0, 0, '');

-- What makes this database this one: any other value is another history, which may lack commits. The timeline changes
-- with each promotion; the start of the server tells a disk that was put back, and the two numbers a database or a
-- table that was made anew from a dump. Without a timeline, as on other engines, the rest has to do.
CREATE FUNCTION credit_history() RETURNS TEXT LANGUAGE sql STABLE AS $$
  SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
    || '-' || CAST(extract(epoch FROM pg_postmaster_start_time()) * 1000 AS BIGINT)
    || '-' || (SELECT oid FROM pg_database WHERE datname = current_database())
    || '-' || CAST(CAST('credit_cluster' AS regclass) AS oid)
$$;

-- Identities of gateways. The times are the database's, for people alone.
CREATE TABLE credit_node (
  id BIGINT NOT NULL PRIMARY KEY,
  incarnation BIGINT NOT NULL CHECK (incarnation >= 0),
  state TEXT COLLATE "C" NOT NULL CHECK (state IN ('live', 'draining', 'retired', 'fenced')),
  epoch BIGINT NOT NULL,
  nonce BIGINT NOT NULL,
  beat BIGINT NOT NULL CHECK (beat >= 0),
  -- For how many milliseconds it must have been silent before it may be fenced.
  fence_after BIGINT NOT NULL CHECK (fence_after >= 0),
  name TEXT COLLATE "C" NOT NULL,
  joined_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL
);
CREATE INDEX credit_node_not_ended ON credit_node (id) WHERE state IN ('live', 'draining');

-- What there is. The subject is a product, with period 0, or one of the account's quotas, with the number of its period.
-- A deficit is there only after an old backup was put back, or until an epoch is open.
CREATE TABLE credit_balance (
  account TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  period BIGINT NOT NULL CHECK (period >= 0),
  granted BIGINT NOT NULL CHECK (granted >= 0 AND granted < 1099511627776),
  allotted BIGINT NOT NULL CHECK (allotted >= 0),
  deficit BIGINT NOT NULL CHECK (deficit = greatest(allotted - granted, 0)),
  PRIMARY KEY (account, subject, period)
) WITH (fillfactor = 60);

-- What each identity has of it. Each number only grows.
CREATE TABLE credit_lease (
  account TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  period BIGINT NOT NULL CHECK (period >= 0),
  node BIGINT NOT NULL REFERENCES credit_node (id),
  taken BIGINT NOT NULL,
  returned BIGINT NOT NULL CHECK (returned >= 0),
  spent BIGINT NOT NULL CHECK (spent >= 0),
  PRIMARY KEY (account, subject, period, node),
  CHECK (spent + returned <= taken)
) WITH (fillfactor = 60);
CREATE INDEX credit_lease_of_node ON credit_lease (node);

-- Identities that are asked to return what no request of theirs holds. Almost always empty.
CREATE TABLE credit_recall (
  node BIGINT NOT NULL,
  account TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  period BIGINT NOT NULL,
  PRIMARY KEY (node, account, subject, period)
);
CREATE INDEX credit_recall_of ON credit_recall (account, subject, period);

-- Charges of ended identities for which there were no credits: gifts of the operator, as totals.
CREATE TABLE credit_unpaid (
  account TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  period BIGINT NOT NULL,
  node BIGINT NOT NULL,
  credits BIGINT NOT NULL CHECK (credits > 0),
  PRIMARY KEY (account, subject, period, node)
);
CREATE INDEX credit_unpaid_of_node ON credit_unpaid (node);

-- Grants, each once by its key. Rows are added and nothing else, as in the ledger of one gateway.
CREATE TABLE credit_entry (
  id BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at BIGINT NOT NULL,
  account TEXT COLLATE "C" NOT NULL,
  product TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('grant', 'adjustment')),
  amount BIGINT NOT NULL,
  key TEXT COLLATE "C" NOT NULL,
  by TEXT COLLATE "C" NOT NULL,
  why TEXT COLLATE "C" NOT NULL,
  UNIQUE (account, product, key)
);
CREATE FUNCTION credit_entry_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'grants of credits cannot be changed or removed'; END $$;
CREATE TRIGGER credit_entry_is_not_changed BEFORE UPDATE OR DELETE ON credit_entry
  FOR EACH ROW EXECUTE FUNCTION credit_entry_is_append_only();
CREATE TRIGGER credit_entry_is_not_emptied BEFORE TRUNCATE ON credit_entry
  FOR EACH STATEMENT EXECUTE FUNCTION credit_entry_is_append_only();
