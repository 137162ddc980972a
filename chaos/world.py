"""Everything that one campaign runs: a database, gateways, a backend, and one round of load and faults after the other."""

import collections
import functools
import json
import pathlib
import random
import shutil
import tempfile
import time

from backend import Backend
from books import Centre, Journals, identity
from check import Check
from common import Fault, Log, Loop, Ports, Processes, until
from database import Database
from gateways import Gateway
from load import Buyer, Load
from watch import Disk, Watch

# What fencing waits for beside the time to live and the difference of clocks: the longest request, and a margin.
FENCE_MORE = 65
# The part of lookups whose client is gone before its answer.
GONE = 0.02
# What each account of a round is granted, in parts of what is expected to be asked for it, and its part of the lookups:
# one runs out while there is load, one does not, and one has a few credits that all gateways want.
SHARES = {"short": (0.6, 0.45), "plenty": (1.6, 0.45), "last": (0.0, 0.1)}


class Round:
    """One round: accounts of its own, what clients were answered, and what its faults excuse."""

    def __init__(self, number, names, accounts, first_grants):
        self.number, self.names, self.accounts, self.first_grants = number, names, accounts, first_grants
        self.answers, self.grants = [], {}
        # Identities that the faults of this round have ended otherwise than by themselves.
        self.lost_disks, self.ended_and_forgotten = {}, {}
        self.unpaid_is_allowed, self.grants_may_be_lost = False, False
        self.more_statuses = set()
        self.figures = collections.Counter()

    def granted(self, account):
        """What an account may have been granted: later grants count, unless the database has forgotten them."""
        first = self.first_grants[account]
        later = sum(credits for of, credits in self.grants.values() if of == account)
        return {first, first + later} if self.grants_may_be_lost else {first + later}

    def forget(self, lost, before):
        """The database has lost what it knew: what has ended there, and may never be told again. `before` is the time
        of what it has now, in seconds since 1970."""
        centre = Centre(lost)
        for node, state in centre.nodes.items():
            if state in ("retired", "fenced"):
                for account in self.accounts:
                    self.ended_and_forgotten[node, account] = centre.known(node, account)
        self.lost_disks = {node: min(at, before) for node, at in self.lost_disks.items()}
        self.unpaid_is_allowed = self.grants_may_be_lost = True


class World:
    """Starts everything, and ends it."""

    def __init__(self, options, plan=(), accounts=None):
        self.options, self.random = options, random.Random(options.seed)
        self.terms = {"time_to_live": options.time_to_live, "replica_lag": options.replica_lag}
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="tollgate-chaos-"))
        self.directory.chmod(0o755)
        self.log = Log(self.directory / "events", options.quiet)
        self.totals, self.journals, self.clones = collections.Counter(), [], []
        # Rounds, by the beginning of their accounts' names, in which a backup was put back.
        self.restored = set()
        self.processes, self.ports, self.loop = Processes(), Ports(), Loop()
        self.disk = Disk(self.directory / "page")
        self.rounds = self._plan(plan)
        self.accounts = dict(accounts or {})
        for round_ in self.rounds:
            self.accounts |= round_.first_grants
        self.gateways = []

    def _plan(self, plan):
        rounds = []
        for number, (names, seconds) in enumerate(plan):
            asked = seconds * self.options.rate
            grants, weights = {}, {}
            for kind, (part, weight) in SHARES.items():
                account = f"r{number}-{kind}"
                weights[account] = weight
                grants[account] = int(asked * weight * part) + self.random.randint(3, 30)
            rounds.append(Round(number, names, weights, grants))
        return rounds

    def start(self):
        options = self.options
        self.database = Database(self.processes, self.ports, self.directory / "postgres", self.log)
        self.backend = Backend(self.loop, self.ports.free(), options.delay)
        for number in range(options.gateways):
            durability = options.durability if options.durability != "mixed" else ("batch", "each")[number % 2]
            self.gateways.append(Gateway(self, f"g{number}", number, durability))
        for gateway in self.gateways:
            gateway.start()
        for gateway in self.gateways:
            gateway.wait_ready()
        self.log(f"{len(self.gateways)} gateways run")

    def all_journals(self):
        return [gateway.journal for gateway in self.gateways + self.clones] + self.journals

    def end(self):
        """Ends everything by force."""
        self.disk.stop()
        for gateway in self.gateways + self.clones:
            if gateway.is_paused:
                gateway.go_on()
        self.processes.end_all()
        for gateway in self.gateways + self.clones:
            if gateway.mounted:
                gateway.take_from_small_disk()
        self.loop.end()

    def remove(self):
        self.log.file.close()
        shutil.rmtree(self.directory)

    def chosen(self, count=1):
        """Some gateways at random."""
        return self.random.sample(self.gateways, min(count, len(self.gateways)))

    # One round.

    def play(self, round_, nemeses):
        """Load, the faults, healing, and the comparison. Returns what has failed."""
        options, self.round = self.options, round_
        self.log(f"round {round_.number}: {', '.join(round_.names)}", loud=True)
        self.load = Load(self.loop, self.gateways, round_, options, GONE)
        watch = Watch(self)
        try:
            try:
                time.sleep(self.random.uniform(1.0, 2.5))
                for name in round_.names:
                    nemeses[name](self)
                    self.totals[f"rounds with {name}"] += 1
                self.heal()
                self.grant_again()
                time.sleep(2.0)
            finally:
                self.load.stop()
            self.settle()
            failures = self.sell_the_rest()
            self.settle()
        except Fault as fault:
            return [f"4: {fault}", *watch.stop()]
        return failures + watch.stop() + self.check(round_)

    def buyer(self):
        return Buyer(self.loop, self.round.answers)

    def heal(self):
        """Undoes what faults have left."""
        for gateway in self.gateways:
            gateway.heal(late=False)
            if gateway.is_paused:
                gateway.go_on()
            if gateway.pid is None:
                gateway.start()
        for gateway in self.gateways:
            gateway.wait_ready(120)
        for clone in self.clones:
            self.load.leave(clone)
            clone.end()
        self.log("all is healed")

    def grant_again(self):
        """Grants whose outcome is not known, until they are done: each has a key, and counts once."""
        for key, (account, credits) in self.round.grants.items():
            again = functools.partial(self.grant, account, credits, key)
            until(f"grant {key}", again, 60, every=0.5)

    def grant(self, account, credits, key):
        """Grants credits, by any gateway. Whether that is known to be done."""
        return self.chosen()[0].grant(account, credits, key)

    def settle(self):
        """Waits until the database knows everything, and nobody is left who has not ended."""
        began, patience = time.monotonic(), 30.0
        while True:
            waits = self.unsettled()
            if not waits:
                seconds = time.monotonic() - began
                self.log(f"settled after {seconds:.1f} s")
                self.totals["longest to settle (s)"] = max(self.totals["longest to settle (s)"], round(seconds))
                return
            if any("has not ended" in wait for wait in waits):
                patience = self.terms["time_to_live"] * 1.02 + FENCE_MORE + 30
            if time.monotonic() - began > patience:
                raise Fault(f"not settled after {patience:.0f} s: {'; '.join(waits)}")
            time.sleep(0.5)

    def unsettled(self):
        """What has to happen before all is known: texts."""
        for gateway in self.gateways:
            gateway.must_run()
        accounts = list(self.round.accounts)
        journals, centre = Journals(self.all_journals(), accounts), Centre(self.database.credits())
        waits = [] if centre.is_open() else ["the epoch is closed"]
        current = set()
        for gateway in self.gateways:
            own = identity(gateway.journal)
            current.add(own)
            if centre.nodes.get(own) != "live":
                waits.append(f"{gateway.name} is {centre.nodes.get(own, 'unknown')} as {own}")
        waits += [f"identity {node} has not ended" for node in sorted(centre.live() - current)]
        for (node, account), charged in journals.charged.items():
            known = centre.known(node, account)
            excused = node in self.round.lost_disks or (node, account) in self.round.ended_and_forgotten
            if known < charged and not excused:
                waits.append(f"{known} of {charged} charges of {node} to {account} are known")
        return waits

    def sell_the_rest(self):
        """4: what is left of each account can be bought on every gateway, and then all say that there is nothing left."""
        failures = []
        buyer = self.buyer()
        for account in self.round.accounts:
            centre = Centre(self.database.credits())
            balance = centre.balances.get(account, {"granted": 0, "deficit": 0})
            left = balance["granted"] - centre.spent(account)
            many = left - 15 * len(self.gateways)
            if many > 0:
                buyer.buy_many(self.gateways, account, many)
            failures += self.sell_the_last(buyer, account)
        buyer.close()
        return failures

    def sell_the_last(self, buyer, account):
        """Buys at one gateway after the other, until each says that there is nothing left."""
        failures, empty, turn, unavailable = [], set(), 0, None
        began = time.monotonic()
        while len(empty) < len(self.gateways):
            gateway = self.gateways[turn % len(self.gateways)]
            turn += 1
            answer = buyer.buy(gateway, account)
            if answer.status == 200:
                if empty:
                    names = ", ".join(sorted(one.name for one in empty))
                    failures.append(f"4: {account}: {names} said that there are too few credits, and {gateway.name} had one")
                empty, unavailable = set(), None
            elif answer.row == "credits-insufficient":
                empty.add(gateway)
                unavailable = None if gateway is unavailable else unavailable
            else:
                self.log(f"{account} at {gateway.name}: {answer.status} {answer.row}")
                self.totals["retries for the last credits"] += 1
                unavailable = gateway
                time.sleep(0.3)
            if time.monotonic() - began > 60:
                raise Fault(f"{account}: not sold to the end within 60 s; {gateway.name} says {answer.status} {answer.row}")
        return failures

    def check(self, round_):
        check = Check(self, round_, self.database.credits())
        failures = check.run()
        # Where nothing is excused, nothing is left.
        for account in round_.accounts:
            balance = check.centre.balances.get(account)
            if balance and not failures and check.centre.spent(account) < balance["granted"]:
                failures.append(f"4: {account}: {balance['granted'] - check.centre.spent(account)} credits were not sold")
        round_.figures = check.figures
        self.totals += check.figures
        return failures

    def keep(self, failures):
        """Keeps what somebody needs who looks into a failure."""
        where = self.directory
        with (where / "answers.tsv").open("w") as out:
            for answer in self.round.answers:
                fields = [answer.gateway.name, answer.account, f"{answer.sent - self.log.began:.3f}",
                          f"{answer.done - self.log.began:.3f}", answer.status, answer.row, answer.transaction]
                out.write("\t".join(map(str, fields)) + "\n")
        (where / "failures").write_text("\n".join(failures) + "\n")
        try:
            (where / "credits.json").write_text(json.dumps(self.database.credits(), indent=1))
            (where / "status").write_text(self.gateways[0].status())
        except (Fault, OSError) as error:
            self.log(f"what the database has cannot be kept: {error}")

    def finish(self):
        """Ends all gateways in order: nothing is on lease then, and every identity is over."""
        for gateway in self.gateways:
            gateway.end()
        centre = Centre(self.database.credits())
        failures = [f"4: identity {node} is {centre.nodes[node]} after the end" for node in centre.live()]
        for (node, account), lease in centre.leases.items():
            left = lease["taken"] - lease["returned"] - lease["spent"]
            if left:
                failures.append(f"4: {left} credits of {account} are on lease to {node} after the end")
        return failures
