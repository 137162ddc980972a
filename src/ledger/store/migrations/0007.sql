-- Answers that are kept for lookups that are sent again, so that a restart and other processes know them. The key and the
-- request are digests with a secret that is in a file beside this one, and the answer is sealed with it. An answer that is
-- written anew has a new id, by which others find it; the writer is the process that wrote it.
CREATE TABLE kept_answer (
  id @int NOT NULL PRIMARY KEY,
  writer @bytes NOT NULL CHECK (length(writer) = 16),
  account TEXT NOT NULL,
  product TEXT NOT NULL,
  digest @bytes NOT NULL UNIQUE CHECK (length(digest) = 32),
  request @bytes NOT NULL CHECK (length(request) = 32),
  answer @bytes NOT NULL,
  ends_at @int NOT NULL
) @heap;
-- The last id that was given, so that none is given twice.
CREATE TABLE kept_answer_last (
  only_row @int NOT NULL PRIMARY KEY CHECK (only_row = 1),
  id @int NOT NULL
) @heap;
INSERT INTO kept_answer_last VALUES (1, 0);
CREATE INDEX kept_answer_age ON kept_answer (ends_at);
CREATE INDEX kept_answer_of_account ON kept_answer (account, product);
