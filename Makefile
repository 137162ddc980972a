# The two commands: `make run` and `make test`. Both install what a fresh Debian machine lacks.
.PHONY: run test crashes database-crashes lease-search chaos chaos-short chaos-measure hostile free-answers fuzz mutants coverage browse schemathesis deploy-check lint guards guard-instructions guard-syscalls bench \
	sbom bench-micro bench-metering bench-sight bench-journal bench-cluster bench-shadow bench-pages bench-portal bench-reload bench-changes bench-store bench-fairness pgo dist compilers tools venv program

# Pingora compiles zlib-ng, which needs cmake and a C compiler; the tests replay raw requests with
# a Python script, run the commands of the pages with curl, bound what the program may use with
# prlimit, move names with libnss-wrapper, and share a PostgreSQL of their own, with pgbouncer before it.
NEEDED_TO_BUILD := cmake:cmake cc:gcc c++:g++
NEEDED := $(NEEDED_TO_BUILD) python3:python3 prlimit:util-linux curl:curl pgbouncer:pgbouncer
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# The demo is there to be looked at: it is built in a quarter of the time of a release, and is slower than one.
run: compilers
	cargo run --profile demo --locked -- demo

test: tools
	cargo test --locked

# kill -9 at random moments, many more than the tests do: over lookups, quotas, management calls and imports.
crashes: tools
	TOLLGATE_CRASHES=$(or $(CRASHES),300) cargo test --locked --test crash -- --nocapture

# kill -9 of the store's database while nodes write: nothing that was confirmed is lost, nothing is done twice.
database-crashes: tools
	TOLLGATE_DATABASE_CRASHES=$(or $(CRASHES),100) cargo test --locked --lib a_server_that_is_killed -- --nocapture

# The protocol of leases in larger worlds than the tests have, of at most STATES states each, and in 1,000,000 random
# schedules, of which SCHEDULES run beside the centre in PostgreSQL as well. Optimised, but not across crates, which would
# take longer than it saves.
lease-search: tools
	CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 TOLLGATE_LEASE_STATES=$(or $(STATES),3000000) \
		cargo test --release --locked --lib ledger::lease -- --ignored --nocapture --test-threads 1
	TOLLGATE_LEASE_SCHEDULES=$(or $(SCHEDULES),1000) cargo test --locked --lib random_schedules_are_the_same -- --nocapture

# Faults while gateways share credits: kills, failovers, partitions, lost disks and more, compared with what a backend and
# clients have seen. ROUNDS, SEED, GATEWAYS, NEMESIS=kill,failover.
chaos: program
	chaos/run --rounds $(or $(ROUNDS),60) --gateways $(or $(GATEWAYS),3) $(if $(SEED),--seed $(SEED)) \
		$(if $(NEMESIS),--nemesis $(NEMESIS))

chaos-short: program
	chaos/run --short

# How long the last credits take, what an outage of the database refuses, and how long a failover takes.
chaos-measure: program
	chaos/run --measure last-credits
	chaos/run --measure outage
	chaos/run --measure failover

# Floods of HTTP/2 against the program, while good clients are measured, in the clear and over TLS, attacks before the
# first request, tries to get answers for nothing, and what the times of the portal tell of who is a user. FLOOD_SECONDS is
# for each attack, TIMED how many tokens have the times of their answers compared, and GUESSES how many users.
hostile: program venv
	@command -v openssl >/dev/null || \
		($(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends openssl)
	tests/hostile/run --seconds $(or $(FLOOD_SECONDS),3)
	tests/hostile/run --seconds $(or $(FLOOD_SECONDS),3) --tls
	tests/hostile/run doors --seconds $(or $(FLOOD_SECONDS),3) --tries $(or $(TIMED),3000)
	tests/hostile/run free --tries 500
	tests/hostile/run people --tries $(or $(GUESSES),200)

# The long form of the last: so many tries of each kind over HTTP/2, and a tenth of them over HTTP/1.
free-answers: program venv
	tests/hostile/run free --tries $(or $(TRIES),100000)

# Attacks on parsers by libFuzzer, an hour of each: SECONDS=30, JOBS=2 at a time, TARGETS="heads yaml". SEED=1
# tries the same each time. What is found is in fuzz/found.
fuzz: tools
	SECONDS_EACH=$(or $(SECONDS),3600) JOBS=$(or $(JOBS),2) TARGETS="$(TARGETS)" SEED=$(or $(SEED),0) fuzz/run

# Changes to policy/ and ledger/ that no test notices; SHARD=0/20 tries a twentieth of them. All take a day.
mutants: tools
	tests/rooms/mutants policy
	tests/rooms/mutants ledger

# Lines of policy/ and ledger/ that the tests run: by file, and at least 97 % of each.
coverage: tools
	tests/rooms/coverage

# Counts that do not depend on how busy the machine is, against those that are committed.
guards: guard-syscalls guard-instructions

guard-syscalls: program
	@command -v strace >/dev/null || \
		($(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends strace)
	tests/guards/syscalls.py

guard-instructions: tools
	@command -v valgrind >/dev/null || \
		($(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends valgrind)
	tests/guards/instructions.py

# Everything under deploy/ against the tools that will read it, and against a gateway that runs.
deploy-check: program venv
	deploy/check/run

# Every page of the demo in a real browser, with axe-core; pictures are left in target/browse.
browse: program
	@missing=""; \
	for pair in chromedriver:chromium-driver chromium:chromium npm:npm; do \
		command -v $${pair%%:*} >/dev/null 2>&1 || missing="$$missing $${pair##*:}"; \
	done; \
	if [ -n "$$missing" ]; then \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends $$missing; \
	fi
	tests/browse/run

# The OpenAPI document of the demo against the demo. EXAMPLES is for each operation and phase.
schemathesis: program venv
	EXAMPLES=$(or $(EXAMPLES),100) tests/schemathesis/run

# target/dist: a static binary in an archive, a package for Debian, an image for `docker load`, what is in them (CycloneDX),
# and their checksums. BINARY names a program that is there already, such as target/pgo/tollgate.
dist: compilers
	deploy/dist/run $(BINARY)

# Everything that is compiled into the program, as CycloneDX.
sbom: tools
	@mkdir -p target
	.ci/sbom > target/sbom.cdx.json
	@echo target/sbom.cdx.json

lint: tools
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

# Side by side with HAProxy, nginx and Envoy; see benches/README.md for what can be chosen. It runs no longer than it
# must with ONLY=tollgate,haproxy WORKLOADS=accepted,401 ROUNDS=3 SECONDS_A_ROUND=2.
bench: tools
	cargo build --release --locked
	python3 benches/peers

# target/pgo/tollgate: a release that is laid out after a profile of its own work. It takes fourteen minutes on two cores.
pgo: tools
	benches/pgo

# Single steps: judging a head, a body, an answer.
bench-micro: tools
	cargo bench --locked

# What counting credits costs, against the same lookup that is free.
bench-metering: tools
	cargo build --release --locked
	@command -v wrk >/dev/null && command -v haproxy >/dev/null || \
		($(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends wrk haproxy)
	python3 benches/metering.py batch each

# What seeing requests costs: figures, lines and spans, against as little of it as there can be.
bench-sight: tools
	cargo build --release --locked
	@command -v wrk >/dev/null && command -v haproxy >/dev/null || \
		($(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends wrk haproxy)
	python3 benches/sight.py

# What a candidate costs a lookup that judges beside the configuration in force.
bench-shadow: tools
	cargo build --release --locked
	@command -v wrk >/dev/null && command -v haproxy >/dev/null || \
		($(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends wrk haproxy)
	python3 benches/shadow.py

# What a lookup costs that is paid from a lease, beside one that is paid from a ledger alone.
bench-cluster: tools
	cargo build --release --locked
	@command -v wrk >/dev/null && command -v haproxy >/dev/null || \
		($(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends wrk haproxy)
	python3 benches/cluster.py

# What the journal costs a lookup, and how fast a million decisions are judged again.
bench-journal: tools
	cargo build --release --locked
	@command -v wrk >/dev/null && command -v haproxy >/dev/null && command -v zstd >/dev/null || \
		($(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends wrk haproxy zstd)
	python3 benches/journal.py

# What traffic on the pages costs lookups.
bench-pages: tools
	cargo build --release --locked
	@command -v wrk >/dev/null && command -v haproxy >/dev/null || \
		($(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends wrk haproxy)
	python3 benches/pages.py

# What a flood on the portal does to lookups.
bench-portal: tools
	cargo build --release --locked
	@command -v wrk >/dev/null && command -v haproxy >/dev/null || \
		($(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends wrk haproxy)
	python3 benches/portal.py

# What one noisy account does to 99 quiet ones when the backend is at its limit.
bench-fairness: tools
	cargo build --release --locked
	@command -v haproxy >/dev/null || \
		($(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends haproxy)
	python3 benches/fairness.py

# What reloads do to the requests beside them.
bench-reload: tools
	cargo build --release --locked
	@command -v haproxy >/dev/null || \
		($(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends haproxy)
	python3 benches/reload.py

# What a change of one of the store's accounts costs, with a million of them. ACCOUNTS, CHANGES, CHANGES_A_SECOND, SECONDS.
bench-changes: tools
	cargo bench --locked --bench changes

# Importing, exporting and starting with a million accounts of the store, and from a change to the refused lookup. ACCOUNTS, CHANGES.
bench-store: tools
	cargo build --release --locked
	python3 benches/store.py

# The program as the tests have it. With one of them beside it, cargo chooses the features of what both depend on for the
# tests as well; otherwise it would compile a third of it, and the program, once more for them.
program: tools
	cargo build --locked --bin tollgate --test alloc

# Packages of Python are installed beside the build, in environments of their own.
venv:
	@python3 -c 'import ensurepip' 2>/dev/null || \
		($(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends python3-venv)

compilers:
	@missing=""; \
	for pair in $(NEEDED_TO_BUILD); do \
		command -v $${pair%%:*} >/dev/null 2>&1 || missing="$$missing $${pair##*:}"; \
	done; \
	if [ -n "$$missing" ]; then \
		echo "installing:$$missing"; \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends $$missing; \
	fi

tools:
	@missing=""; \
	for pair in $(NEEDED); do \
		command -v $${pair%%:*} >/dev/null 2>&1 || missing="$$missing $${pair##*:}"; \
	done; \
	ls /usr/lib/*/libnss_wrapper.so >/dev/null 2>&1 || missing="$$missing libnss-wrapper"; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	if [ -n "$$missing" ]; then \
		echo "installing:$$missing"; \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends $$missing; \
	fi
