# What a stranger needs: `make demo` and `make test`. Both install what is missing.

GUESTS = target/guests/wasm32-wasip2/guest
# The language of the demo's agent. It shares its name with the locale, which is none of ours.
LANGUAGE := $(filter python typescript,$(LANG))
override LANG := C.UTF-8
export LANG
TESTBED_ALTERED = target/guests-altered/wasm32-wasip2/guest/testbed.wasm
# Of the whole workspace, as `cargo test`, so that dependencies are built once, with the same features.
HOST_BUILD = cargo build --locked --workspace --bin countersign
RUST_AGENTS = daily-digest deployment-approval publish-with-review publisher smuggler stand-ins testbed
# How long `make fuzz` gives each of its targets.
FUZZ_SECONDS ?= 120
GUEST_BUILD = cargo build --locked --profile guest --target wasm32-wasip2

.PHONY: demo test count fuzz lint setup guests rust-guests docs bench

# KEEP=1: leave the host running. LANG=python or LANG=typescript: with the agent in that language.
demo: setup $(if $(LANGUAGE),guests,rust-guests) ## run an agent that is killed while it waits for people
	$(HOST_BUILD)
	target/debug/countersign demo --agents $(GUESTS) $(if $(KEEP),--keep) \
		$(if $(LANGUAGE),--pipeline $(GUESTS)/publish_with_review_$(LANGUAGE).wasm)

test: setup guests ## run all tests, on a private Postgres
	$(HOST_BUILD)
	@sh scripts/test-sdks
	cargo test --locked --workspace

count: setup rust-guests ## count the instructions of a replayed step, and fail if they are a tenth more than they were
	@sh scripts/count

fuzz: setup guests ## look for longer for what breaks: requests and uploads by chance, and what strangers send, for FUZZ_SECONDS each
	$(HOST_BUILD)
	SCHEMATHESIS_SECONDS=$(FUZZ_SECONDS) cargo test --locked --workspace --test it -- contract::
	MALFORMED_REQUESTS=20000 cargo test --locked --workspace --test it -- malformed::
	CHANCE_UPLOADS=2500 cargo test --locked --workspace --test it -- zoo::chance::
	@sh scripts/fuzz $(FUZZ_SECONDS)

lint: setup ## check formatting, lints, documentation and dependencies
	@sh scripts/setup-sdks
	@sh scripts/lint-sdks
	@python3 scripts/check-dependencies
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --no-deps --document-private-items --workspace --quiet

docs: ## write docs/cli.md anew, from the code
	COUNTERSIGN_WRITE_DOCS=1 cargo test --locked --workspace --lib --quiet -- reference

# QUICK=1: in 90 seconds, with less of everything. PART=resume or another name: that alone.
bench: setup guests ## measure a host beside the same flow written by hand: a table, target/bench/results.json and a picture
	cargo build --locked --release --workspace --bin countersign --bin bench
	$(if $(QUICK),QUICK=1) COUNTERSIGN_BIN=$(CURDIR)/target/release/countersign target/release/bench $(PART)

guests: rust-guests
	@sh scripts/setup-sdks
	@sh scripts/guests $(GUESTS)

rust-guests:
	CARGO_TARGET_DIR=target/guests $(GUEST_BUILD) $(addprefix --package ,$(RUST_AGENTS))
	CARGO_TARGET_DIR=target/guests-altered $(GUEST_BUILD) --package testbed --features testbed/altered

setup: ## install the wasm32-wasip2 target and PostgreSQL, where they are missing
	@sh scripts/setup
