"""What a run may be told by its environment, and where its files are."""

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HERE = ROOT / "benches/peers"
TARGET = ROOT / "target/peers"
CONFIGS = HERE / "configs"

# Of each workload and contestant: how often, and how long each time.
ROUNDS = int(os.environ.get("ROUNDS", "7"))
SECONDS = int(os.environ.get("SECONDS_A_ROUND", "4"))
# Names, with commas between them; all of them when empty.
ONLY = [name for name in os.environ.get("ONLY", "").split(",") if name]
WORKLOADS = [name for name in os.environ.get("WORKLOADS", "").split(",") if name]
# Tokens that requests have, in turns, where there are so many.
TOKENS_IN_USE = int(os.environ.get("TOKENS_IN_USE", "1000"))
# A JSON access log on everywhere.
LOG = os.environ.get("LOG", "") == "1"
# Where the results go.
OUT = pathlib.Path(os.environ.get("OUT", TARGET / "results"))
# The program to measure.
TOLLGATE = pathlib.Path(os.environ.get("TOLLGATE", ROOT / "target/release/tollgate"))

# One core for who is measured, one for the load and the backend.
CONTESTANT_CORE = "0"
LOAD_CORE = "1"
CONNECTIONS = 64
IDLE_CONNECTIONS = 2000
MILLION = 1_000_000
THOUSAND = 1_000


def fill(name, directory, **words):
    """A file of configs/ with its @WORDS@ filled in."""
    text = (CONFIGS / name).read_text()
    for word, value in {"DIRECTORY": directory, **words}.items():
        text = text.replace(f"@{word}@", str(value))
    return text
