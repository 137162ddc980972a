-- The people of the portal: who they are, what they belong to, and how they are signed in. Nothing here is a secret that
-- was ever issued: of sessions, links and codes there are digests, of passwords hashes (argon2id), and secrets of one-time
-- passwords are sealed with a key that is in a file beside this one.
CREATE TABLE app_user (
  id TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 32),
  email TEXT CHECK (email = lower(email)),
  -- Whether somebody has shown that they read mail to the address.
  email_proven @int NOT NULL CHECK (email_proven IN (0, 1)),
  issuer TEXT,
  subject TEXT,
  display TEXT NOT NULL,
  password TEXT,
  totp @bytes,
  -- The newest step whose one-time password was used: each is accepted once.
  totp_step @int NOT NULL,
  operator TEXT CHECK (operator IN ('admin', 'support', 'auditor')),
  state TEXT NOT NULL CHECK (state IN ('active', 'disabled')),
  row_version @int NOT NULL,
  created_at @int NOT NULL,
  CHECK ((issuer IS NULL) = (subject IS NULL))
) @clustered;
CREATE UNIQUE INDEX app_user_email ON app_user (email) WHERE email IS NOT NULL;
CREATE UNIQUE INDEX app_user_subject ON app_user (issuer, subject) WHERE issuer IS NOT NULL;
CREATE INDEX app_user_operator ON app_user (operator) WHERE operator IS NOT NULL;

-- Codes that replace a one-time password, once each.
CREATE TABLE recovery_code (
  user_id TEXT NOT NULL REFERENCES app_user (id),
  digest @bytes NOT NULL CHECK (length(digest) = 32),
  PRIMARY KEY (user_id, digest)
) @clustered;

CREATE TABLE membership (
  account_id TEXT NOT NULL REFERENCES account (id),
  user_id TEXT NOT NULL REFERENCES app_user (id),
  role TEXT NOT NULL CHECK (role IN ('owner', 'member', 'viewer')),
  row_version @int NOT NULL,
  created_at @int NOT NULL,
  PRIMARY KEY (account_id, user_id)
) @clustered;
CREATE INDEX membership_of_user ON membership (user_id, account_id);

-- Browsers that are signed in, by the SHA-256 digest of the 256 random bits that each has.
CREATE TABLE session (
  digest @bytes NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
  user_id TEXT NOT NULL REFERENCES app_user (id),
  how TEXT NOT NULL CHECK (how IN ('password', 'one-time-password', 'recovery-code', 'email-link', 'invitation', 'oidc', 'proxy')),
  created_at @int NOT NULL,
  seen_at @int NOT NULL,
  -- When its user was last asked to prove who they are.
  strong_at @int NOT NULL,
  ends_at @int NOT NULL,
  address TEXT NOT NULL,
  browser TEXT NOT NULL
) @clustered;
CREATE INDEX session_of_user ON session (user_id, created_at);
CREATE INDEX session_end ON session (ends_at);

-- Links that can be used once.
CREATE TABLE ticket (
  digest @bytes NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
  id TEXT NOT NULL UNIQUE CHECK (length(id) = 32),
  kind TEXT NOT NULL CHECK (kind IN ('invite', 'email-link', 'password-reset')),
  email TEXT NOT NULL CHECK (email = lower(email)),
  account_id TEXT REFERENCES account (id),
  role TEXT CHECK (role IN ('admin', 'support', 'auditor', 'owner', 'member', 'viewer')),
  -- Whether whoever has it has shown that they read mail to the address, or were trusted by an operator.
  proves @int NOT NULL CHECK (proves IN (0, 1)),
  -- The digest of a random value in a cookie of the browser that has asked for it.
  browser @bytes CHECK (length(browser) = 32),
  -- The keyed digest of a code that can be typed instead, and how often it was tried.
  code @bytes CHECK (length(code) = 32),
  tries @int NOT NULL CHECK (tries >= 0),
  created_by TEXT NOT NULL,
  created_at @int NOT NULL,
  ends_at @int NOT NULL,
  used_at @int,
  CHECK ((kind = 'invite') = (role IS NOT NULL)),
  CHECK (role IS NULL OR (account_id IS NULL) = (role IN ('admin', 'support', 'auditor'))),
  CHECK (kind = 'invite' OR account_id IS NULL)
) @clustered;
CREATE INDEX ticket_of_account ON ticket (account_id, id) WHERE kind = 'invite';
CREATE INDEX ticket_of_email ON ticket (email, kind);
CREATE INDEX ticket_of_browser ON ticket (browser) WHERE browser IS NOT NULL;
CREATE INDEX ticket_end ON ticket (ends_at);

-- Guesses of passwords and codes, by the digest of an address or of a user: the theoretical arrival time of GCRA, in
-- milliseconds since 1970.
CREATE TABLE attempt (
  digest @bytes NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
  tat @int NOT NULL
) @clustered;
CREATE INDEX attempt_tat ON attempt (tat);
