-- Usage that is handed over to a system for billing: how far, and how that went. Hours before `closed` are complete:
-- what is written of them later is noted in a later hour.
CREATE TABLE billing (
  only_row @int NOT NULL PRIMARY KEY CHECK (only_row = 1),
  stream TEXT NOT NULL CHECK (length(stream) = 32),
  closed @int NOT NULL,
  sent_noted @int NOT NULL,
  sent_id @int NOT NULL,
  sent @int NOT NULL CHECK (sent >= 0),
  lost @int NOT NULL CHECK (lost >= 0),
  accepted_at @int,
  failed_at @int,
  fault TEXT
) @heap;
