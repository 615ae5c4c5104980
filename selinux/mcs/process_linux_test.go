// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"os"
	"strings"
	"testing"
)

func TestTheKernelsOwnStatIsRead(t *testing.T) {
	own, err := readProcess("/proc", os.Getpid())
	if err != nil || own.threads < 1 || own.startTime == 0 || own.ended() {
		t.Errorf("got %+v, %v", own, err)
	}
	parent, err := readProcess("/proc", 1)
	if err != nil || parent.startTime > own.startTime {
		t.Errorf("process 1 started at %d, this one at %d (%v)", parent.startTime, own.startTime, err)
	}
}

func TestACommandNameCannotForgeAStat(t *testing.T) {
	read, err := parseStat("7 (x) Z 1 1) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 4 0 12345 1")
	if want := (process{'S', 4, 12345}); err != nil || read != want {
		t.Errorf("got %+v, %v", read, err)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("7 (x) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 4 0 12345 1")
	f.Add("7 (a) b) Z" + strings.Repeat(" 0", 40))
	f.Add(")")
	f.Fuzz(func(t *testing.T, text string) {
		if read, err := parseStat(text); err != nil && read != (process{}) {
			t.Errorf("%q: an answer beside the error: %+v", text, read)
		}
	})
}
