# Bulkhead. `make help` lists the targets.
SHELL := /bin/bash
export CGO_ENABLED = 0
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GO = go
GOBUILD = $(GO) build -trimpath -buildvcs=false
INIT = enforce/initbin/bulkhead-init
SHIELD = enforce/shield/program/bulkhead-shield
SUDO = $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# Debian packages of `make demo`, and of `make test` besides.
DEMO_PACKAGES = runc busybox-static
SECCOMP_PACKAGES = gcc libc6-dev libseccomp-dev pkg-config python3
APPARMOR_PACKAGES = apparmor apparmor-profiles apparmor-profiles-extra
SHIELD_PACKAGES = swtpm sqlite3 attr
SELINUX_PACKAGES = secilc setools libsepol-dev policycoreutils bzip2 checkpolicy libselinux1-dev python3-selinux
TEST_PACKAGES = $(DEMO_PACKAGES) $(SECCOMP_PACKAGES) $(APPARMOR_PACKAGES) crun docker.io '?docker-cli' containerd podman qemu-system-x86 $(SELINUX_PACKAGES) mmdebstrap strace perl etcd-server iproute2 $(SHIELD_PACKAGES)

# What a test inside a virtual machine runs on: LSM and KERNEL for `make vm`.
LSM ?= selinux
KERNEL ?= 6.12
# Debian 12 offers both, Debian 13 the second.
KERNELS ?= $(shell for version in 6.1 6.12; do apt-cache search --names-only "^linux-image-$${version//./\\.}\." 2>/dev/null | grep -q . && echo $$version; done)
PKG ?= ./internal/vm/selftest

.PHONY: help build demo test lint unit system guests vm fuzz bench bench-seccomp bench-apparmor bench-selinux bench-label bench-shield fuzz-seccomp soak-labels soak-shield clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

build: ## the static binary bin/bulkhead, and bin/bulkhead-runtime, the part of it that engines start
	$(GOBUILD) -ldflags "-s -w" -o $(INIT) ./cmd/bulkhead-init
	sha256sum <$(INIT) >$(INIT).sha256
	$(GOBUILD) -ldflags "-s -w" -o $(SHIELD) ./cmd/bulkhead-shield
	$(GOBUILD) -ldflags "-s -w -X main.version=$(VERSION)" -o bin/bulkhead ./cmd/bulkhead
	rm -f bin/bulkhead-runtime
	$(GOBUILD) -tags runtimeonly -ldflags "-s -w -X main.version=$(VERSION)" -o bin/bulkhead-runtime ./cmd/bulkhead

demo: build ## two confined containers that fail to reach each other and the host (as root; installs what it needs)
	$(SUDO) ./packages.sh $(DEMO_PACKAGES)
	$(SUDO) ./demo.sh bin/bulkhead

test: ## every test: pure ones, this kernel, the engines, and virtual machines (as root; installs what it needs)
	$(SUDO) ./packages.sh $(TEST_PACKAGES)
	$(MAKE) lint unit system guests

lint: ## gofmt and vet
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "gofmt: $$unformatted"; exit 1; }
	$(GO) vet ./...

unit: build ## packages, on this machine alone
	$(SUDO) env PATH="$$PATH" CGO_ENABLED=0 HOME="$$HOME" $(GO) test -count=1 $$($(GO) list ./... | grep -vE '/test/|internal/vm/selftest')

system: build ## the whole program on this kernel, and under Debian's docker, podman and containerd
	$(SUDO) env PATH="$$PATH" CGO_ENABLED=0 HOME="$$HOME" BULKHEAD_BIN=$(CURDIR)/bin/bulkhead \
		$(GO) test -count=1 -p 1 -timeout 20m ./test/cli ./test/isolation ./test/input ./test/stress ./test/mcs ./test/seccomp/... ./test/selinux ./test/selinux/cil ./test/engines ./test/shield/...
	@set -o pipefail; $(SUDO) env PATH="$$PATH" CGO_ENABLED=0 HOME="$$HOME" BULKHEAD_BIN=$(CURDIR)/bin/bulkhead \
		$(GO) test -count=1 -v -timeout 20m ./test/apparmor | grep -vE '^(=== | *--- PASS|PASS$$)' # the scores are in the log

STARTS ?= 10000
soak-labels: build ## STARTS containers, a third of them killed with -9: no pair twice, none left (as root)
	$(SUDO) ./packages.sh $(DEMO_PACKAGES)
	$(SUDO) env PATH="$$PATH" CGO_ENABLED=0 HOME="$$HOME" BULKHEAD_BIN=$(CURDIR)/bin/bulkhead $(GO) test -count=1 -v -timeout 0 ./test/stress -starts $(STARTS)

SOAK ?= 1h
soak-shield: build ## random operations on a file, then random system calls beside this machine's file system, each for SOAK; then power cuts (as root)
	$(SUDO) ./packages.sh $(DEMO_PACKAGES) $(SHIELD_PACKAGES)
	$(SUDO) env PATH="$$PATH" CGO_ENABLED=0 HOME="$$HOME" BULKHEAD_BIN=$(CURDIR)/bin/bulkhead \
		$(GO) test -count=1 -v -timeout 0 -run TestRandomOperationsOnAFile ./test/shield -exercise $(SOAK)
	$(SUDO) env PATH="$$PATH" CGO_ENABLED=0 HOME="$$HOME" $(GO) test -count=1 -v -timeout 0 ./test/shield/posix -duration $(SOAK) -seed $$(date +%s)
	$(SUDO) env PATH="$$PATH" CGO_ENABLED=0 HOME="$$HOME" $(GO) test -count=1 -v -timeout 0 ./test/shield/powercut -points 10000
	$(GO) test -count=1 -v -timeout 0 -run 'PowerCut|Kill' ./shield/store -crashes 5000

bin/vm: $(wildcard internal/vm/*.go internal/vm/*/*.go)
	$(GOBUILD) -o bin/vm ./internal/vm/run

vm: build bin/vm ## tests of one package in a virtual machine: make vm LSM=selinux KERNEL=6.12 PKG=./test/guest
	$(GO) test -count=1 -exec "$(CURDIR)/bin/vm --lsm $(LSM) --kernel $(KERNEL) --fail-on-skip \
		$(addprefix --profile ,$(wildcard $(PKG:./%=$(CURDIR)/%)/testdata/*.profile)) \
		--add /usr/sbin/runc --add /usr/bin/crun --add $(CURDIR)/bin/bulkhead:/usr/bin/bulkhead \
		--add $(CURDIR)/bin/bulkhead-runtime:/usr/bin/bulkhead-runtime" $(PKG)

guests: build bin/vm ## the whole program in virtual machines: SELinux, AppArmor and neither, on every Debian kernel that apt offers
	BULKHEAD_VM_HOST=1 $(GO) test -count=1 ./internal/vm
	@for kernel in $(KERNELS); do for lsm in selinux apparmor none; do \
		$(MAKE) --no-print-directory vm LSM=$$lsm KERNEL=$$kernel PKG=./internal/vm/selftest || exit 1; done; done
	@for lsm in selinux apparmor; do $(MAKE) --no-print-directory vm LSM=$$lsm PKG=./selinux || exit 1; done
	./test/apparmor/guest/run.sh "$(KERNELS)"
	BULKHEAD_BIN=$(CURDIR)/bin/bulkhead ./test/selinux/guest/run.sh "$(KERNELS)"
	BULKHEAD_BIN=$(CURDIR)/bin/bulkhead ./test/selinux/modules/run.sh "$(KERNELS)"
	BULKHEAD_BIN=$(CURDIR)/bin/bulkhead ./test/selinux/container/run.sh "$(KERNELS)"
	BULKHEAD_BIN=$(CURDIR)/bin/bulkhead ./test/selinux/labels/run.sh "$(KERNELS)"
	BULKHEAD_BIN=$(CURDIR)/bin/bulkhead ./test/guest/run.sh "" "$(KERNELS)"

FUZZTIME ?= 10s
fuzz: build ## every fuzz target for FUZZTIME
	@for package in $$($(GO) list ./...); do for target in $$($(GO) test -list '^Fuzz' $$package | grep ^Fuzz); do \
		echo "$$package $$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$package || exit 1; done; done

bench: build ## what confinement costs: CPU time beside plain runc, in alternating runs (as root)
	$(SUDO) ./packages.sh $(DEMO_PACKAGES)
	$(SUDO) env PATH="$$PATH" CGO_ENABLED=0 $(GO) run ./test/bench -runtime bin/bulkhead-runtime | tee test/bench/RESULTS.md

bench-seccomp: ## what filters cost beside libseccomp's, runc's, gVisor's and elastic's: to compile, to install, to run (as root)
	$(SUDO) ./packages.sh $(SECCOMP_PACKAGES)
	cd test/bench/seccomp && CGO_ENABLED=1 $(GOBUILD) -tags seccomp -o $(CURDIR)/bin/bench-seccomp .
	set -o pipefail; $(SUDO) bin/bench-seccomp | tee test/bench/seccomp/RESULTS.md

bench-selinux: build ## what a policy costs to load, to ask and to search beside libsepol and setools, in alternating runs
	$(SUDO) ./packages.sh gcc libc6-dev $(SELINUX_PACKAGES)
	CGO_ENABLED=0 $(GO) run ./test/bench/selinux | tee test/bench/selinux/RESULTS.md

bench-label: ## relabelling beside chcon and go-selinux, and pairs taken and freed (as root)
	cd test/bench/label && CGO_ENABLED=0 $(GOBUILD) -o $(CURDIR)/bin/bench-label .
	set -o pipefail; $(SUDO) bin/bench-label | tee test/bench/label/RESULTS.md

bench-shield: build ## what a shielded volume costs beside the file system that it lies on and Debian's gocryptfs, in alternating rounds (as root)
	$(SUDO) ./packages.sh sqlite3 gocryptfs fuse3
	set -o pipefail; $(SUDO) env PATH="$$PATH" CGO_ENABLED=0 HOME="$$HOME" $(GO) run ./test/bench/shield | tee test/bench/shield/RESULTS.md

bench-apparmor: build ## what compiling AppArmor policy costs beside Debian's apparmor_parser, in alternating runs
	$(SUDO) ./packages.sh $(APPARMOR_PACKAGES)
	set -o pipefail; $(GO) run ./test/bench/apparmor -bulkhead bin/bulkhead | tee test/bench/apparmor/RESULTS.md

PROFILES ?= 1000000
fuzz-seccomp: ## PROFILES random profiles against their meaning, a fifth of them against libseccomp
	$(SUDO) ./packages.sh $(SECCOMP_PACKAGES)
	$(GO) test -count=1 -timeout 0 -v -run 'TestFiltersMeanWhatProfilesSay|TestDisagreementsWithLibseccompHaveNames' ./test/seccomp -profiles $(PROFILES)

clean: ## what was built
	rm -rf bin $(INIT) $(INIT).sha256 $(SHIELD)
