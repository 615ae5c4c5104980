// SPDX-License-Identifier: Apache-2.0

package key

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

func TestSecretIsNeverPrintedOrEncoded(t *testing.T) {
	s := secret(t, "hunter2")
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
	s, err := TakeSecret(text)
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
	s := secret(t, "hunter2")
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

func TestReadSecretIsBounded(t *testing.T) {
	s, err := ReadSecret(strings.NewReader(strings.Repeat("a", maximumSecret)))
	if err != nil || len(s.Bytes()) != maximumSecret {
		t.Fatal(err)
	}
	s.Wipe()
	if _, err := ReadSecret(strings.NewReader(strings.Repeat("a", maximumSecret+1))); err == nil {
		t.Error("more than the maximum is taken")
	}
	if _, err := ReadSecret(iotest.ErrReader(errors.New("bad disk"))); err == nil || err.Error() != "bad disk" {
		t.Error(err)
	}
}
