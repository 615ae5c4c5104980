# Bulkhead. Every target says what it does; `make` alone builds.
export CGO_ENABLED = 0
VERSION ?= $(shell git describe --tags --always 2>/dev/null || echo unknown)
GOBUILD = go build -trimpath -buildvcs=false
INIT = enforce/initbin/bulkhead-init

.PHONY: build
build: ## the static binary bin/bulkhead, and bin/bulkhead-runtime beside it
	$(GOBUILD) -ldflags "-s -w" -o $(INIT) ./cmd/bulkhead-init
	$(GOBUILD) -ldflags "-s -w -X main.version=$(VERSION)" -o bin/bulkhead ./cmd/bulkhead
	ln -sf bulkhead bin/bulkhead-runtime
