# The front door. Each target says in one line what it does; `make help` prints those lines.
# Everything is built by CMake (CMakePresets.json) into build/ (shipped) or build-PRESET/.

SHELL := /bin/sh
PREFIX ?= /usr/local
DESTDIR ?=
SECONDS_EACH ?= 20
KERNELS ?= 6.1
export LC_ALL := C.UTF-8

.DEFAULT_GOAL := help
.PHONY: help deps build run test lint asan tsan fuzz fuzz-long bench soak test-kernels test-cluster image install fmt clean \
	deps-run deps-test deps-lint deps-bench deps-kernels deps-cluster

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install every package that building, testing and the demo need; starts and enables no service
	@scripts/deps build demo test lint

deps-run:
	@scripts/deps build demo
deps-test:
	@scripts/deps build demo test lint
deps-bench:
	@scripts/deps build demo bench
deps-kernels:
	@scripts/deps build demo kernels
deps-cluster:
	@scripts/deps build demo cluster

build: ## release binaries in build/bin
	@scripts/deps build
	@scripts/build release programs
	@scripts/check-hardening build/bin

run: deps-run ## install what is missing, build, run Kelpie with a demo workload and show live requests
	@scripts/build release programs
	@scripts/demo

test: deps-test ## build and run the whole suite; the last line counts passed, failed, skipped
	@scripts/run-tests

lint: deps-test ## every static check: layers, headers, format, tidy, complexity, words
	@scripts/build dev
	@scripts/lint

asan: deps-test ## the tests that need no root, under the address and undefined-behaviour sanitizers
	@scripts/run-tests asan

tsan: deps-test ## the tests that need no root, under the thread sanitizer
	@scripts/run-tests tsan

fuzz: deps-test ## every fuzz target for SECONDS_EACH (20) seconds, starting from the corpus
	@scripts/fuzz --seconds $(SECONDS_EACH)

fuzz-long: deps-test ## every fuzz target for 2 CPU-hours; adds to docs/evidence/fuzz.md
	@scripts/fuzz --cpu-seconds 7200 --evidence docs/evidence/fuzz.md

bench: deps-bench ## costs and speeds against their budgets; writes docs/performance.md
	@scripts/build release
	@tests/bench/run

soak: deps-run ## two hours of load while memory, descriptors and threads are watched
	@scripts/build release programs
	@scripts/soak

test-kernels: deps-kernels ## boot Debian's own kernels (KERNELS=6.1; also 5.10 6.12) in QEMU and run the smoke test
	@scripts/build release programs
	@tests/kernels/run $(KERNELS)

test-cluster: deps-cluster ## a Kubernetes of two nodes on this machine, and Kelpie in its pods (first: 9 minutes of compiling)
	@scripts/build release programs
	@tests/cluster/build || [ $$? -eq 3 ] # then the test says why, and is skipped
	@ctest --test-dir build -L cluster --verbose

image: build ## one small OCI image with the three programs, build/kelpie-image.tar; no container engine needed
	@deploy/image/build build/bin build/kelpie-image.tar

install: ## install under DESTDIR and PREFIX (/usr/local) what `make build` built
	@scripts/deps build
	@scripts/build release programs
	@DESTDIR="$(DESTDIR)" cmake --install build --prefix "$(PREFIX)" --strip

fmt: ## format the C files that differ from HEAD
	@scripts/check-format --fix

clean: ## remove what was built
	rm -rf build build-dev build-asan build-tsan build-fuzz build-cov build-nobpf
