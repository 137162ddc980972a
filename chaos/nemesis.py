"""The faults. Each is done to a world that is under load, and ends by itself or is undone when the world is healed."""

import time

from books import identity, last_row
from common import Fault, kill, wait_for_end
from database import FAKETIME
from gateways import Gateway
from partition import TO_GATEWAY, TO_SERVER

DIRECTIONS = [(TO_SERVER,), (TO_GATEWAY,), (TO_SERVER, TO_GATEWAY)]


def kill_(world):
    """kill -9 of gateways at random, which start again at once, and are killed again whether they serve yet or not."""
    end = time.monotonic() + world.options.seconds
    while time.monotonic() < end:
        time.sleep(world.random.uniform(0.0, 2 * world.options.kill_pause))
        gateway = world.random.choice(world.gateways)
        gateway.must_run()
        # Most of them while they sell, some of them at the very beginning.
        if world.random.random() < 0.8 and not gateway.is_ready():
            continue
        kill_one(world, gateway)
        world.totals["kills in rounds of kills"] += 1


def kill_one(world, gateway):
    gateway.kill()
    gateway.start()
    world.totals["kills"] += 1
    world.log(f"{gateway.name} was killed and starts again")


def database_kill(world):
    """kill -9 of PostgreSQL, for a moment or for some seconds; gateways are killed beside it, one time out of two."""
    world.round.unpaid_is_allowed = True
    for _ in range(world.random.randint(1, 3)):
        world.database.primary.kill()
        world.totals["kills of the database"] += 1
        away = world.random.choice([0.0, world.random.uniform(0, 2), world.random.uniform(2, 6)])
        world.log(f"the database was killed, for {away:.1f} s")
        time.sleep(away)
        world.database.primary.start()
        time.sleep(world.random.uniform(0, 3))
        if world.random.random() < 0.5:
            kill_one(world, world.chosen()[0])
            time.sleep(world.random.uniform(0, 2))
    grant(world)


def outage(world):
    """The database is away for longer than the time to live, so that all identities are over when it comes back: killed, or
    silent."""
    primary, is_killed = world.database.primary, world.options.short or world.random.random() < 0.6
    if is_killed:
        primary.kill()
        world.round.unpaid_is_allowed = True
    else:
        primary.pause()
    away = world.options.time_to_live + world.random.uniform(1, 5)
    world.log(f"the database is {'away' if is_killed else 'silent'} for {away:.1f} s")
    time.sleep(away)
    if is_killed:
        primary.start()
    else:
        primary.go_on()
    world.totals["outages"] += 1
    time.sleep(1)


def restart(world):
    """Gateways are stopped in order, one after the other, and start again."""
    for gateway in world.chosen(len(world.gateways)):
        gateway.end()
        gateway.start()
        world.totals["restarts"] += 1
        world.log(f"{gateway.name} was stopped in order and starts again")
        gateway.wait_ready()
        time.sleep(world.random.uniform(0, 1))


def grant(world):
    """Grants credits while things go on. Whether it is done is asked later."""
    account = next(name for name in world.round.accounts if name.endswith("plenty"))
    key, credits = f"r{world.round.number}-{len(world.round.grants)}", world.random.randint(1, 40)
    world.round.grants[key] = (account, credits)
    done = world.grant(account, credits, key)
    world.log(f"{credits} more are granted to {account}: {'done' if done else 'not known'}")


def stop(world):
    """SIGSTOP of one or two gateways for longer than their time to live; in a long campaign, now and then until they were
    fenced."""
    chosen = world.chosen(world.random.choice([1, 1, 2]))
    seconds = world.options.time_to_live + world.random.uniform(1, 5)
    if not world.options.short and world.random.random() < 0.2:
        seconds += world.options.time_to_live + 75
    for gateway in chosen:
        gateway.pause()
    world.log(f"{', '.join(one.name for one in chosen)} stopped for {seconds:.0f} s")
    time.sleep(seconds)
    for gateway in chosen:
        gateway.go_on()
    # A request can be older than its deadline then.
    world.round.more_statuses |= {(408, "deadline-exceeded"), (408, "request-timeout")}
    world.totals["stops"] += len(chosen)
    time.sleep(2)


def partition(world):
    """No bytes pass between some gateways and the database, in one direction or in both, for a moment or for longer than
    the time to live."""
    long_one = world.random.randrange(3)
    for turn in range(3):
        chosen = world.chosen(world.random.choice([1, 1, 2, len(world.gateways)]))
        how = world.random.choice(["stall", "stall", "cut"])
        directions = world.random.choice(DIRECTIONS)
        seconds = world.random.uniform(0.5, 4)
        if turn == long_one:
            seconds = world.options.time_to_live + world.random.uniform(1, 4)
        late = world.random.random() < 0.5
        names = ", ".join(one.name for one in chosen)
        world.log(f"{names}: {how} {' and '.join(directions) if how == 'stall' else ''} for {seconds:.1f} s, "
                  f"then {'delivered late' if late else 'lost'}")
        for gateway in chosen:
            gateway.partition(how, *directions)
        time.sleep(seconds)
        for gateway in chosen:
            gateway.heal(late)
        world.totals["partitions"] += len(chosen)
        if world.random.random() < 0.3:
            kill_one(world, world.chosen()[0])
        time.sleep(world.random.uniform(0.5, 2))


def failover(world):
    """The standby becomes the primary, and has everything that was acknowledged."""
    database, is_silent = world.database, world.random.random() < 0.4
    database.synchronous(True)
    time.sleep(world.random.uniform(0.5, 2))
    if is_silent:
        # It accepts connections, and never says anything again.
        database.primary.pause()
    else:
        database.primary.kill()
    time.sleep(world.random.choice([0.0, world.random.uniform(0, 4)]))
    database.promote()
    world.round.unpaid_is_allowed = True
    world.totals["failovers"] += 1
    world.log(f"failed over from a server that is {'silent' if is_silent else 'gone'}")
    time.sleep(world.random.uniform(3, 8) if is_silent else world.random.uniform(0.5, 2))
    database.build_standby()
    time.sleep(1)
    grant(world)


def failover_lost(world):
    """The standby becomes the primary, and lacks the last commits: fewer than those of the agreed lag."""
    database = world.database
    with_kill = world.options.kill_in_gap if world.options.short else world.random.random() < 0.6
    severed, now = database.sever(), time.time()
    if with_kill:
        # What its restart tells the database is lost, with luck.
        kill_one(world, world.chosen()[0])
    time.sleep(max(0.0, world.random.uniform(0.4, 0.8) * world.options.replica_lag - (time.monotonic() - severed)))
    database.primary.kill()
    gap = time.monotonic() - severed
    if gap > world.options.replica_lag:
        # More would be lost than is agreed: this one is none.
        world.log(f"the standby was {gap:.2f} s behind, which is too much; the primary goes on")
        database.primary.start()
        world.totals["failovers given up"] += 1
        world.round.unpaid_is_allowed = True
        return database.build_standby()
    database.promote()
    old = database.standby
    world.totals["failovers with lost commits"] += 1
    world.log(f"failed over, with {gap:.2f} s of commits lost{', and a gateway killed in them' if with_kill else ''}")
    world.round.forget(database.autopsy(old), now)
    time.sleep(world.random.uniform(0.5, 2))
    database.build_standby()
    time.sleep(2)


def restore(world):
    """An old base backup, or a dump, takes the place of the database. Gateways are killed in between: the backup does not
    know who they are by then."""
    database, dumps = world.database, world.random.random() < 0.4
    now = time.time()
    backup = database.dump() if dumps else database.backup()
    time.sleep(world.random.uniform(2, 4))
    for gateway in world.chosen(world.random.choice([1, 2])):
        kill_one(world, gateway)
    time.sleep(world.random.uniform(2, 4))
    lost = database.read_dump(backup) if dumps else database.put_back(backup)
    world.restored.add(f"r{world.round.number}")
    world.round.forget(lost, now)
    world.totals["restores"] += 1
    world.log(f"{'a dump' if dumps else 'a base backup'} of {time.time() - now:.1f} s ago was put back")
    time.sleep(world.random.uniform(1, 3))
    if not dumps:
        database.build_standby()
    time.sleep(2)


def clone(world):
    """The disk of a gateway that runs is copied, and another gateway starts with the copy."""
    source = world.chosen()[0]
    other = Gateway(world, f"{source.name}-clone-{world.round.number}", source.number, source.durability)
    source.copy_to(other)
    other.journal.copied = last_row(other.journal)
    world.clones.append(other)
    other.start()
    world.round.unpaid_is_allowed = True
    world.totals["clones"] += 1
    world.log(f"{source.name} has a clone, {other.name}")
    other.wait_ready()
    world.load.join(other)
    time.sleep(world.random.uniform(2, 5))
    if world.random.random() < 0.5:
        kill_one(world, world.random.choice([source, other]))
        time.sleep(2)


def lost_disk(world):
    """kill -9 of a gateway, and nothing is left of its disk. It starts anew, and the others fence who it was."""
    gateway = world.chosen()[0]
    gateway.kill()
    lost = identity(gateway.journal)
    gateway.lose_disk()
    if lost is not None:
        world.round.lost_disks[lost] = time.time()
    gateway.start()
    world.totals["kills"] += 1
    world.totals["lost disks"] += 1
    world.log(f"{gateway.name} has lost its disk, with identity {lost}")
    time.sleep(world.random.uniform(1, 3))


def upgrade(world):
    """Processes hand over to others, one gateway after the other; some are killed on the way."""
    for gateway in world.chosen(len(world.gateways)):
        by_signal = world.random.random() < 0.3
        gateway.wait_ready()
        before = gateway.upgrade(by_signal)
        if before is None:
            raise Fault(f"{gateway.name} was not upgraded; its log ends with: {gateway.tail()}")
        world.totals["upgrades"] += 1
        fate = world.random.random()
        if fate < 0.25:
            kill(before, 9)
            gateway.deaths.append(time.monotonic())
        elif fate < 0.5:
            kill(before, 9)
            kill_one(world, gateway)
        world.log(f"{gateway.name} was upgraded{' and killed' if 0.25 <= fate < 0.5 else ''}"
                  f"{', and the process before was killed' if fate < 0.25 else ''}")
        if not wait_for_end(before, 40):
            raise Fault(f"{gateway.name}: the process before does not end")
        time.sleep(world.random.uniform(0, 1))


def clock(world):
    """The clock of the database steps by an hour, forward and back."""
    if FAKETIME is None:
        world.log("clock: skipped, since libfaketime is not installed (apt-get install faketime)", loud=True)
        world.totals["skipped: clock"] += 1
        return
    primary = world.database.primary
    primary.clock = primary.directory.with_suffix(".clock")

    def step(by):
        new = primary.clock.with_suffix(".new")
        new.write_text(by)
        new.rename(primary.clock)

    step("+0")
    primary.stop()
    primary.start()
    world.round.unpaid_is_allowed = True
    for by in ("+3600s", "-3600s", "+7d", "+0"):
        step(by)
        time.sleep(world.random.uniform(1.5, 3.5))
        world.totals["steps of the clock"] += 1
        world.log(f"the database's clock is at {by}: {primary.psql('SELECT now()')}")
    primary.clock = None
    primary.stop()
    primary.start()


def full_disk(world):
    """The disk of one gateway is full for some seconds."""
    gateway = world.chosen()[0]
    gateway.end()
    if not gateway.put_on_small_disk():
        world.log("full-disk: skipped, since nothing can be mounted here", loud=True)
        world.totals["skipped: full-disk"] += 1
        return gateway.start()
    gateway.start()
    gateway.wait_ready()
    time.sleep(1)
    # Lookups cannot be charged, and are refused.
    world.round.more_statuses |= {(500, "internal")}
    gateway.fill_disk()
    world.totals["full disks"] += 1
    seconds = world.random.choice([world.random.uniform(2, 5), world.options.time_to_live + 3])
    world.log(f"{gateway.name} has a full disk for {seconds:.0f} s")
    time.sleep(seconds)
    gateway.empty_disk()
    gateway.wait_ready()
    time.sleep(1)
    gateway.end()
    gateway.take_from_small_disk()
    gateway.start()


ALL = {
    "kill": kill_, "restart": restart, "database-kill": database_kill, "outage": outage, "stop": stop,
    "partition": partition, "failover": failover,
    "failover-lost": failover_lost, "restore": restore, "clone": clone, "lost-disk": lost_disk, "upgrade": upgrade,
    "clock": clock, "full-disk": full_disk,
}
