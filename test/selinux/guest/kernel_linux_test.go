// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

const selinuxfs = "/sys/fs/selinux"

// load gives the kernel a policy, in the one write that it takes, and reads back what the kernel has made of it.
func load(t *testing.T, data []byte) *policydb.Policy {
	t.Helper()
	if err := os.WriteFile(filepath.Join(selinuxfs, "load"), data, 0); err != nil {
		t.Fatalf("load a policy of %d bytes: %v", len(data), err)
	}
	return shown(t)
}

// shown is the policy that the kernel has, as it shows it.
func shown(t *testing.T) *policydb.Policy {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(selinuxfs, "policy"))
	if err != nil {
		t.Fatal(err)
	}
	policy, err := policydb.Decode(data)
	if err != nil {
		t.Fatalf("the policy as the kernel shows it: %v", err)
	}
	return policy
}

// kernel puts questions to selinuxfs. Its answers are those of security/selinux/selinuxfs.c.
type kernel struct{ answer [4096]byte }

// transact writes a request to a transaction file and reads the answer from the same open file.
func (k *kernel) transact(name, request string) (string, error) {
	fd, err := unix.Open(selinuxfs+"/"+name, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(request)); err != nil {
		return "", err
	}
	n, err := unix.Read(fd, k.answer[:])
	return string(bytes.TrimRight(k.answer[:max(n, 0)], "\x00")), err
}

// validateTransition asks by writing alone: EPERM is no.
func (k *kernel) validateTransition(request string) (bool, error) {
	fd, err := unix.Open(selinuxfs+"/validatetrans", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(request))
	if errors.Is(err, unix.EPERM) {
		return false, nil
	}
	return err == nil, err
}

// setBooleans sets them all and commits them together.
func setBooleans(t *testing.T, values map[string]bool) {
	t.Helper()
	for name, value := range values {
		if err := os.WriteFile(filepath.Join(selinuxfs, "booleans", name), []byte(map[bool]string{true: "1", false: "0"}[value]), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(selinuxfs, "commit_pending_bools"), []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
}
