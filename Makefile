# agentd: `make demo` and `make test` are all that a newcomer needs.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# One target folder for everything: llama.cpp takes minutes to build. Where the environment names a
# folder that outlives the checkout, it is used.
export CARGO_TARGET_DIR ?= $(CURDIR)/target
BIN := $(CARGO_TARGET_DIR)/release/agentd
# What the targets fetch and keep: the model of the tests, Python environments.
CACHE ?= $(CARGO_TARGET_DIR)/agentd-cache
MODELS := $(CACHE)/models
TEST_PYTHON := $(CACHE)/python/bin/python
MODEL_FILE := $(MODELS)/SmolLM2-135M-Instruct.Q4_1.gguf
# llama.cpp's own programs, to measure against.
PEER := $(CACHE)/peer

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: demo
demo: ## Build, install the model, and show a whole machine at work
	@scripts/setup build demo
	@cargo build --release -p agentd
	@$(BIN) model pull
	@$(BIN) demo

.PHONY: build
build: ## Build everything
	@scripts/setup build
	cargo build --release --workspace

.PHONY: test
test: ## Everything that CI checks, but for arm64
	@scripts/setup build demo test
	@scripts/test

.PHONY: lint
lint: ## fmt and clippy, warnings denied
	cargo fmt --check
	cargo clippy --release --workspace --all-targets -- --deny warnings

.PHONY: fuzz
fuzz: ## Feed damaged input to every parser, and random schemas to the grammars: N=100000 each, from SEED=1
	@AGENTD_FUZZ_N=$(or $(N),100000) AGENTD_FUZZ_SEED=$(or $(SEED),1) RUST_BACKTRACE=0 \
	    cargo test --quiet --release --workspace --test fuzz -- --nocapture
	@AGENTD_FUZZ_N=$(or $(N),100000) AGENTD_FUZZ_SEED=$(or $(SEED),1) RUST_BACKTRACE=0 \
	    cargo test --quiet --release -p agentd --lib what_is_written_under_any_schema -- --nocapture

.PHONY: bench
bench: $(MODEL_FILE) ## Measure latency, memory and start-up, and print them
	@scripts/setup build demo
	@cargo build --release --workspace
	@AGENTD_PEER=$(PEER) AGENTD_TEST_MODEL=$(MODEL_FILE) $(CARGO_TARGET_DIR)/release/bench $(BENCH_ARGS)

.PHONY: bench-engine
bench-engine: $(MODEL_FILE) ## Measure the model beside llama.cpp's own programs: BENCH_ARGS='--rounds 20'
	@scripts/setup build demo
	@CACHE=$(CACHE) scripts/peer-llama
	@cargo build --release --workspace
	@$(BIN) model pull --dir $(MODELS)
	@AGENTD_PEER=$(PEER) AGENTD_TEST_MODEL=$(MODEL_FILE) \
	    $(CARGO_TARGET_DIR)/release/bench --only engine $(BENCH_ARGS)

.PHONY: exam
exam: $(MODEL_FILE) ## Examine the model: EXAM_ARGS='--set unseen --failures wrong.jsonl'
	@scripts/setup build
	@cargo build --release --workspace
	@AGENTD_TEST_MODEL=$(MODEL_FILE) $(CARGO_TARGET_DIR)/release/exam $(EXAM_ARGS)

.PHONY: exam-bfcl
exam-bfcl: $(MODEL_FILE) ## The same with the Berkeley leaderboard's questions: BFCL_ARGS=--live EXAM_ARGS=--json
	@scripts/setup build demo
	@cargo build --release --workspace
	@python3 -B tests/exam/bfcl.py $(CACHE)/bfcl $(BFCL_ARGS)
	@AGENTD_TEST_MODEL=$(MODEL_FILE) $(CARGO_TARGET_DIR)/release/exam --cases $(CACHE)/bfcl/cases $(EXAM_ARGS)

.PHONY: dialects
dialects: ## Render tools with the chat templates of real models, which are fetched
	@scripts/setup build
	@CACHE=$(CACHE) scripts/dialects

.PHONY: tune-data
tune-data: ## Write training data: TUNE_ARGS='--seed 1 --toolsets 1000 --show 20'
	@python3 -B tools/tune/generate.py --out $(CARGO_TARGET_DIR)/tune.jsonl $(TUNE_ARGS)

.PHONY: tune
tune: $(MODEL_FILE) ## Train the default model's adapter, for hours: STEPS=900 SEED=1 TOOLSETS=1300 RUN=name
	@scripts/setup build
	@cargo build --release --workspace
	@MODEL=$(MODEL_FILE) scripts/tune $(TUNE_ARGS)

.PHONY: tune-own
tune-own: $(MODEL_FILE) ## Teach the model the words of one machine's people, a quarter of an hour: CONFIG=FILE
	@scripts/setup build
	@cargo build --release --workspace
	@$(BIN) tune --config $(or $(CONFIG),tests/tune/apple_store.toml) --out $(CACHE)/runs/own.gguf --work $(CACHE)/own $(TUNE_ARGS)

.PHONY: faults
faults: ## Break everything around the daemon: N=faults SEED=n CASE=n JOBS=n
	@scripts/setup build demo test
	@cargo build --release --workspace
	@$(CARGO_TARGET_DIR)/release/faults $(if $(N),--faults $(N)) $(if $(SEED),--seed $(SEED)) \
		$(if $(CASE),--case $(CASE)) $(if $(JOBS),--jobs $(JOBS)) $(FAULTS_ARGS)

.PHONY: arm64
arm64: ## Cross-build the daemon for arm64 with Debian's toolchain
	@scripts/setup build
	@scripts/arm64-toolchain
	@scripts/arm64-build

.PHONY: test-arm64
test-arm64: arm64 $(MODEL_FILE) ## Run the arm64 daemon under qemu: check, ask, one model command
	@AGENTD_TEST_MODEL=$(MODEL_FILE) scripts/arm64-test

.PHONY: arm64-variants
arm64-variants: $(MODEL_FILE) ## The same with kernels for each generation of processors beside it, tried as on a Pi 4 and a Pi 5
	@scripts/setup build
	@scripts/arm64-toolchain
	@scripts/arm64-build --variants
	@AGENTD_TEST_MODEL=$(MODEL_FILE) scripts/arm64-test --variants

.PHONY: yocto
yocto: ## Generate the crates list of the recipe from Cargo.lock
	scripts/yocto-crates

.PHONY: picture
picture: ## Record the demo's console as the picture in README
	@scripts/picture

.PHONY: clean
clean: ## Remove what was built
	cargo clean

$(MODEL_FILE):
	@scripts/setup build demo
	@cargo build --release -p agentd
	@$(BIN) model pull --dir $(MODELS)
