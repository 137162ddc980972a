"""PostgreSQL of the campaign's own: two servers, of which one is the primary and the other one its streaming standby.

Each has one port for good. Gateways know both, and use the one that can be written. Everything is on this machine.
"""

import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import time

from common import Fault, children, has_ended, kill, until, wait_for_end

BIN = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), default=pathlib.Path("initdb")).parent
FAKETIME = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
DATABASE = USER = "tollgate"
SETTINGS = """
fsync = on
wal_level = replica
hot_standby = on
max_wal_senders = 10
wal_keep_size = 256MB
wal_retrieve_retry_interval = 200ms
shared_buffers = 32MB
max_connections = 150
dynamic_shared_memory_type = mmap
listen_addresses = '127.0.0.1'
log_min_messages = warning
log_line_prefix = '%m [%p] '
"""
WHO_MAY = """
local all all trust
host all all 127.0.0.1/32 trust
local replication all trust
host replication all 127.0.0.1/32 trust
"""
# All that is known of credits, as of one moment.
CREDITS = """SELECT json_build_object(
 'cluster', (SELECT json_agg(c) FROM credit_cluster c),
 'nodes', (SELECT json_agg(n) FROM credit_node n),
 'balances', (SELECT json_agg(b) FROM credit_balance b WHERE period = 0),
 'leases', (SELECT json_agg(l) FROM credit_lease l WHERE period = 0),
 'unpaid', (SELECT json_agg(u) FROM credit_unpaid u WHERE period = 0),
 'recalls', (SELECT json_agg(r) FROM credit_recall r),
 'entries', (SELECT json_agg(e) FROM (SELECT account, kind, amount, key FROM credit_entry) e))"""
# What does not hold at this moment, of what has to hold at every moment.
BROKEN = """WITH sums AS (SELECT account, subject, period, sum(taken - returned) AS leased, sum(spent) AS spent
   FROM credit_lease GROUP BY 1, 2, 3)
 SELECT b.account, b.granted, b.allotted, b.deficit, coalesce(s.leased, 0), coalesce(s.spent, 0), c.opened
 FROM credit_balance b LEFT JOIN sums s USING (account, subject, period), credit_cluster c
 WHERE b.period = 0 AND (b.allotted <> coalesce(s.leased, 0) OR (b.deficit > 0 AND c.opened = 1
     AND split_part(b.account, '-', 1) <> ALL (ARRAY[%s]::text[]))
   OR coalesce(s.spent, 0) > b.granted + b.deficit)"""


def as_postgres(command):
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL", *command]


def run(*command, check=True):
    done = subprocess.run(as_postgres([str(word) for word in command]), cwd="/", capture_output=True, text=True)
    if check and done.returncode:
        raise Fault(f"{command[0]}: {done.stderr.strip() or done.stdout.strip()}")
    return done


class Server:
    """One server: a directory, a port, and a process or none."""

    def __init__(self, processes, sockets, directory, port):
        self.processes, self.sockets, self.directory, self.port = processes, sockets, directory, port
        self.log, self.pid, self.clock = directory.with_suffix(".log"), None, None

    def start(self, *settings):
        """Starts it, and waits until it answers. With a file for its clock it has another time than this machine."""
        command = [BIN / "postgres", "-D", self.directory, "-p", self.port, "-k", self.sockets, *settings]
        if self.clock:
            command = ["env", f"LD_PRELOAD={FAKETIME}", f"FAKETIME_TIMESTAMP_FILE={self.clock}",
                       "FAKETIME_CACHE_DURATION=1", "DONT_FAKE_MONOTONIC=1", *command]
        with self.log.open("ab") as log:
            words = as_postgres([str(word) for word in command])
            self.pid = self.processes.start(words, cwd="/", stdout=log, stderr=log)
        until(f"PostgreSQL on {self.port} answers", self.answers, 60)

    def answers(self):
        if has_ended(self.pid):
            raise Fault(f"PostgreSQL on {self.port} has ended: {self.log.read_text()[-500:]}")
        return self.psql("SELECT 1", check=False) == "1"

    def kill(self):
        """kill -9 of the server and of everything that belongs to it."""
        everybody = [*children(self.pid), self.pid]
        for process in everybody[::-1]:
            kill(process, signal.SIGKILL)
        if not all(wait_for_end(process, 10) for process in everybody):
            raise Fault("PostgreSQL does not end")
        self.pid = None

    def stop(self):
        """Stops it in order."""
        kill(self.pid, signal.SIGINT)
        if not wait_for_end(self.pid, 20):
            return self.kill()
        for left in pathlib.Path("/dev/shm").glob(f"*faketime_*_{self.pid}"):
            left.unlink()
        self.pid = None

    def pause(self):
        """Stops the time of the server: it accepts and says nothing."""
        self.paused = [self.pid, *children(self.pid)]
        for process in self.paused:
            kill(process, signal.SIGSTOP)

    def go_on(self):
        for process in self.paused:
            kill(process, signal.SIGCONT)

    def psql(self, query, database="postgres", check=True):
        command = [BIN / "psql", "-XAtq", "-h", self.sockets, "-p", self.port, "-U", "postgres", "-d", database]
        environment = os.environ | {"PGCONNECT_TIMEOUT": "5", "PGOPTIONS": "-c statement_timeout=20000"}
        done = subprocess.run([*map(str, command), "-v", "ON_ERROR_STOP=1", "-c", query], capture_output=True, text=True,
                              env=environment)
        if done.returncode and check:
            raise Fault(f"psql: {done.stderr.strip()}")
        return done.stdout.strip() if not done.returncode else None

    def set(self, name, value):
        self.psql(f"ALTER SYSTEM SET {name} = '{value}'")
        self.psql("SELECT pg_reload_conf()")


class Database:
    """The pair of servers."""

    def __init__(self, processes, ports, directory, log):
        self.directory, self.log, self.backups = directory, log, 0
        directory.mkdir()
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(directory, user.pw_uid, user.pw_gid)
        self.servers = [Server(processes, directory, directory / name, ports.free()) for name in ("a", "b")]
        self.first = 0
        primary = self.primary
        how = ("-U", "postgres", "-A", "trust", "--no-sync", "--locale=C", "-E", "UTF8")
        run(BIN / "initdb", "-D", primary.directory, *how)
        with (primary.directory / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS)
        (primary.directory / "pg_hba.conf").write_text(WHO_MAY)
        primary.start()
        primary.psql(f"CREATE ROLE {USER} LOGIN")
        primary.psql(f"CREATE DATABASE {DATABASE} OWNER {USER}")
        self.build_standby()

    @property
    def primary(self):
        return self.servers[self.first]

    @property
    def standby(self):
        return self.servers[1 - self.first]

    def build_standby(self):
        """Makes the other server a standby, from nothing."""
        standby = self.standby
        if standby.pid:
            standby.kill()
        shutil.rmtree(standby.directory, ignore_errors=True)
        self.base_backup(standby.directory, "-R")
        # What was set on the way to an earlier failover does not count any more.
        (standby.directory / "postgresql.auto.conf").write_text(
            f"primary_conninfo = 'host={self.directory} port={self.primary.port} user=postgres application_name=standby'\n")
        standby.start()
        until("the standby streams", lambda: self.streams() and self.lag() == 0, 30)

    def base_backup(self, directory, *more):
        run(BIN / "pg_basebackup", "-D", directory, "-h", self.directory, "-p", self.primary.port, "-U", "postgres",
            "-X", "stream", "--checkpoint=fast", "--no-sync", *more)

    def backup(self):
        """A base backup, which can be put back."""
        self.backups += 1
        directory = self.directory / f"backup-{self.backups}"
        self.base_backup(directory)
        return directory

    def streams(self):
        return self.standby.psql("SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'") == "1"

    def lag(self):
        """Bytes that the primary has and the standby has not."""
        received = self.standby.psql("SELECT pg_last_wal_receive_lsn()")
        return int(self.primary.psql(f"SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '{received}')") or 0)

    def synchronous(self, wanted):
        """Whether a commit is acknowledged only when the standby has it."""
        self.primary.set("synchronous_standby_names", "standby" if wanted else "")
        if wanted:
            state = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            until("replication is synchronous", lambda: self.primary.psql(state) == "1", 10)

    def sever(self):
        """The standby receives nothing from here on. Returns the time before which it has everything."""
        before = time.monotonic()
        self.standby.set("primary_conninfo", "")
        until("the standby is severed", lambda: not self.streams(), 5, every=0.01)
        return before

    def promote(self):
        """The standby becomes the primary, and the other server is not there any more."""
        self.first = 1 - self.first
        run(BIN / "pg_ctl", "promote", "-w", "-D", self.primary.directory)

    def autopsy(self, server):
        """What a server has known last that was killed: read where no gateway can reach it."""
        server.start("-c", "listen_addresses=", "-c", "fsync=off")
        try:
            return self.credits(server)
        finally:
            server.kill()

    def put_back(self, backup):
        """Puts a base backup in the place of the primary. Returns what is lost by that."""
        for server in self.servers:
            if server.pid:
                server.kill()
        lost = self.autopsy(self.primary)
        shutil.rmtree(self.primary.directory)
        run("cp", "-a", backup, self.primary.directory)
        self.primary.start()
        return lost

    def dump(self):
        file = self.directory / "dump.sql"
        run(BIN / "pg_dump", "-h", self.directory, "-p", self.primary.port, "-U", "postgres", "-f", file, DATABASE)
        return file

    def read_dump(self, file):
        """Puts a dump in the place of the database, in the server that runs. Returns what is lost by that."""
        name = f"{DATABASE}_new"
        self.primary.psql(f"CREATE DATABASE {name} OWNER {USER}")
        at = ("-h", self.directory, "-p", self.primary.port, "-U", "postgres")
        run(BIN / "psql", "-XAtq", *at, "-d", name, "-v", "ON_ERROR_STOP=1", "-f", file)
        # Nobody may write between what is read here and the end of the database.
        self.primary.psql(f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS false")
        self.primary.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{DATABASE}'")
        old = f"{DATABASE}_old_{time.monotonic_ns()}"
        until("the database is let go", lambda: self.primary.psql(
            f"ALTER DATABASE {DATABASE} RENAME TO {old}", check=False) is not None, 10)
        self.primary.psql(f"ALTER DATABASE {old} ALLOW_CONNECTIONS true")
        lost = self.credits(self.primary, old)
        self.primary.psql(f"ALTER DATABASE {name} RENAME TO {DATABASE}")
        self.primary.psql(f"DROP DATABASE {old}")
        return lost

    def credits(self, server=None, database=DATABASE):
        """All rows about credits, as of one moment."""
        found = json.loads((server or self.primary).psql(CREDITS, database))
        return {name: rows or [] for name, rows in found.items()}

    def broken(self, restored):
        """What does not hold, while everything runs; nothing where the database is away. Accounts that begin with one of
        these names may have deficits."""
        names = ", ".join(f"'{name}'" for name in restored)
        return self.primary.psql(BROKEN % names, DATABASE, check=False) or ""
