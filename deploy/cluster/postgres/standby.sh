#!/bin/sh
# Begins as a copy of the primary, and follows it from then on. A primary that is away is waited for.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    chmod 0700 "$PGDATA"
    until pg_basebackup --pgdata "$PGDATA" --host "${PRIMARY:-primary}" --username standby --no-password \
        --write-recovery-conf --wal-method stream --checkpoint fast; do
        sleep 1
    done
fi
exec docker-entrypoint.sh "$@"
