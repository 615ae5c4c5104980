// SPDX-License-Identifier: Apache-2.0

package engines

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// boundingBit reports whether this process could give the capability away.
func boundingBit(t *testing.T, capability int) bool {
	t.Helper()
	held, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(capability), 0, 0, 0)
	if err != nil {
		return false // unknown to the kernel
	}
	return held == 1
}

// testCapabilities shows that what the program inside is lent until the start of the container's own program never shows in it: all sets,
// no_new_privs and the seccomp mode are what runc alone gives for the same command line.
func (e *engine) testCapabilities(t *testing.T) {
	for _, options := range []string{
		"", "-u 1000", "--cap-drop ALL", "--cap-add SYS_ADMIN", "--cap-drop ALL --cap-add SETPCAP", "-u 1000 --cap-add NET_ADMIN --security-opt no-new-privileges",
	} {
		t.Run("the lent capabilities never show: run "+options, func(t *testing.T) {
			fields := strings.Fields(options)
			same(t, e.run(t, ours, slices.Concat(fields, []string{image, "probe"})...), e.run(t, plain, slices.Concat(fields, []string{image, "probe"})...))
			mine, theirs := e.sleeper(t, ours, fields...), e.sleeper(t, plain, fields...)
			for _, added := range []string{"", "-u 1000", "--privileged"} {
				t.Run("exec "+added, func(t *testing.T) {
					words := slices.Concat([]string{"exec"}, strings.Fields(added))
					same(t, e.do(t, slices.Concat(words, []string{mine, "probe"})...), e.do(t, slices.Concat(words, []string{theirs, "probe"})...))
				})
			}
		})
	}
}

// same compares what the probe says of the process. Where runc can start none, as exec --privileged on a host without every capability, there
// must be none here either.
func same(t *testing.T, mine, theirs result) {
	t.Helper()
	if theirs.status != 0 {
		if mine.status != theirs.status {
			t.Errorf("exit status %d, under runc %d: %s", mine.status, theirs.status, theirs.err)
		}
		return
	}
	if got, want := mine.answers(t).Status, theirs.answers(t).Status; !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
