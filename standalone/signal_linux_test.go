// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestSignals(t *testing.T) {
	for text, want := range map[string]unix.Signal{
		"SIGTERM": 15, "term": 15, "9": 9, "SIGRTMIN+3": 37, "RTMIN": 34, "RTMAX": 64, "sigrtmax-1": 63, "64": 64, "HUP": 1,
	} {
		if got, err := ParseSignal("--signal", text); err != nil || got != want {
			t.Errorf("%s: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "SIG", "0", "-9", "65", "TREM", "RTMIN-1", "RTMIN+31", "RTMIN+", "RTMIN++1", "RTMAX+1", "RTMAX-31", "999999999999999999999"} {
		_, err := ParseSignal("--signal", text)
		wantUsage(t, err, "--signal", "TERM")
	}
}
