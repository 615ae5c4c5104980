// SPDX-License-Identifier: Apache-2.0

package key

import (
	"fmt"
	"os"
	"strings"
)

// devicesOf are how the kernel shows that the machine has what a level stands on.
func devicesOf(level Level) []string {
	switch level {
	case LevelTPM:
		return []string{"/dev/tpmrm0", "/dev/tpm0"}
	case LevelCVM:
		return []string{"/dev/tdx_guest", "/dev/sev-guest"}
	case LevelSGX:
		return []string{"/dev/sgx_enclave"}
	}
	return nil
}

// CheckLevel returns nil if a level was reached that is enough. Otherwise the error, of fault Unavailable, says what is missing: the machine's part, a key that it
// vouches for, or Bulkhead's. Nothing is simulated.
func CheckLevel(wanted, reached Level) error { return checkLevel(wanted, reached, "/") }

func checkLevel(wanted, reached Level, root string) error {
	if wanted <= reached {
		return nil
	}
	for _, device := range devicesOf(wanted) {
		if _, err := os.Stat(root + device); err != nil {
			continue
		}
		if wanted == LevelTPM {
			return &Error{Fault: Unavailable, Reason: fmt.Sprintf("level %s was asked for, and %s was reached: the volume was not opened by a key that a TPM vouches for", wanted, reached),
				Hint: "open it with --tpm; `bulkhead shield info` says which of its keys have which level"}
		}
		return &Error{Fault: Unavailable, Reason: fmt.Sprintf("level %s was asked for: the machine has %s, and this Bulkhead verifies no evidence of it, so that level %s is the highest that it reports", wanted, device, LevelTPM),
			Hint: "ask for level " + LevelTPM.String()}
	}
	return &Error{Fault: Unavailable, Reason: fmt.Sprintf("level %s was asked for, and this machine has none of %s: nothing is simulated", wanted, strings.Join(devicesOf(wanted), ", ")),
		Hint: "use a machine that has it, or ask for a lower level"}
}
