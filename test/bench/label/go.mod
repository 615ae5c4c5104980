module github.com/bulkhead-project/bulkhead/test/bench/label

go 1.26.6

require (
	github.com/bulkhead-project/bulkhead v0.0.0
	github.com/opencontainers/selinux v1.15.1
	golang.org/x/sys v0.49.0
)

require github.com/cyphar/filepath-securejoin v0.5.1 // indirect

replace github.com/bulkhead-project/bulkhead => ../../..
