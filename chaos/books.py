"""What is written of credits: in the journals of all gateways, and in the rows of the database."""

import collections
import pathlib
import re
import shutil
import sqlite3
import tempfile

# Keys of the journal's rows about leases: the identity, the kind, and the total that is reached.
LEASE = re.compile(r"lease-([0-9a-f]{16})-(grant|adjustment)-(\d+)")
TRANSACTION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def signed(number):
    """The number of an identity as the database has it."""
    return number - (1 << 64) if number >= 1 << 63 else number


def read_rows(journal, query, values=()):
    """Rows of a journal; nothing where it is not there, or has no such table yet."""
    if not journal.path.exists():
        return []
    if journal.gateway.pid is not None and journal is journal.gateway.journal:
        return _rows(journal.path, query, values)
    # Whatever is opened may be changed by that, and a process that starts later looks closely at its journal.
    with tempfile.TemporaryDirectory(prefix="tollgate-chaos-copy-") as directory:
        for end in ("", "-wal"):
            file = pathlib.Path(f"{journal.path}{end}")
            if file.exists():
                shutil.copy(file, directory)
        return _rows(pathlib.Path(directory) / journal.path.name, query, values)


def _rows(path, query, values):
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        return connection.execute(query, values).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []
        raise
    finally:
        connection.close()


def identity(journal):
    """The identity that a journal has at the moment, or nothing."""
    rows = read_rows(journal, "SELECT id FROM lease_identity")
    return rows[0][0] if rows else None


def last_row(journal):
    """The number of the last row that a journal has."""
    rows = read_rows(journal, "SELECT max(id) FROM entry")
    return rows[0][0] or 0 if rows else 0


class Journals:
    """All journals together, of some accounts."""

    def __init__(self, journals, accounts):
        # By identity and account: what was charged, and when the rows were written.
        self.charged = collections.Counter()
        self.rows = collections.defaultdict(list)
        # By Transaction-Id, refunds cancelled.
        self.transactions = collections.Counter()
        # By gateway and account: lookups that share a row, and when that was written.
        self.shared = collections.defaultdict(list)
        # By identity and account, what the journal has on lease: taken and returned.
        self.leases = collections.defaultdict(lambda: [0, 0])
        # Which gateway has had an identity.
        self.owners = {}
        self.wrong = []
        for journal in journals:
            for account in accounts:
                self._read(journal, account)

    def _read(self, journal, account):
        query = "SELECT id, at, kind, amount, lookups, reference, key, by FROM entry WHERE account = ? ORDER BY id"
        owner = None
        for number, at, kind, amount, lookups, reference, key, by in read_rows(journal, query, (account,)):
            is_copied = number <= journal.copied
            if by == "lease":
                found = LEASE.fullmatch(key or "")
                if not found:
                    self.wrong.append(f"{journal.path}: row {number} is of a lease and has the key {key}")
                    continue
                owner = signed(int(found[1], 16))
                if not is_copied:
                    self.owners[owner] = journal.gateway
                    self.leases[owner, account][kind == "adjustment"] += abs(amount)
                continue
            if kind not in ("charge", "refund"):
                self.wrong.append(f"{journal.path}: row {number} is {kind} by {by}, and no lease")
                continue
            if owner is None:
                self.wrong.append(f"{journal.path}: row {number} is charged to {account} without a lease")
            if is_copied:
                continue
            self.charged[owner, account] -= amount
            self.rows[owner, account].append((at, -amount))
            if TRANSACTION.fullmatch(reference):
                self.transactions[reference] += 1 if kind == "charge" else -1
            else:
                self.shared[journal.gateway, account].append((at, lookups))


class Centre:
    """The rows of the database, by identity and account."""

    def __init__(self, found):
        self.cluster = found["cluster"][0] if found["cluster"] else None
        self.nodes = {row["id"]: row["state"] for row in found["nodes"]}
        self.balances = {row["account"]: row for row in found["balances"]}
        self.leases = {(row["node"], row["account"]): row for row in found["leases"]}
        self.unpaid = {(row["node"], row["account"]): row["credits"] for row in found["unpaid"]}
        self.recalls = found["recalls"]
        self.granted = collections.Counter()
        for row in found["entries"]:
            self.granted[row["account"]] += row["amount"]

    def is_open(self):
        return self.cluster is not None and self.cluster["opened"] == 1

    def live(self):
        return {node for node, state in self.nodes.items() if state in ("live", "draining")}

    def spent(self, account):
        return sum(row["spent"] for (_, of), row in self.leases.items() if of == account)

    def known(self, node, account):
        """What is written of the charges of an identity."""
        lease = self.leases.get((node, account))
        return (lease["spent"] if lease else 0) + self.unpaid.get((node, account), 0)
