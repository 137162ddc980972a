"""The gateways: each with a directory, a configuration and a journal of its own, and with proxies before the database."""

import glob
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time

from common import PROGRAM, ROOT, Fault, children, fetch, has_ended, kill, until, wait_for_end
from database import DATABASE, USER
from partition import Proxy

JOURNAL = "ledger.db"
# Room for a gateway's files where its disk can be full.
DISK = 24 << 20


def token(account):
    return f"chaos-{account}"


def configuration(gateway, backend, accounts, terms, durability):
    """The configuration of one gateway. All of them differ in their addresses, and in how surely charges are kept."""
    hosts = ", ".join(f"'127.0.0.1:{proxy.port}'" for proxy in gateway.proxies)
    text = (
        f"listen: 127.0.0.1:{gateway.port}\nadmin: 127.0.0.1:{gateway.admin}\nworkers: 1\n"
        "public_url: https://api.example.com\npages: { serve: false }\n"
        f"upstreams: {{ lookup: {{ servers: [127.0.0.1:{backend}], ejection: {{ failures: 0 }} }} }}\n"
        "products:\n  phone:\n    upstream: lookup\n    routes: [POST /phone/validate/v2]\n"
        "    token_headers: [Auth-Token]\n    body: { schema: phone.schema.json }\n"
        "    credits: { hold: [{ add: 1 }], price: [{ add: 1 }] }\n"
        f"ledger: {{ file: {JOURNAL}, durability: {durability} }}\n"
        f"store: {{ postgres: {{ hosts: [{hosts}], database: {DATABASE}, user: {USER}, tls: off }} }}\n"
        f"cluster: {{ time_to_live: {terms['time_to_live']}s, replica_lag: {terms['replica_lag']}s }}\n"
        "accounts:\n"
    )
    for account, credits in accounts.items():
        digest = hashlib.sha256(token(account).encode()).hexdigest()
        text += (
            f"  {account}:\n    rate: {{ unlimited: true }}\n    credits: {{ phone: {credits} }}\n"
            f'    tokens: [{{ name: web, hash: "sha256:{digest}", products: [phone] }}]\n'
        )
    return text


class Journal:
    """A journal that has to be counted: of a gateway, or one that was lost or left. Rows up to `copied` are another
    one's."""

    def __init__(self, path, gateway, copied=0):
        self.path, self.gateway, self.copied = path, gateway, copied


class Gateway:
    """One gateway: a process or none, and what is on its disk."""

    def __init__(self, world, name, number, durability):
        self.world, self.name, self.number, self.durability = world, name, number, durability
        self.port, self.admin = world.ports.free(), world.ports.free()
        self.proxies = [Proxy(world.loop, world.ports.free(), server.port) for server in world.database.servers]
        self.directory = world.directory / name
        self.log = world.directory / f"{name}.log"
        self.journal = Journal(self.directory / JOURNAL, self)
        self.pid, self.started, self.mounted, self.lives, self.is_paused = None, 0.0, False, 0, False
        # When a process of it was killed: what its clients have had before may be missing in the journal.
        self.deaths = []
        self.lay_out()

    @property
    def config(self):
        return self.directory / "tollgate.yaml"

    def lay_out(self):
        """Makes the directory, with everything but a journal."""
        self.directory.mkdir(exist_ok=True)
        world = self.world
        text = configuration(self, world.backend.port, world.accounts, world.terms, self.durability)
        self.config.write_text(text)
        shutil.copy(ROOT / "config/phone.schema.json", self.directory)

    def start(self):
        self.lives += 1
        with self.log.open("ab") as log:
            log.write(f"--- start {self.lives}\n".encode())
            log.flush()
            words = [PROGRAM, "run", "--config", str(self.config)]
            self.pid = self.world.processes.start(words, stdout=log, stderr=log, cwd=self.directory)
        self.started = time.monotonic()

    def runs(self):
        return self.pid is not None and not has_ended(self.pid)

    def must_run(self):
        """A process that has ended by itself is a fault."""
        if self.pid is not None and has_ended(self.pid):
            self.pid = None
            raise Fault(f"{self.name} has ended by itself; its log ends with: {self.tail()}")

    def is_ready(self):
        found = fetch(self.admin, "GET", "/readyz", 1)
        return found is not None and found[0] == 200

    def wait_ready(self, seconds=60):
        def ready():
            self.must_run()
            return self.is_ready()

        until(f"{self.name} is ready", ready, seconds)

    def kill(self):
        """kill -9."""
        kill(self.pid, signal.SIGKILL)
        self.deaths.append(time.monotonic())
        self._end(10)

    def end(self):
        """Stops it in order, which has to work."""
        if self.pid is None:
            return
        kill(self.pid, signal.SIGTERM)
        self._end(60)

    def _end(self, seconds):
        if not wait_for_end(self.pid, seconds):
            raise Fault(f"{self.name} does not end within {seconds} s")
        self.pid, self.is_paused = None, False

    def pause(self):
        kill(self.pid, signal.SIGSTOP)
        self.is_paused = True

    def go_on(self):
        kill(self.pid, signal.SIGCONT)
        self.is_paused = False

    def upgrade(self, by_signal):
        """Hands over to a successor. Returns the process before, which may live on for a while; none if it has not."""
        before = self.pid
        if by_signal:
            kill(before, signal.SIGUSR2)
            try:
                until("a successor is there", lambda: children(before) or has_ended(before), 10)
                found = children(before)
                # It serves once the process before is about to end.
                until(f"{self.name} has handed over", lambda: has_ended(before), 45)
            except Fault:
                return None
            after = found[0] if found else None
        else:
            found = fetch(self.admin, "POST", "/upgrade", 45)
            if found is None or found[0] != 200:
                self.world.log(f"{self.name} is not upgraded: {found}")
                return None
            after = json.loads(found[1])["process"]
        if after is None or has_ended(after):
            return None
        self.pid, self.started = after, time.monotonic()
        return before

    def grant(self, account, credits, key):
        """Grants credits by the command line. Whether it says that it is done."""
        words = [PROGRAM, "credits", "grant", "--config", str(self.config), account, "phone", str(credits)]
        try:
            done = subprocess.run([*words, "--key", key, "--why", "campaign"], capture_output=True, text=True, timeout=30)
        except subprocess.TimeoutExpired:
            return False
        if done.returncode:
            self.world.log(f"grant to {account} by {self.name}: {(done.stderr or done.stdout).strip()}")
        return done.returncode == 0

    def lose_disk(self):
        """What is on its disk is gone, as far as it knows; it is kept beside for the count. It is not running."""
        lost = self.directory.with_name(f"{self.name}-lost-{self.lives}")
        self.directory.rename(lost)
        self.world.journals.append(Journal(lost / JOURNAL, self))
        self.lay_out()

    def copy_to(self, other):
        """Copies the journal of this one, which runs, at one moment: as a snapshot of its disk does."""
        self.pause()
        try:
            for name in glob.glob(f"{self.directory}/{JOURNAL}*"):
                if not name.endswith(".lock"):
                    shutil.copy(name, other.directory)
        finally:
            self.go_on()

    def put_on_small_disk(self):
        """Moves its directory, while it does not run, to a disk that can be filled. Whether that can be had."""
        aside = self.directory.with_suffix(".aside")
        self.directory.rename(aside)
        self.directory.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "chaos", str(self.directory)]
        self.mounted = subprocess.run(mount, capture_output=True).returncode == 0
        shutil.copytree(aside, self.directory, dirs_exist_ok=True)
        shutil.rmtree(aside)
        return self.mounted

    def fill_disk(self):
        with open(self.directory / "filler", "wb", buffering=0) as filler:
            for size in (1 << 16, 512):
                try:
                    while True:
                        filler.write(bytes(size))
                except OSError:
                    pass

    def empty_disk(self):
        (self.directory / "filler").unlink(missing_ok=True)

    def take_from_small_disk(self):
        """Moves its directory back, while it does not run."""
        if not self.mounted:
            return
        aside = self.directory.with_suffix(".aside")
        shutil.copytree(self.directory, aside, dirs_exist_ok=True)
        subprocess.run(["umount", "-l", str(self.directory)], check=True)
        self.mounted = False
        self.directory.rmdir()
        aside.rename(self.directory)

    def partition(self, how, *directions):
        for proxy in self.proxies:
            if how == "cut":
                proxy.cut()
            else:
                proxy.stall(*directions)

    def heal(self, late=False):
        for proxy in self.proxies:
            proxy.heal(late)

    def tail(self, size=1500):
        try:
            return self.log.read_text(errors="replace")[-size:]
        except OSError:
            return ""

    def status(self):
        """What `tollgate cluster status` prints, for whoever looks into a failure."""
        words = [PROGRAM, "cluster", "status", "--config", str(self.config)]
        environment = os.environ | {"USER": "chaos"}
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=20, env=environment)
        except subprocess.TimeoutExpired:
            return "no answer"
        return done.stdout + done.stderr
