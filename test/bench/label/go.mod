module github.com/bulkhead-project/bulkhead/test/bench/label

go 1.26.6

require (
	github.com/bulkhead-project/bulkhead v0.0.0
	github.com/opencontainers/selinux v1.15.1
	golang.org/x/sys v0.49.0
)

require (
	github.com/cyphar/filepath-securejoin v0.5.1 // indirect
	github.com/go-json-experiment/json v0.0.0-20260820222146-c27c302e5fc3 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/moby/profiles/seccomp v0.2.3 // indirect
	github.com/opencontainers/runtime-spec v1.3.0 // indirect
)

replace github.com/bulkhead-project/bulkhead => ../../..
