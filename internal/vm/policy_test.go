// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"encoding/binary"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestGuestPolicyIsDeterministic(t *testing.T) {
	first := GuestPolicy()
	for range 5 {
		if GuestPolicy() != first {
			t.Fatal("two texts differ")
		}
	}
}

func TestUserPipesAreNotForContainers(t *testing.T) {
	policy := GuestPolicy()
	for _, rule := range []string{
		"(typeattributeset stdio_source (kernel_t container_runtime_t))",
		"(allow container_domain stdio_source (fifo_file (" + usePipe + ")))",
	} {
		if !strings.Contains(policy, rule) {
			t.Errorf("no rule %s", rule)
		}
	}
	if strings.Contains(policy, "(allow container_domain user_t") || strings.Contains(policy, "(allow container_domain unconfined_domain (fifo_file") {
		t.Error("containers may use what user_t has")
	}
}

func TestGuestPolicyCompiles(t *testing.T) {
	if _, err := exec.LookPath("secilc"); err != nil {
		t.Fatal("no secilc: apt-get install secilc")
	}
	path, err := (cache{t.TempDir()}).policy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	binaryPolicy, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const selinuxMagic = 0xf97cff8c
	if len(binaryPolicy) < 4 || binary.LittleEndian.Uint32(binaryPolicy) != selinuxMagic {
		t.Error("the result is no kernel policy")
	}
}
