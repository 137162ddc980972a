"""How long things take, and how many lookups are refused meanwhile. Nothing is asserted here but that credits are found."""

import time

from common import Fault
from load import Buyer, Load
from world import Round, World


def percentile(times, percent):
    return sorted(times)[min(len(times) * percent // 100, len(times) - 1)]


def seconds_until_bought(buyer, gateway, account, seen):
    """The seconds from a lookup to its answer with 200, however often it has to be sent again."""
    began = time.monotonic()
    while True:
        answer = buyer.buy(gateway, account)
        if answer.status == 200:
            return time.monotonic() - began
        seen[answer.row] = seen.get(answer.row, 0) + 1
        if time.monotonic() - began > 30:
            raise Fault(f"{account} at {gateway.name}: {answer.status} {answer.row} for 30 s")
        time.sleep(0.02)


def last_credits(options):
    """Of each account 3 credits are left, spread as its lookups have left them; each is bought at a random gateway."""
    options.gateways = max(options.gateways, 5)
    accounts = {f"m{turn}": 30 for turn in range(options.turns)}
    world = World(options, accounts=accounts)
    try:
        world.start()
        answers, times, refused = [], [], {}
        buyer = Buyer(world.loop, answers)
        for turn, (account, credits) in enumerate(accounts.items()):
            for _ in range(credits - 3):
                seconds_until_bought(buyer, world.chosen()[0], account, {})
            # Half of them while everything moves, half of them when nothing has moved for a while.
            time.sleep(2 * (turn % 2))
            times += [seconds_until_bought(buyer, world.chosen()[0], account, refused) for _ in range(3)]
            last = buyer.buy(world.chosen()[0], account)
            if last.row != "credits-insufficient":
                raise Fault(f"{account} is sold, and the answer is {last.status} {last.row}")
        return {
            "credits bought": len(times), "p50 (ms)": 1e3 * percentile(times, 50), "p99 (ms)": 1e3 * percentile(times, 99),
            "longest (ms)": 1e3 * max(times), "refusals on the way": refused,
        }
    finally:
        finish(world)


def outage(options):
    """Lookups at a steady pace, first with the database and then without it."""
    options.time_to_live, options.rate, options.clients, options.gateways = 120, 20, 10, 3
    world = World(options, accounts={"steady": 1_000_000})
    try:
        world.start()
        round_ = Round(0, ["outage"], {"steady": 1.0}, world.accounts)
        load = Load(world.loop, world.gateways, round_, options)
        time.sleep(30)
        world.database.primary.kill()
        world.database.standby.kill()
        began = time.monotonic()
        time.sleep(60)
        ended = time.monotonic()
        world.database.primary.start()
        load.stop()
        without = [answer for answer in round_.answers if began <= answer.sent < ended]
        refused = [answer for answer in without if answer.status != 200]
        first = min((answer.sent - began for answer in refused), default=None)
        before = sum(answer.status != 200 for answer in round_.answers if answer.sent < began)
        return {
            "lookups without the database": len(without), "refused": len(refused), "refused before": before,
            "first refused after (s)": first, "rows": sorted({answer.row for answer in refused}),
        }
    finally:
        finish(world)


def failover(options):
    """The primary is killed and the standby promoted: the seconds from the promotion until each gateway sells credits that
    it has to acquire first."""
    accounts = {f"m{turn}": 50 for turn in range(options.turns)}
    world = World(options, accounts=accounts | {"steady": 1_000_000})
    try:
        world.start()
        first, last, promoting = [], [], []
        buyer = Buyer(world.loop, [])
        for account in list(accounts)[:max(1, options.turns // 10)]:
            for gateway in world.gateways:
                seconds_until_bought(buyer, gateway, "steady", {})
            world.database.synchronous(True)
            world.database.primary.kill()
            began = time.monotonic()
            world.database.promote()
            promoting.append(time.monotonic() - began)
            left, times = set(world.gateways), []
            while left:
                for gateway in list(left):
                    if buyer.buy(gateway, account).status == 200:
                        left.discard(gateway)
                        times.append(time.monotonic() - began)
                if time.monotonic() - began > 120:
                    raise Fault(f"no credits are acquired within 120 s of a promotion: {[one.name for one in left]}")
                time.sleep(0.02)
            first.append(min(times))
            last.append(max(times))
            world.database.build_standby()
        return {
            "failovers": len(first), "promotion (s), p50": percentile(promoting, 50),
            "first gateway (s), p50": percentile(first, 50), "first gateway (s), longest": max(first),
            "last gateway (s), p50": percentile(last, 50), "last gateway (s), longest": max(last),
        }
    finally:
        finish(world)


def finish(world):
    world.end()
    world.remove()


ALL = {"last-credits": last_credits, "outage": outage, "failover": failover}
