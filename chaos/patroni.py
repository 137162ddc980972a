#!/usr/bin/env python3
"""Gateways that share credits, on a PostgreSQL that Patroni manages with etcd: all on 127.0.0.1, under light load. What
happens to the database is done by Patroni's own means, or to Patroni itself; how long gateways need is written down, and
in the end everything is compared as after a round of the campaign.

    python3 chaos/patroni.py [--short] [--variant synchronous|asynchronous] [--events switchover,crash] [--json FILE]

Needs Debian's patroni, etcd-server and python3-etcd beside PostgreSQL, and installs nothing.
"""

import argparse
import collections
import importlib.util
import json
import os
import pathlib
import pwd
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

from backend import Backend
from books import Centre
from check import Check
from common import PROGRAM, Fault, children, fetch, has_ended, kill, until, wait_for_end
from database import BIN, DATABASE, USER, Database, Server, as_postgres
from gateways import Gateway
from load import LATE, PATIENCE, Buyer, Load
from world import Round, World

# The shortest that Patroni wants: loop_wait + 2 * retry_timeout may not be longer than ttl, and ttl not below 20.
TTL, LOOP_WAIT, RETRY_TIMEOUT = 20, 5, 5
TIME_TO_LIVE = 60
# For how long etcd is away: longer than the ttl, and shorter than gateways sell without the database.
WITHOUT_ETCD = 40
# How long a primary stands still, if nothing is acquired meanwhile; and how long it may take after that: until identities
# of which nobody speaks any more are fenced, and a while.
STANDS_STILL, FENCED = 75, TIME_TO_LIVE * 1.02 + 65 + 30
# Lookups of these are the load, by their parts of it. `modest` is sold to its last credit in the end.
LOAD = {"steady": 0.8, "modest": 0.2}
SCOPE = "tollgate"
VARIANTS = {
    "synchronous": {"synchronous_mode": True, "replica_lag": 0},
    "asynchronous": {"synchronous_mode": False, "replica_lag": TTL},
}
EVENTS = {
    "switchover": "`patronictl switchover`",
    "crash": "kill -9 of the primary's postmaster",
    "failover": "kill -9 of the primary's postmaster and its Patroni",
    "etcd": f"etcd away for {WITHOUT_ETCD} s",
    "freeze": "SIGSTOP of the primary and its Patroni",
}
PARAMETERS = {
    "max_connections": 100, "shared_buffers": "32MB", "wal_keep_size": "256MB", "wal_retrieve_retry_interval": "200ms",
    "dynamic_shared_memory_type": "mmap", "log_min_messages": "warning", "log_line_prefix": "%m [%p] ",
}


# Debian's own, for which its packages are.
PYTHON = "/usr/bin/python3"


def missing():
    """The Debian packages that are not there."""
    programs = {"etcd": "etcd-server", "patroni": "patroni", "patronictl": "patroni", BIN / "initdb": "postgresql"}
    modules = {"etcd": "python3-etcd", "psycopg2": "python3-psycopg2"}
    names = [package for program, package in programs.items() if not shutil.which(program)]
    names += [package for module, package in modules.items() if not importlib.util.find_spec(module)]
    return sorted(set(names))


class Etcd:
    """One etcd alone."""

    def __init__(self, processes, ports, directory):
        self.processes, self.directory, self.pid = processes, directory, None
        self.port, self.peers = ports.free(), ports.free()

    def start(self):
        at, peers = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.peers}"
        words = ["etcd", "--name", "e", "--data-dir", str(self.directory), "--listen-client-urls", at,
                 "--advertise-client-urls", at, "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers,
                 "--initial-cluster", f"e={peers}"]
        with self.directory.with_suffix(".log").open("ab") as log:
            self.pid = self.processes.start(words, stdout=log, stderr=log)
        until("etcd is healthy", lambda: '"true"' in (fetch(self.port, "GET", "/health") or (0, ""))[1], 30)

    def stop(self):
        kill(self.pid, signal.SIGKILL)
        if not wait_for_end(self.pid, 10):
            raise Fault("etcd does not end")


class Member(Server):
    """A PostgreSQL, and the Patroni that starts it, stops it and promotes it."""

    def __init__(self, processes, ports, directory, etcd, dynamic):
        super().__init__(processes, directory.parent, directory, ports.free())
        self.name, self.rest, self.manager = directory.name, ports.free(), None
        self.config = directory.with_suffix(".json")
        allowed = ["local all all trust", "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"]
        # JSON is YAML as well.
        self.config.write_text(json.dumps({
            "scope": SCOPE, "name": self.name,
            "restapi": {"listen": f"127.0.0.1:{self.rest}", "connect_address": f"127.0.0.1:{self.rest}"},
            "etcd3": {"host": f"127.0.0.1:{etcd.port}"},
            "bootstrap": {
                "dcs": dynamic | {"postgresql": {"use_pg_rewind": True, "use_slots": True, "parameters": PARAMETERS}},
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, {"auth": "trust"}],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.port}", "connect_address": f"127.0.0.1:{self.port}",
                "data_dir": str(directory), "bin_dir": str(BIN), "pgpass": str(directory.with_suffix(".pgpass")),
                "authentication": {name: {"username": "postgres"} for name in ("superuser", "replication")},
                "parameters": {"unix_socket_directories": str(directory.parent)}, "pg_hba": allowed,
                "basebackup": ["no-sync", {"checkpoint": "fast"}],
            },
            "watchdog": {"mode": "off"},
        }, indent=1))

    def start(self):
        """Starts Patroni, which does the rest."""
        with self.log.open("ab") as log:
            words = as_postgres([shutil.which("patroni"), str(self.config)])
            self.manager = self.processes.start(words, cwd="/", stdout=log, stderr=log)

    def must_run(self):
        if has_ended(self.manager):
            raise Fault(f"Patroni of {self.name} has ended by itself: {self.log.read_text()[-800:]}")

    def postmaster(self):
        """The process of the server, as it has written it down itself."""
        try:
            return int((self.directory / "postmaster.pid").read_text().split("\n")[0])
        except (OSError, ValueError) as error:
            raise Fault(f"{self.name} has no PostgreSQL: {error}") from None

    def kill_manager(self):
        kill(self.manager, signal.SIGKILL)
        if not wait_for_end(self.manager, 10):
            raise Fault(f"Patroni of {self.name} does not end")

    def everybody(self):
        """All processes of the member."""
        postmaster = self.postmaster()
        return [self.manager, *children(self.manager), postmaster, *children(postmaster)]


class Managed(Database):
    """The members, and the etcd that knows which one is the primary."""

    # No proxies stand before them.
    servers = ()

    def __init__(self, world, count, variant):
        processes, ports, directory = world.processes, world.ports, world.directory / "postgres"
        directory.mkdir()
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(directory, user.pw_uid, user.pw_gid)
        self.directory, self.log, self.is_synchronous = directory, world.log, variant["synchronous_mode"]
        self.etcd = Etcd(processes, ports, world.directory / "etcd")
        self.etcd.start()
        dynamic = {"ttl": TTL, "loop_wait": LOOP_WAIT, "retry_timeout": RETRY_TIMEOUT,
                   "synchronous_mode": self.is_synchronous}
        self.members = [Member(processes, ports, directory / f"m{number}", self.etcd, dynamic) for number in range(count)]
        self.known = self.members[0]
        self.known.start()
        until("the first member is the primary", lambda: self.leader() is self.known, 90)
        self.known.psql(f"CREATE ROLE {USER} LOGIN")
        self.known.psql(f"CREATE DATABASE {DATABASE} OWNER {USER}")
        self.known.psql("CREATE TABLE beat (member text PRIMARY KEY, at double precision)", DATABASE)
        for member in self.members[1:]:
            member.start()
        self.wait_whole(120)

    def leader(self):
        """The member that is the primary by its own words, if there is one."""
        answers = {member: member.psql("SELECT pg_is_in_recovery()", check=False) for member in self.members}
        return next((member for member, answer in answers.items() if answer == "f"), None)

    @property
    def primary(self):
        self.known = self.leader() or self.known
        return self.known

    def is_whole(self):
        """Whether there is a primary, all others stream from it, and one of them is synchronous if that is wanted."""
        for member in self.members:
            member.must_run()
        found = fetch(self.primary.rest, "GET", "/cluster")
        if found is None or found[0] != 200:
            return False
        roles = collections.Counter(member["role"] for member in json.loads(found[1])["members"])
        query = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND (%s)"
        streams = self.known.psql(query % "true", check=False)
        synchronous = self.known.psql(query % "sync_state = 'sync'", check=False)
        others = len(self.members) - 1
        return roles["leader"] == 1 and sum(roles.values()) == others + 1 and streams == str(others) and (
            not self.is_synchronous or synchronous not in (None, "0"))

    def wait_whole(self, seconds=90):
        until("all members run, and the primary has its standbys", self.is_whole, seconds, every=0.5)

    def switch_over(self):
        """Tells Patroni to make another member the primary. It is a synchronous one, where there is one."""
        candidates = [member for member in self.members if member is not self.primary]
        if self.is_synchronous:
            names = self.known.psql("SELECT application_name FROM pg_stat_replication WHERE sync_state = 'sync'").split()
            candidates = [member for member in candidates if member.name in names]
        words = ["patronictl", "-c", str(self.known.config), "switchover", SCOPE, "--leader", self.known.name,
                 "--candidate", candidates[0].name, "--force"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=90)
        if done.returncode:
            raise Fault(f"patronictl: {done.stdout}{done.stderr}")


Beat = collections.namedtuple("Beat", "began done member history epoch opened")
Sample = collections.namedtuple("Sample", "at gateway epoch_open acquisitions usable failures")


class Observer:
    """Writes to each member that lets itself be written, and reads the metrics of each gateway, all the time."""

    QUERY = """SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END,
     pg_postmaster_start_time()"""
    EPOCH = "SELECT epoch, opened FROM credit_cluster"
    BEAT = "INSERT INTO beat VALUES (%s, %s) ON CONFLICT (member) DO UPDATE SET at = excluded.at"

    def __init__(self, world):
        self.world, self.stopping, self.beats, self.samples = world, threading.Event(), [], []
        jobs = [(self._write, member) for member in world.database.members]
        jobs += [(self._sample, gateway) for gateway in world.gateways]
        for job, argument in jobs:
            threading.Thread(target=job, args=(argument,), daemon=True).start()

    def _write(self, member):
        import psycopg2

        connection = None
        while not self.stopping.wait(0.1):
            began = time.monotonic()
            try:
                connection = connection or psycopg2.connect(
                    host="127.0.0.1", port=member.port, user="postgres", dbname=DATABASE, connect_timeout=2)
                cursor = connection.cursor()
                cursor.execute(self.QUERY)
                timeline, started = cursor.fetchone()
                if timeline is None:
                    connection.rollback()
                    continue
                cursor.execute(self.EPOCH)
                epoch, opened = cursor.fetchone()
                cursor.execute(self.BEAT, (member.name, began))
                connection.commit()
                history = f"{timeline}-{started.timestamp()}"
                self.beats.append(Beat(began, time.monotonic(), member.name, history, epoch, opened))
            except psycopg2.Error:
                connection = None

    def _sample(self, gateway):
        names = ["tollgate_lease_epoch_open", "tollgate_lease_acquisitions_total", "tollgate_lease_usable",
                 "tollgate_lease_failures_total"]
        while not self.stopping.wait(0.25):
            found = fetch(gateway.admin, "GET", "/metrics", 1)
            if found is None:
                continue
            figures = dict(line.rsplit(" ", 1) for line in found[1].splitlines() if line.startswith("tollgate_lease_"))
            self.samples.append(Sample(time.monotonic(), gateway, *(float(figures.get(name, 0)) for name in names)))

    def last_of(self, history):
        """When something was committed last in a history."""
        return max((beat.done for beat in list(self.beats) if beat.history == history), default=None)

    def first_after(self, history, began):
        """The first commit in another history, after an instant."""
        return next((beat for beat in list(self.beats) if beat.history != history and beat.began > began), None)

    def opened_after(self, epoch):
        """When an epoch after this one was seen to be open."""
        return next((beat.done for beat in list(self.beats) if beat.epoch > epoch and beat.opened == 1), None)

    def shown_after(self, at):
        """When all gateways have shown, from an instant on, that leases can be taken; none if one has not."""
        shown = {}
        for sample in list(self.samples):
            if sample.at >= at and sample.epoch_open == 1:
                shown.setdefault(sample.gateway, sample.at)
        return max(shown.values()) if len(shown) == len(self.world.gateways) else None

    def latest(self):
        """The last sample of each gateway."""
        last = {sample.gateway.name: sample for sample in list(self.samples)}
        return {name: sample._asdict() | {"gateway": name} for name, sample in last.items()}

    def acquisitions(self, gateway, at):
        """How often a gateway has asked for credits until an instant."""
        return max((sample.acquisitions for sample in list(self.samples)
                    if sample.gateway is gateway and sample.at <= at), default=0)

    def unusable(self, began, ended):
        """In how many samples a gateway could not sell what it has."""
        return sum(sample.usable == 0 for sample in list(self.samples) if began <= sample.at <= ended)

    def stop(self):
        self.stopping.set()


class Direct(Gateway):
    """A gateway that knows all members, with nothing between."""

    def lay_out(self):
        self.proxies = self.world.database.members
        super().lay_out()


class Trial(World):
    """One variant: all its events, and the comparison."""

    def __init__(self, options, name):
        self.variant, events = VARIANTS[name], options.events * options.times
        options.replica_lag, options.time_to_live = self.variant["replica_lag"], TIME_TO_LIVE
        self.events = [(number, event) for number, event in enumerate(events)]
        expected = 90 * len(events) * options.rate
        accounts = {"steady": int(20 * expected), "modest": int(LOAD["modest"] * expected * 2.5) + 500}
        # Each gateway has to acquire of these first.
        accounts |= {f"first{number}": 96 for number, _ in self.events}
        super().__init__(options, accounts=accounts)
        weights = LOAD | {name: 0.0 for name in accounts if name not in LOAD}
        self.round = Round(0, [name], weights, accounts)
        self.rows = []

    def start(self):
        options = self.options
        self.database = Managed(self, options.members, self.variant)
        self.backend = Backend(self.loop, self.ports.free(), options.delay)
        for number in range(options.gateways):
            gateway = Direct(self, f"g{number}", number, ("batch", "each")[number % 2])
            self.gateways.append(gateway)
            gateway.start()
        for gateway in self.gateways:
            gateway.wait_ready(60 + options.replica_lag)
        self.observer = Observer(self)

    def play_all(self):
        """All events under load, one after the other, and then the comparison. Returns what does not hold."""
        self.load = Load(self.loop, self.gateways, self.round, self.options)
        try:
            # Until leases are as long as they become.
            time.sleep(self.options.warm_up)
            for number, event in self.events:
                row = {"event": event, "variant": self.round.names[0]}
                try:
                    self.play_event(number, event, row)
                finally:
                    self.log(json.dumps(row))
                time.sleep(5)
        finally:
            self.load.stop()
            self.observer.stop()
        self.settle()
        failures = self.sell_modest()
        self.settle()
        check = Check(self, self.round, self.database.credits())
        failures += check.run()
        self.totals += check.figures
        left = check.centre.balances["modest"]["granted"] - check.centre.spent("modest")
        if left:
            failures.append(f"4: modest: {left} credits were not sold")
        return failures + self.finish()

    def sell_modest(self):
        buyer = self.buyer()
        centre = Centre(self.database.credits())
        many = centre.balances["modest"]["granted"] - centre.spent("modest") - 15 * len(self.gateways)
        if many > 0:
            buyer.buy_many(self.gateways, "modest", many)
        try:
            return self.sell_the_last(buyer, "modest")
        finally:
            buyer.close()

    def play_event(self, number, event, row):
        """One event: what is done, until every gateway acquires again and all members are back."""
        observer = self.observer
        before = until("the primary can be written", lambda: observer.beats and observer.beats[-1], 10)
        primary = self.database.primary
        self.log(f"{event}: the primary is {primary.name}, epoch {before.epoch}", loud=True)
        began = time.monotonic()
        undo = getattr(self, f"do_{event}")(primary, row)
        new = until("another primary can be written", lambda: observer.first_after(before.history, began), 90, every=0.02)
        row["not writable"] = new.done - (observer.last_of(before.history) or began)
        row["writable after"] = new.done - began
        self.log(f"{new.member} can be written after {row['writable after']:.1f} s")
        patience = STANDS_STILL if event == "freeze" else 60
        bought = self.acquire(f"first{number}", patience)
        row["acquire after"] = [round(bought[gateway] - new.done, 2) if gateway in bought else None
                                for gateway in self.gateways]
        if event == "freeze":
            row["status meanwhile"] = self.gateways[0].status()[:300]
            row["metrics meanwhile"] = observer.latest()
        undone = time.monotonic()
        if undo:
            undo()
            row["undone after"] = undone - began
            if len(bought) < len(self.gateways):
                since = time.monotonic()
                bought = self.acquire(f"first{number}", FENCED)
                row["acquire after it was undone"] = [
                    round(bought[gateway] - since, 2) if gateway in bought else None for gateway in self.gateways]
        if len(bought) < len(self.gateways):
            names = [gateway.name for gateway in self.gateways if gateway not in bought]
            raise Fault(f"{event}: {', '.join(names)} acquires nothing")
        opened = until("the next epoch opens", lambda: observer.opened_after(before.epoch), 30)
        shown = until("all gateways show it", lambda: observer.shown_after(opened), 30)
        row["epoch open after"], row["shown after"] = opened - new.done, shown - new.done
        self.database.wait_whole(120)
        ended = time.monotonic()
        row["written to the old history later"] = sum(
            beat.history == before.history and beat.done > undone for beat in list(observer.beats))
        grown = [observer.acquisitions(gateway, ended) - observer.acquisitions(gateway, new.done)
                 for gateway in self.gateways]
        if not all(grown):
            raise Fault(f"{event}: acquisitions have grown by {grown}")
        self.count(row, began, ended)
        self.rows.append(row)

    def count(self, row, began, ended):
        """What became of the load meanwhile."""
        # Clients that have gone on their own tell nothing.
        answers = [answer for answer in list(self.round.answers)
                   if answer.account in LOAD and answer.sent <= ended and answer.done >= began
                   and (answer.row != LATE or answer.done - answer.sent >= PATIENCE)]
        row["lookups"] = len(answers)
        row["refused"] = dict(collections.Counter(answer.row for answer in answers if answer.status != 200))
        row["first refused after"] = min((answer.sent - began for answer in answers if answer.status != 200), default=None)
        row["longest lookup"] = max(answer.done - answer.sent for answer in answers)
        row["samples without a lease in force"] = self.observer.unusable(began, ended)

    def acquire(self, account, patience):
        """Buys of an account that no gateway has credits of, at each gateway; the instants of the first answers."""
        buyers = {gateway: Buyer(self.loop, self.round.answers) for gateway in self.gateways}
        bought, began = {}, time.monotonic()

        def buy(gateway):
            while time.monotonic() - began < patience:
                if buyers[gateway].buy(gateway, account).status == 200:
                    bought[gateway] = time.monotonic()
                    return
                time.sleep(0.1)

        threads = [threading.Thread(target=buy, args=(gateway,), daemon=True) for gateway in self.gateways]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for buyer in buyers.values():
            buyer.close()
        return bought

    # The events. Each returns how it is undone, if it has to be.

    def do_switchover(self, primary, row):
        self.database.switch_over()

    def do_crash(self, primary, row):
        kill(primary.postmaster(), signal.SIGKILL)

    def do_failover(self, primary, row):
        postmaster = primary.postmaster()
        primary.kill_manager()
        kill(postmaster, signal.SIGKILL)
        return primary.start

    def do_etcd(self, primary, row):
        began, history = time.monotonic(), self.observer.beats[-1].history
        self.database.etcd.stop()
        time.sleep(WITHOUT_ETCD)
        last = self.observer.last_of(history)
        row["read-only after"] = last - began
        if time.monotonic() - last < 2:
            raise Fault(f"{primary.name} can still be written, {WITHOUT_ETCD} s after etcd is gone")
        self.log(f"{primary.name} could be written for {last - began:.1f} s after etcd was gone")
        row["etcd back after"] = time.monotonic() - began
        self.database.etcd.start()

    def do_freeze(self, primary, row):
        paused = primary.everybody()
        for process in paused:
            kill(process, signal.SIGSTOP)

        def go_on():
            for process in paused:
                kill(process, signal.SIGCONT)

        return go_on

    def end(self):
        """Ends everything by force; what stands still dies of that as well."""
        if hasattr(self, "observer"):
            self.observer.stop()
        super().end()


def collect():
    """Collects servers that have ended: they are children of this process since Patroni has left them, and Patroni waits
    until they are gone."""
    while True:
        for child in children(os.getpid()):
            try:
                words = pathlib.Path(f"/proc/{child}/stat").read_text()
                if "(postgres)" in words and words.rpartition(") ")[2][:1] == "Z":
                    os.waitpid(child, os.WNOHANG)
            except (OSError, ChildProcessError):
                pass
        time.sleep(0.05)


def show(rows):
    """The table, as Markdown."""
    print("\n| variant | what happens | not writable (s) | writable after (s) | every gateway acquires (s later) "
          "| epoch open (s later) | shown by all (s later) | lookups | refused | longest lookup (s) |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        acquired = row["acquire after"]
        later = "not at all" if None in acquired else f"{max(acquired):.1f}"
        if "acquire after it was undone" in row:
            later += f", {max(row['acquire after it was undone']):.1f} after it went on"
        refused = ", ".join(f"{count} {name}" for name, count in row["refused"].items()) or "0"
        print(f"| {row['variant']} | {EVENTS[row['event']]} | {row['not writable']:.1f} | {row['writable after']:.1f} | {later} "
              f"| {row['epoch open after']:.1f} | {row['shown after']:.1f} | {row['lookups']} | {refused} "
              f"| {row['longest lookup']:.2f} |")


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="each event once, and less time before the first")
    parser.add_argument("--times", type=int, default=2, help="how often each event is played")
    parser.add_argument("--variant", default=",".join(VARIANTS), help="some of: " + ", ".join(VARIANTS))
    parser.add_argument("--events", default=",".join(EVENTS), help="some of: " + ", ".join(EVENTS))
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--gateways", type=int, default=3)
    parser.add_argument("--rate", type=float, default=30, help="lookups a second, of all clients together")
    parser.add_argument("--json", metavar="FILE", help="write what was measured there")
    parser.add_argument("--keep", action="store_true", help="keep the directories, with all logs")
    found = parser.parse_args()
    found.variant, found.events = found.variant.split(","), found.events.split(",")
    unknown = set(found.events) - set(EVENTS) | set(found.variant) - set(VARIANTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    found.times, found.warm_up = (1, 15) if found.short else (found.times, 30)
    found.clients, found.delay, found.quiet, found.seed = 6, 0.01, False, random.SystemRandom().randrange(1 << 32)
    return found


def main():
    found = options()
    packages = missing()
    if packages and os.access(PYTHON, os.X_OK) and not os.path.samefile(sys.executable, PYTHON):
        os.execv(PYTHON, [PYTHON, *sys.argv])
    if packages:
        sys.exit(f"not installed: apt-get install {' '.join(packages)}")
    if not os.access(PROGRAM, os.X_OK):
        sys.exit(f"{PROGRAM} is not there; build it, or name another by TOLLGATE")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    threading.Thread(target=collect, daemon=True).start()
    rows, totals, failures = [], {}, []
    for name in found.variant:
        trial, wrong = Trial(found, name), ["it was interrupted"]
        try:
            trial.start()
            wrong = trial.play_all()
        except Fault as fault:
            wrong = [str(fault)]
        finally:
            rows += trial.rows
            trial.end()
            if wrong or found.keep:
                print(f"kept: {trial.directory}", file=sys.stderr)
            else:
                trial.remove()
        totals[name] = dict(trial.totals)
        failures += [f"{name}: {one}" for one in wrong]
    show(rows)
    if found.json:
        with open(found.json, "w") as out:
            json.dump({"rows": rows, "totals": totals, "failures": failures}, out, indent=1)
            out.write("\n")
    for failure in failures:
        print(f"FAILED {failure}", file=sys.stderr)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
