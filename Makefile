# The two commands: `make run` and `make test`. Both install what a fresh Debian machine lacks.
.PHONY: run test hostile browse schemathesis lint bench bench-metering bench-pages tools

# Pingora compiles zlib-ng, which needs cmake and a C compiler; the tests replay raw requests with
# a Python script, run the commands of the pages with curl, and bound what the program may use with prlimit.
NEEDED := cmake:cmake cc:gcc c++:g++ python3:python3 prlimit:util-linux curl:curl
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

run: tools
	cargo run --release --locked -- demo

test: tools
	cargo test --locked

# Floods of HTTP/2 against the program, while good clients are measured. FLOOD_SECONDS is for each attack.
hostile: tools
	@python3 -c 'import ensurepip' 2>/dev/null || \
		($(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends python3-venv)
	cargo build --locked
	tests/hostile/run --seconds $(or $(FLOOD_SECONDS),3)

# Every page of the demo in a real browser, with axe-core; pictures are left in target/browse.
browse: tools
	@command -v chromedriver >/dev/null && command -v chromium >/dev/null && command -v npm >/dev/null || \
		($(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends chromium chromium-driver npm)
	cargo build --locked
	tests/browse/run

# The OpenAPI document of the demo against the demo. EXAMPLES is for each operation and phase.
schemathesis: tools
	@python3 -c 'import ensurepip' 2>/dev/null && command -v curl >/dev/null || \
		($(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends python3-venv curl)
	cargo build --locked
	EXAMPLES=$(or $(EXAMPLES),100) tests/schemathesis/run

lint: tools
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

bench: tools
	cargo bench --locked

# What counting credits costs, against the same lookup that is free.
bench-metering: tools
	cargo build --release --locked
	@command -v wrk >/dev/null && command -v haproxy >/dev/null || \
		($(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends wrk haproxy)
	python3 benches/metering.py batch each

# What traffic on the pages costs lookups.
bench-pages: tools
	cargo build --release --locked
	@command -v wrk >/dev/null && command -v haproxy >/dev/null || \
		($(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends wrk haproxy)
	python3 benches/pages.py

tools:
	@missing=""; \
	for pair in $(NEEDED); do \
		command -v $${pair%%:*} >/dev/null 2>&1 || missing="$$missing $${pair##*:}"; \
	done; \
	if [ -n "$$missing" ]; then \
		echo "installing:$$missing"; \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends $$missing; \
	fi
