// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

func hunter(t *testing.T) *Secret {
	t.Helper()
	s, err := Take([]byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Wipe)
	return s
}

func TestSecretIsNeverPrintedOrEncoded(t *testing.T) {
	s := hunter(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if text := fmt.Sprintf(verb, s) + fmt.Sprintf(verb, struct{ S *Secret }{s}); strings.Contains(text, "hunter2") || strings.Contains(text, "104") || strings.Contains(text, "68756e") {
			t.Errorf("%s prints %q", verb, text)
		}
	}
	if text, err := json.Marshal(s); err == nil {
		t.Errorf("encoded as %q", text)
	}
}

func TestSecretTakesBytesAndWipesThem(t *testing.T) {
	text := []byte("hunter2")
	s, err := Take(text)
	if err != nil || string(s.Bytes()) != "hunter2" || !bytes.Equal(text, make([]byte, 7)) {
		t.Fatalf("%v, the source is %q", err, text)
	}
	s.Wipe()
	s.Wipe()
	if len(s.Bytes()) != 0 {
		t.Error("bytes after Wipe")
	}
	(*Secret)(nil).Wipe()
}

// The memory of a secret is neither swapped nor dumped: the kernel says so in smaps, by lo (locked) and dd (do not dump); memfd_secret's is both, and not even mapped by the kernel.
func TestSecretIsLockedMemory(t *testing.T) {
	s := hunter(t)
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	start := fmt.Sprintf("\n%x-", &s.memory[0])
	_, after, found := strings.Cut("\n"+string(maps), strings.Replace(start, "0x", "", 1))
	if !found {
		t.Fatalf("no mapping at %s", start)
	}
	_, flags, _ := strings.Cut(after, "VmFlags:")
	flags, _, _ = strings.Cut(flags, "\n")
	if !strings.Contains(flags, " lo") || !strings.Contains(after[:200], "secretmem") && !strings.Contains(flags, " dd") {
		t.Errorf("flags %s of %.120s", flags, after)
	}
}

func TestReadIsBounded(t *testing.T) {
	s, err := Read(strings.NewReader(strings.Repeat("a", maximum)))
	if err != nil || len(s.Bytes()) != maximum {
		t.Fatal(err)
	}
	s.Wipe()
	if _, err := Read(strings.NewReader(strings.Repeat("a", maximum+1))); err == nil {
		t.Error("more than the maximum is taken")
	}
	if _, err := Read(iotest.ErrReader(errors.New("bad disk"))); err == nil || err.Error() != "bad disk" {
		t.Error(err)
	}
}
