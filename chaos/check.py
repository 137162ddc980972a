"""The invariants, at the end of a round: README.md has them in words, by these numbers."""

import collections
import datetime
import time

from books import Centre, Journals
from load import BROKEN, LATE

# How old a charge can be that a kill -9 loses with `batch`: the 50 ms of the promise, and what a busy machine needs to
# read its clocks. Twice the longest write of the disk is added.
OLDEST_LOSS = 1.0
# How long after a kill an answer is read that was received before it.
READ_LATE = 0.25
# What a lost disk can have that was not reported, in seconds before the loss: reports are sent every second.
OLDEST_REPORT = 5.0
# What has to be added to the times of clients for seconds since 1970.
EPOCH = time.time() - time.monotonic()
ALLOWED = {(200, "answered"), (403, "credits-insufficient"), (503, "credits-unavailable")}


def seconds_of(at):
    """The time of a journal's row, in seconds since 1970."""
    return datetime.datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()


class Check:
    """The comparison of one round. Failures are texts that begin with the number of the invariant."""

    def __init__(self, world, round_, found):
        self.world, self.round = world, round_
        self.accounts = list(round_.accounts)
        self.centre = Centre(found)
        self.journals = Journals(world.all_journals(), self.accounts)
        self.failures = [f"2: {wrong}" for wrong in self.journals.wrong]
        self.figures = collections.Counter()
        self.answered = [answer for answer in round_.answers if answer.status == 200]

    def run(self):
        self.identities()
        self.transactions()
        self.deliveries()
        self.balances()
        self.statuses()
        return self.failures

    def fail(self, number, text):
        self.failures.append(f"{number}: {text}")

    def identities(self):
        """2: what each identity has charged is what the database knows of it, as spent or as unpaid."""
        journals, centre, round_ = self.journals, self.centre, self.round
        keys = set(journals.charged) | set(centre.leases) | set(centre.unpaid)
        for node, account in sorted(keys, key=str):
            if account not in round_.accounts:
                continue
            charged, known = journals.charged[node, account], centre.known(node, account)
            unpaid = centre.unpaid.get((node, account), 0)
            owner = journals.owners.get(node)
            who = f"identity {node} of {owner.name if owner else 'nobody'}, {account}"
            self.figures["unpaid"] += unpaid
            if unpaid and not round_.unpaid_is_allowed and centre.nodes.get(node) != "fenced":
                self.fail(1, f"{who}: {unpaid} unpaid, and nothing has happened that excuses it")
            if known > charged:
                self.fail(2, f"{who}: {known} are known as charged, and its journal has {charged}")
            elif known < charged:
                self.missing(node, account, charged - known, who)

    def missing(self, node, account, missing, who):
        """Charges that a journal has and the database does not know: gifts, where they are excused."""
        charged = self.journals.charged[node, account]
        lost = self.round.lost_disks.get(node)
        excused = self.round.ended_and_forgotten.get((node, account))
        if lost is not None:
            taken, returned = self.journals.leases[node, account]
            rows = self.journals.rows[node, account]
            recent = sum(amount for at, amount in rows if seconds_of(at) > lost - OLDEST_REPORT)
            self.figures["gifts of lost disks"] += missing
            if missing > taken - returned or missing > recent:
                self.fail(1, f"{who}: {missing} charges of a lost disk are given away, of {taken - returned} on lease and "
                             f"{recent} in the last {OLDEST_REPORT:.0f} s")
        elif excused == charged:
            self.figures["gifts of lost commits"] += missing
        else:
            self.fail(2, f"{who}: {missing} of {charged} charges are not known to the database")

    def transactions(self):
        """2: no lookup is charged twice, and none that nobody has looked up."""
        seen = self.world.backend.seen
        for transaction, times in self.journals.transactions.items():
            if times > 1:
                self.fail(2, f"lookup {transaction} is charged {times} times")
            if times > 0 and transaction not in seen:
                self.fail(2, f"lookup {transaction} is charged, and the backend has not seen it")
        received = collections.Counter(answer.transaction for answer in self.answered)
        for transaction, times in received.items():
            if times > 1 or transaction not in seen:
                self.fail(2, f"lookup {transaction} was answered {times} times, and seen {seen[transaction]} times")

    def deliveries(self):
        """1: each answer was charged, but for what a kill loses; and nothing else was charged, but for lookups of which a
        client does not know what became of them."""
        charged = {transaction for transaction, times in self.journals.transactions.items() if times > 0}
        missing = collections.defaultdict(list)
        for answer in self.answered:
            if answer.charged != 1:
                self.fail(5, f"lookup {answer.transaction} says that it cost {answer.charged}")
            if answer.transaction not in charged:
                missing[answer.gateway, answer.account].append(answer)
        for (gateway, account), answers in missing.items():
            for at, lookups in self.journals.shared[gateway, account]:
                # Those that share a row have no Transaction-Id there: they are the ones of about its time.
                answers.sort(key=lambda answer: abs(answer.done + EPOCH - seconds_of(at)))
                del answers[:lookups]
            self.given_away(gateway, answers)
        received = {answer.transaction for answer in self.answered}
        more = len(charged - received)
        unknown = sum(answer.row in (BROKEN, LATE) for answer in self.round.answers)
        self.figures["charged without an answer"] += more
        self.figures["sold"] += len(self.answered)
        self.figures["lookups"] += len(self.round.answers)
        if more > unknown:
            self.fail(2, f"{more} lookups are charged that nobody has received, and {unknown} clients had no answer")

    def given_away(self, gateway, answers):
        most = OLDEST_LOSS + 2 * self.world.disk.longest
        for answer in answers:
            # What was received just before a kill can be read just after it.
            death = min((at for at in gateway.deaths if at + READ_LATE >= answer.done), default=None)
            self.figures["gifts of kills"] += 1
            what = f"lookup {answer.transaction} by {gateway.name} of {answer.account} is in no journal"
            if gateway.durability == "each":
                self.fail(1, f"{what}, with durability each")
            elif death is None:
                self.fail(1, f"{what}, and nobody was killed")
            elif death - answer.done > most:
                self.fail(1, f"{what}, and was {death - answer.done:.2f} s old at the kill, of at most {most:.2f} s")

    def balances(self):
        """1 and 3: nothing is oversold, and the rows agree with each other."""
        centre, round_ = self.centre, self.round
        sums = collections.Counter()
        for (_, account), lease in centre.leases.items():
            sums[account] += lease["taken"] - lease["returned"]
        for account, balance in centre.balances.items():
            granted, allotted, deficit = balance["granted"], balance["allotted"], balance["deficit"]
            if allotted != sums[account]:
                self.fail(3, f"{account}: {allotted} allotted, and {sums[account]} on lease or spent")
            if granted != centre.granted[account]:
                self.fail(3, f"{account}: {granted} granted, and {centre.granted[account]} in rows of grants")
            if deficit and account.partition("-")[0] not in self.world.restored:
                self.fail(3, f"{account}: a deficit of {deficit}, and no backup was put back")
            if centre.spent(account) > granted + deficit:
                self.fail(1, f"{account}: {centre.spent(account)} spent of {granted} granted")
        for account in self.accounts:
            balance = centre.balances.get(account)
            if balance is None:
                self.fail(3, f"{account}: there is no balance")
                continue
            wanted, granted = round_.granted(account), balance["granted"]
            if granted not in wanted:
                self.fail(3, f"{account}: {granted} are granted, and should be one of {sorted(wanted)}")
            self.figures["deficits"] += balance["deficit"]
            self.figures["granted"] += granted
            self.figures["spent"] += centre.spent(account)
        # In sums, as whoever pays sees it: more was delivered than granted by no more than all gifts together.
        names = ("gifts of kills", "gifts of lost disks", "gifts of lost commits", "unpaid", "deficits")
        most = self.figures["granted"] + sum(self.figures[name] for name in names)
        if self.figures["sold"] > most:
            self.fail(1, f"{self.figures['sold']} were sold, of {self.figures['granted']} granted and {most} with all gifts")

    def statuses(self):
        """5: what clients may see."""
        seen = collections.Counter()
        for answer in self.round.answers:
            seen[answer.status, answer.row] += 1
        for (status, row), times in seen.items():
            self.figures[f"{status} {row}"] += times
            if status and (status, row) not in ALLOWED | self.round.more_statuses:
                self.fail(5, f"{times} answers were {status} {row}")
