// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/oci"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
	"github.com/bulkhead-project/bulkhead/source"
)

// Exit statuses, see `bulkhead --help`.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitUnavailable = 3
	exitRefused     = 4
	exitNotStarted  = 125 // of run and exec, as docker: Bulkhead itself failed
)

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// classify returns the exit status of an error and the hint that goes with it. failed is the status of an error that is of no special kind.
func classify(err error, failed int) (status int, hint string) {
	var (
		unavailable *plan.UnavailableError
		refused     *plan.RefusedError
		option      *plan.OptionError
		command     *oci.UsageError
		label       *selinux.ParseError
		inner       *oci.InnerError
		config      *oci.ConfigError
		mismatch    *container.MismatchError
		shielded    *container.ShieldError
		named       hinted
		lost        *mcs.ClusterError
		conflict    *mcs.ConflictError
	)
	if status, hint, known := classifyEngine(err, failed); known {
		return status, hint
	}
	switch {
	case errors.As(err, &unavailable):
		return exitUnavailable, unavailable.Hint
	case errors.As(err, &mismatch):
		return exitUnavailable, "the host's kernel or OCI runtime did not apply the layer; nothing runs"
	case errors.As(err, &lost):
		return exitUnavailable, `containers that run go on; new ones wait until the etcd of "etcd" in ` + container.ConfigFile + " answers"
	case errors.As(err, &conflict):
		return exitUnavailable, "remove the container here, or release its pair; nothing new is started beside it"
	case errors.Is(err, kernel.ErrNotSupported):
		return exitUnavailable, "`bulkhead check` lists what this kernel has"
	case errors.As(err, &shielded):
		return failed, shielded.Hint
	case errors.As(err, &refused):
		return exitRefused, refused.Hint
	case errors.As(err, &option):
		return exitUsage, option.Hint
	case errors.As(err, &command):
		return exitUsage, command.Hint
	case errors.As(err, &label):
		return exitUsage, label.Hint
	case errors.As(err, &inner):
		return failed, "apt-get install runc (or name one in " + container.ConfigFile + ` as {"runtime": "/path"})`
	case errors.As(err, &config):
		return failed, "a bundle's config.json is one OCI runtime configuration, such as `runc spec` writes"
	case errors.Is(err, container.ErrUnknown):
		return failed, "only what bulkhead-runtime created under the same --root is known"
	case errors.Is(err, mcs.ErrFull):
		return failed, "`bulkhead label mcs ls` says who has them; widen \"ranges\" in " + container.ConfigFile + ", or remove containers"
	case errors.As(err, &named):
		return failed, named.hint
	case errors.Is(err, fs.ErrPermission):
		return failed, "run as root"
	default:
		return failed, ""
	}
}

// report prints an error as every verb does, and returns the exit status.
func report(stderr io.Writer, err error, failed int) int {
	status, hint := classify(err, failed)
	var findings source.Diagnostics
	if errors.As(err, &findings) && err.Error() == findings.Error() { // about a text: each has its own place
		for _, finding := range findings {
			fmt.Fprintf(stderr, "bulkhead: error: %s\n", oneLine(finding.Error()))
		}
	} else {
		fmt.Fprintf(stderr, "bulkhead: error: %s\n", oneLine(err.Error()))
	}
	if hint != "" {
		fmt.Fprintf(stderr, "bulkhead: hint: %s\n", hint)
	}
	return status
}

func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' }), "; ")
}
