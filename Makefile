# Commonplace. `make run` to try it, `make test` to trust it.

BIN     := target/release/commonplace
LISTEN  ?= 127.0.0.1:8080
DATA    ?= ./data
SEED    ?= 1
SEEDS   ?= 20000
SECONDS ?= 600
ROUNDS  ?= 20
Y_SWEET := target/bench/y-sweet/bin/y-sweet
FUZZ_TARGETS = $(basename $(notdir $(wildcard tests/fuzz/fuzz_targets/*.rs)))

.PHONY: help run build web test test-rust test-web test-vectors test-clients test-browser test-fuzz check sim kills redis-faults bench bench-profile bench-build fuzz fuzz-seeds fuzz-each clean need-rust need-node test-tools

help: ## This list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: build ## Builds everything and serves the sandbox from ./data; prints the address.
	$(BIN) serve --open --listen $(LISTEN) --data $(DATA)

build: web need-rust ## Leaves target/release/commonplace, the web client inside it.
	cargo build --release --locked --package commonplace

web: web-client/dist/index.html

web-client/dist/index.html: web-client/node_modules/.package-lock.json $(shell find web-client/src web-client/public -type f 2>/dev/null) web-client/index.html web-client/vite.config.ts | need-node
	cd web-client && npm run build

web-client/node_modules/.package-lock.json: web-client/package-lock.json | need-node
	cd web-client && npm ci --no-audit --no-fund
	@touch $@

protocol/vectors/node_modules/.package-lock.json: protocol/vectors/package-lock.json | need-node
	cd protocol/vectors && npm ci --no-audit --no-fund
	@touch $@

tests/gate-yjs/node_modules/.package-lock.json: tests/gate-yjs/package-lock.json | need-node
	cd tests/gate-yjs && npm ci --no-audit --no-fund
	@touch $@

tests/clients/node_modules/.package-lock.json: tests/clients/package-lock.json | need-node
	cd tests/clients && npm ci --no-audit --no-fund
	@touch $@

tests/bench/peers/node_modules/.package-lock.json: tests/bench/peers/package-lock.json | need-node
	cd tests/bench/peers && npm ci --no-audit --no-fund
	@touch $@

tests/browser/node_modules/.package-lock.json: tests/browser/package-lock.json | need-node
	cd tests/browser && npm ci --no-audit --no-fund
	@touch $@

test: build test-rust test-vectors test-web test-clients test-browser test-fuzz ## Everything. Installs what only tests need.

# The fault tests kill the program of the test profile and not the released one: it checks itself as it goes.
test-rust: need-rust tests/gate-yjs/node_modules/.package-lock.json ## Unit, contract, gate, simulation, socket and fault tests.
	@tests/install-tools redis-server:redis-server strace:strace unshare:util-linux mount:mount
	cargo build --locked --package commonplace
	COMMONPLACE_BIN=$(CURDIR)/target/debug/commonplace cargo test --workspace --locked

test-vectors: protocol/vectors/node_modules/.package-lock.json ## The golden bytes, read by today's JavaScript libraries.
	cd protocol/vectors && npm test

test-web: web-client/node_modules/.package-lock.json ## The web client's own tests.
	cd web-client && npm test

test-clients: build tests/clients/node_modules/.package-lock.json ## Real Yjs clients from npm against the built binary.
	cd tests/clients && COMMONPLACE_BIN=$(CURDIR)/$(BIN) npm test

test-browser: build test-tools tests/browser/node_modules/.package-lock.json tests/clients/node_modules/.package-lock.json ## Real browsers against the built binary.
	cd tests/browser && COMMONPLACE_BIN=$(CURDIR)/$(BIN) npm test

check: need-rust web-client/node_modules/.package-lock.json ## Formatting, lints and types; all warnings are errors.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cd web-client && npm run check

sim: need-rust ## A long simulation: make sim SEEDS=20000 SEED=1
	SIM_FIRST_SEED=$(SEED) SIM_SEEDS=$(SEEDS) cargo test --release --package commonplace-tests --test sim -- --nocapture

kills: need-rust ## Kill the server again and again while people write: make kills ROUNDS=20 (of 60 kills each)
	cargo build --locked --package commonplace
	FAULTS_ROUNDS=$(ROUNDS) cargo test --locked --package commonplace-tests --test faults kill:: -- --nocapture

redis-faults: need-rust ## Everything that can happen between servers and Redis, more often: make redis-faults ROUNDS=20
	@tests/install-tools redis-server:redis-server
	cargo build --locked --package commonplace
	FAULTS_ROUNDS=$(ROUNDS) cargo test --locked --package commonplace-tests --test redis_faults -- --nocapture

bench: bench-build tests/bench/peers/node_modules/.package-lock.json $(Y_SWEET) ## What an edit costs, here and elsewhere: make bench [WORK="plenary idle"] [QUICK=1]
	@tests/install-tools redis-server:redis-server
	QUICK="$(QUICK)" SERVERS="$(SERVERS)" target/release/commonplace-bench $(WORK)

bench-profile: bench-build ## Where the server's core goes: make bench-profile WORK="plenary idle"
	@tests/install-tools perf:linux-perf
	target/release/commonplace-bench profile $(or $(WORK),plenary idle)

bench-build: build
	cargo build --release --locked --package commonplace-bench

# One of the other servers, from source. Where it cannot be built the benchmark leaves it out and says so.
$(Y_SWEET):
	-cargo install y-sweet --locked --version 0.9.1 --root target/bench/y-sweet

# The fuzz targets are libFuzzer programs that build on the stable compiler (flags in tests/fuzz/.cargo/config.toml); `cargo fuzz` runs them too.
test-fuzz: fuzz-seeds ## A few seconds of each fuzz target.
	@$(MAKE) --no-print-directory fuzz-each FUZZ_SECONDS=5

fuzz: fuzz-seeds ## A long run of each fuzz target: make fuzz SECONDS=600
	@$(MAKE) --no-print-directory fuzz-each FUZZ_SECONDS=$(SECONDS)

fuzz-seeds: need-rust protocol/vectors/node_modules/.package-lock.json
	node protocol/vectors/seeds.mjs
	cd tests/fuzz && cargo build --release --locked

fuzz-each:
	cd tests/fuzz && for target in $(FUZZ_TARGETS); do \
	  echo "fuzzing $$target for $(FUZZ_SECONDS) s"; mkdir -p corpus/$$target; \
	  cargo run --quiet --release --locked --bin $$target -- -max_total_time=$(FUZZ_SECONDS) -verbosity=0 -print_final_stats=1 corpus/$$target || exit 1; \
	done

clean: ## Removes what was built. Leaves ./data alone.
	cargo clean
	rm -rf web-client/dist web-client/node_modules tests/clients/node_modules tests/browser/node_modules tests/bench/peers/node_modules tests/fuzz/target

need-rust:
	@command -v cargo >/dev/null || { echo "Commonplace needs Rust 1.95 or later (cargo was not found). Install it from your distribution or with rustup, then run make again."; exit 1; }

need-node:
	@command -v node >/dev/null || { echo "Commonplace needs Node.js 20 or later to build its web client (node was not found). Install the package nodejs, then run make again."; exit 1; }
	@command -v npm >/dev/null || { echo "Commonplace needs npm to build its web client (npm was not found). Install the package npm, then run make again."; exit 1; }

test-tools:
	@tests/install-tools chromium:chromium redis-server:redis-server
