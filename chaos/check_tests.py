#!/usr/bin/env python3
"""The comparison itself: a small history that is good, and what has to be found once something of it is wrong."""

import collections
import pathlib
import sqlite3
import tempfile
import types
import unittest

from books import Journals, signed
from check import Check
from gateways import Journal
from load import Answer
from world import Round

FIRST, SECOND = 7, (1 << 64) - 5
ENTRY = """CREATE TABLE entry (id INTEGER PRIMARY KEY, at TEXT, account TEXT, kind TEXT, amount INTEGER, lookups INTEGER,
 reference TEXT, key TEXT, by TEXT)"""


def transaction(number):
    return f"00000000-0000-4000-8000-{number:012d}"


class Gateway:
    """As much of a gateway as is compared."""

    def __init__(self, directory, name, durability="batch"):
        self.name, self.durability, self.deaths, self.pid = name, durability, [], None
        self.journal = Journal(pathlib.Path(directory) / f"{name}.db", self)
        self.rows = sqlite3.connect(self.journal.path)
        self.rows.execute(ENTRY)

    def write(self, kind, amount, reference="batch 1", key=None, by="gateway", lookups=1):
        values = ("2027-01-01T00:00:00.000Z", "r0-a", kind, amount, lookups, reference, key, by)
        self.rows.execute("INSERT INTO entry (at, account, kind, amount, lookups, reference, key, by) "
                          "VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        self.rows.commit()

    def lease(self, identity, amount):
        self.write("grant", amount, key=f"lease-{identity:016x}-grant-{amount}", by="lease")


class Comparison(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.one, self.two = Gateway(self.scratch.name, "g0"), Gateway(self.scratch.name, "g1", "each")
        self.round = Round(0, ["kill"], {"r0-a": 1.0}, {"r0-a": 10})
        seen = collections.Counter()
        for number, (gateway, identity) in enumerate([(self.one, FIRST)] * 3 + [(self.two, SECOND)] * 2):
            if number in (0, 3):
                gateway.lease(identity, 5)
            gateway.write("charge", -1, transaction(number))
            self.answer(gateway, number)
            seen[transaction(number)] += 1
        self.centre = {
            "cluster": [{"epoch": 1, "opened": 1}],
            "nodes": [{"id": FIRST, "state": "live"}, {"id": signed(SECOND), "state": "live"}],
            "balances": [{"account": "r0-a", "granted": 10, "allotted": 10, "deficit": 0}],
            "leases": [{"account": "r0-a", "node": FIRST, "taken": 5, "returned": 0, "spent": 3},
                       {"account": "r0-a", "node": signed(SECOND), "taken": 5, "returned": 0, "spent": 2}],
            "unpaid": [], "recalls": [], "entries": [{"account": "r0-a", "kind": "grant", "amount": 10, "key": "first"}],
        }
        self.world = types.SimpleNamespace(
            backend=types.SimpleNamespace(seen=seen), disk=types.SimpleNamespace(longest=0.0), restored=set(),
            all_journals=lambda: [self.one.journal, self.two.journal])

    def tearDown(self):
        for gateway in (self.one, self.two):
            gateway.rows.close()
        self.scratch.cleanup()

    def answer(self, gateway, number, status=200, row="answered", at=100.0):
        self.round.answers.append(Answer(gateway, "r0-a", at, at, status, row, transaction(number), int(status == 200)))

    def found(self):
        return Check(self.world, self.round, self.centre).run()

    def finds(self, number, text):
        found = self.found()
        self.assertTrue(any(one.startswith(f"{number}: ") and text in one for one in found), found)

    def test_what_is_good(self):
        self.assertEqual(self.found(), [])

    def test_more_is_spent_than_granted(self):
        self.centre["balances"][0]["granted"] = self.centre["entries"][0]["amount"] = 4
        self.finds(1, "5 spent of 4 granted")

    def test_rows_that_do_not_agree(self):
        self.centre["leases"][0]["returned"] = 1
        self.finds(3, "10 allotted, and 9 on lease or spent")

    def test_another_grant(self):
        self.round.grants["key"] = ("r0-a", 5)
        self.finds(3, "10 are granted, and should be one of [15]")
        self.round.grants_may_be_lost = True
        self.assertEqual(self.found(), [])

    def test_a_deficit(self):
        self.centre["balances"][0]["deficit"] = 1
        self.finds(3, "a deficit of 1")
        self.world.restored.add("r0")
        self.assertEqual(self.found(), [])

    def test_a_lookup_that_is_charged_twice(self):
        self.two.write("charge", -1, transaction(0))
        self.centre["leases"][1]["spent"] = 3
        self.finds(2, "is charged 2 times")
        self.two.write("refund", 1, transaction(0))
        self.centre["leases"][1]["spent"] = 2
        self.assertEqual(self.found(), [])

    def test_a_charge_that_the_database_does_not_know(self):
        self.centre["leases"][0]["spent"] = 2
        self.finds(2, "1 of 3 charges are not known")
        # Its end was known with all three, and forgotten.
        self.round.ended_and_forgotten[FIRST, "r0-a"] = 3
        self.assertEqual(self.found(), [])
        self.round.ended_and_forgotten[FIRST, "r0-a"] = 2
        self.finds(2, "1 of 3 charges are not known")

    def test_a_lost_disk(self):
        self.centre["leases"][0]["spent"] = 2
        self.round.lost_disks[FIRST] = 1_798_761_600 + 1
        self.assertEqual(self.found(), [])
        self.round.lost_disks[FIRST] = 1_798_761_600 + 60
        self.finds(1, "of a lost disk are given away")

    def test_more_is_known_than_was_charged(self):
        self.centre["leases"][0]["spent"] = 4
        self.finds(2, "4 are known as charged, and its journal has 3")

    def test_unpaid_charges(self):
        self.centre["leases"][0]["spent"] = 2
        self.centre["unpaid"].append({"account": "r0-a", "node": FIRST, "credits": 1})
        self.finds(1, "1 unpaid")
        self.centre["nodes"][0]["state"] = "fenced"
        self.assertEqual(self.found(), [])

    def test_an_answer_that_was_not_charged(self):
        self.world.backend.seen[transaction(9)] += 1
        self.answer(self.one, 9, at=100.0)
        self.finds(1, "nobody was killed")
        self.one.deaths = [100.5]
        self.assertEqual(self.found(), [])
        self.one.deaths = [102.0]
        self.finds(1, "2.00 s old at the kill")

    def test_an_answer_that_was_not_charged_with_each(self):
        self.world.backend.seen[transaction(9)] += 1
        self.answer(self.two, 9)
        self.two.deaths = [100.0]
        self.finds(1, "with durability each")

    def test_an_answer_that_shares_a_row(self):
        self.world.backend.seen[transaction(9)] += 1
        self.answer(self.one, 9)
        self.one.write("charge", -1, "batch 5")
        self.centre["leases"][0]["spent"] = 4
        self.assertEqual(self.found(), [])

    def test_a_charge_that_nobody_has_received(self):
        del self.round.answers[0]
        self.finds(2, "1 lookups are charged that nobody has received")
        self.answer(self.one, 99, status=0, row="broken")
        self.assertEqual(self.found(), [])

    def test_a_copied_journal(self):
        copy = Gateway(self.scratch.name, "clone")
        copy.lease(FIRST, 5)
        copy.write("charge", -1, transaction(0))
        self.world.all_journals = lambda: [self.one.journal, self.two.journal, copy.journal]
        self.finds(2, "is charged 2 times")
        copy.journal.copied = 2
        self.assertEqual(self.found(), [])
        copy.rows.close()

    def test_a_status_that_nobody_may_see(self):
        self.answer(self.one, 9, status=500, row="internal")
        self.finds(5, "500 internal")
        self.round.more_statuses.add((500, "internal"))
        self.assertEqual(self.found(), [])

    def test_a_charge_without_a_lease(self):
        self.two.rows.execute("DELETE FROM entry WHERE by = 'lease'")
        self.two.rows.commit()
        self.assertTrue(Journals([self.two.journal], ["r0-a"]).wrong)


if __name__ == "__main__":
    unittest.main()
