// SPDX-License-Identifier: Apache-2.0

package key

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/shield/tpm"
	"github.com/bulkhead-project/bulkhead/test/swtpm"
)

func TestTPMOpensItsSlotAndSoftwareVouchesForNothing(t *testing.T) {
	open := func() TPM {
		device, err := tpm.Open(swtpm.Start(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { device.Close() })
		return TPM{device, []int{7}}
	}
	own, other := open(), open()
	h, master := create(t, Encrypted, own, keyFile(t, "a"))
	h = reparse(t, h)
	unlocked, err := h.Unlock(own)
	if err != nil || !bytes.Equal(unlocked.Master.Bytes(), master.Bytes()) || unlocked.Slot != 1 || unlocked.Level != LevelNone {
		t.Fatalf("%+v, %v", unlocked, err)
	}
	if _, err := h.Unlock(other); faultOf(err) != WrongKey {
		t.Errorf("another TPM: %v", err)
	}
	if unlocked, err := h.Unlock(other, keyFile(t, "a")); err != nil || unlocked.Slot != 2 {
		t.Errorf("another TPM and the key file: %v", err)
	}
	h.Slots[0].PCRs = []int{8} // no policy of the slot's
	if _, err := h.Unlock(own); faultOf(err) != WrongState {
		t.Errorf("another policy: %v", err)
	}
}

func TestLevelThatIsNotReachedIsAnErrorAndNeverSimulated(t *testing.T) {
	empty, full := t.TempDir(), t.TempDir()
	for level := LevelTPM; level <= LevelSGX; level++ {
		for _, device := range devicesOf(level) {
			path := filepath.Join(full, device)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range map[string]struct {
		wanted, reached Level
		root, want      string
	}{
		"NoneIsAlwaysReached":    {LevelNone, LevelNone, empty, ""},
		"TPMReached":             {LevelTPM, LevelTPM, empty, ""},
		"NoTPM":                  {LevelTPM, LevelNone, empty, "none of /dev/tpmrm0, /dev/tpm0: nothing is simulated"},
		"TPMNotUsed":             {LevelTPM, LevelNone, full, "not opened by a key that a TPM vouches for"},
		"NoConfidentialMachine":  {LevelCVM, LevelTPM, empty, "none of /dev/tdx_guest, /dev/sev-guest: nothing is simulated"},
		"ConfidentialUnverified": {LevelCVM, LevelTPM, full, "the machine has /dev/tdx_guest, and this Bulkhead verifies no evidence of it"},
		"NoSGX":                  {LevelSGX, LevelNone, empty, "none of /dev/sgx_enclave: nothing is simulated"},
		"SGXUnverified":          {LevelSGX, LevelTPM, full, "the machine has /dev/sgx_enclave, and this Bulkhead verifies no evidence of it"},
	} {
		err := checkLevel(test.wanted, test.reached, test.root)
		if (err == nil) != (test.want == "") || err != nil && (faultOf(err) != Unavailable || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
