-- How much accounts get beside others when an upstream has no room for all; nothing is 1.
ALTER TABLE plan ADD COLUMN weight @int CHECK (weight > 0);
ALTER TABLE account ADD COLUMN weight @int CHECK (weight > 0);
