-- Up to which row of the audit the owners of accounts were told by mail.
CREATE TABLE change_mail (
  only_row @int NOT NULL PRIMARY KEY CHECK (only_row = 1),
  audit_id @int NOT NULL
) @heap;
