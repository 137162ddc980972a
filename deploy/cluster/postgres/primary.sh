#!/bin/sh
# Runs once, in a primary that was just made: who may connect, and the database of the gateways.
set -eu
psql --set ON_ERROR_STOP=1 --no-password --username "${POSTGRES_USER:-postgres}" --dbname postgres \
    --set gateway="$GATEWAY_PASSWORD" --set standby="$STANDBY_PASSWORD" <<'SQL'
CREATE ROLE tollgate LOGIN PASSWORD :'gateway';
CREATE ROLE standby REPLICATION LOGIN PASSWORD :'standby';
CREATE DATABASE tollgate OWNER tollgate;
SQL
echo "host replication standby all scram-sha-256" >> "$PGDATA/pg_hba.conf"
