# `make demo`: an image from nothing. `make test`: everything that CI runs.

.DEFAULT_GOAL := demo
SHELL := /bin/sh
IMGC := target/release/imgc
# How long programs are changed at random: the compiler must not panic, hang or lose a byte.
FUZZ_SECONDS := 120
FUZZ_SEED := 1
ifdef CI
export NEXTEST_PROFILE := ci
endif

.PHONY: demo test test-long fuzz check bench bench-kills bench-machines reference toolchain

toolchain:
	@scripts/toolchain.sh

## Installs what is missing, builds imgc, applies examples/web and says how to start what came out.
demo: toolchain
	@scripts/setup.sh demo
	cargo build --release --locked -p imgc
	@scripts/demo.sh $(IMGC)

## Everything CI runs.
test: toolchain
	@scripts/setup.sh test
	$(MAKE) check
	scripts/test.sh
	$(MAKE) fuzz

## Programs changed at random, for two minutes; part of `make test`.
fuzz: toolchain
	cargo run --quiet --locked -p imgc-fuzz -- $(FUZZ_SECONDS) $(FUZZ_SEED)

## What takes too long for every run: ten thousand edits of programs; a guest under emulation, edited and resumed.
test-long: toolchain
	@scripts/setup.sh test
	IMGC_EDITS=10000 cargo test --release --locked -p imgc-compiler --test incremental random_edits -- --nocapture
	cargo test --locked -p imgc --test qemu -- --ignored --nocapture

## Format, lints, documentation: warnings are errors.
check: toolchain
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
	scripts/dependencies.sh

## Writes docs/reference/ anew, from the compiler, the standard library and the command line.
reference: toolchain
	rm -rf docs/reference
	cargo run --locked -p imgc -- doc --std --out-dir docs/reference

## Virtual machines beside Packer: about half an hour where guests are emulated.
bench-machines: toolchain
	@scripts/setup.sh bench
	cargo bench --locked -p imgc --bench machines

## A thousand times `kill -9` at random moments, a hundred in each phase, shared by imgc, its group and its keeper.
bench-kills: toolchain
	IMGC_FAULT_KILLS=1000 cargo test --locked -p imgc --test faults random_kills -- --nocapture

## The table of docs/benchmarks.md.
bench: toolchain
	@scripts/setup.sh bench
	cargo build --release --locked -p imgc
	cargo bench --locked -p imgc --bench peers
	cargo bench --locked -p imgc-lsp --bench typing
	cargo bench --locked -p imgc --bench engine
	$(MAKE) bench-machines
	$(MAKE) bench-kills
