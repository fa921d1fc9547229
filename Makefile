# What a stranger needs: `make demo` and `make test`. Both install what is missing.

GUESTS = target/guests/wasm32-wasip2/guest
TESTBED_ALTERED = target/guests-altered/wasm32-wasip2/guest/testbed.wasm
GUEST_BUILD = cargo build --locked --quiet --profile guest --target wasm32-wasip2

.PHONY: demo test lint setup guests bench

demo: setup guests ## run an agent that is killed while it waits for people (KEEP=1: leave the host running)
	cargo build --locked --quiet --package countersign
	target/debug/countersign demo --agents $(GUESTS) $(if $(KEEP),--keep)

test: setup guests ## run all tests, on a private Postgres
	cargo test --locked --workspace --exclude publish-with-review --exclude publisher --exclude testbed

lint: setup ## check formatting, lints and documentation
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --no-deps --package countersign --package countersign-sdk --quiet

bench: setup guests ## measure, and print ratios
	cargo run --locked --release --package countersign-tests --bin bench

guests:
	CARGO_TARGET_DIR=target/guests $(GUEST_BUILD) --package publish-with-review --package publisher --package testbed
	CARGO_TARGET_DIR=target/guests-altered $(GUEST_BUILD) --package testbed --features testbed/altered

setup: ## install the wasm32-wasip2 target and PostgreSQL, where they are missing
	@sh scripts/setup
