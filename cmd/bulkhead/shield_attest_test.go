// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/test/swtpm"
)

func TestMachineAttestsAndIsAppraised(t *testing.T) {
	socket, directory := swtpm.Start(t), t.TempDir()
	recipient, evidence, believed := filepath.Join(directory, "recipient"), filepath.Join(directory, "evidence"), filepath.Join(directory, "believed")
	nonce := strings.Repeat("4a", 32)
	if err := os.WriteFile(recipient, []byte("age1machine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	known, stderr, status := runShield(t, "attest", "--tpm-device", socket)
	if status != 1 || !strings.Contains(stderr, "this TPM vouches for nothing: it is no device of this kernel") {
		t.Fatalf("status %d, %q", status, stderr)
	}
	trust := strings.Fields(known) // --trust NAME --register 7=VALUE
	text, stderr, status := runShield(t, "attest", "--tpm-device", socket, "--nonce", nonce, "--about", recipient)
	if status != 0 || stderr != "" || len(trust) != 4 {
		t.Fatalf("status %d, %q, %q", status, stderr, trust)
	}
	if err := os.WriteFile(evidence, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name   string
		args   []string
		status int
		want   string
	}{
		{"Believed", append([]string{"--nonce", nonce, "--about", believed, "--require-level", "tpm"}, trust...), 0, "level tpm, about 12 bytes"},
		{"HigherLevel", append([]string{"--nonce", nonce, "--require-level", "sgx"}, trust...), exitUnavailable, "shows level tpm, where sgx is required"},
		{"OldNonce", append([]string{"--nonce", strings.Repeat("4b", 32)}, trust...), exitFailed, "not believed"},
		{"NoTrust", []string{"--nonce", nonce}, exitFailed, "not believed"},
		{"AnyState", []string{"--nonce", nonce, trust[0], trust[1]}, exitFailed, "any state of the machine"},
		{"AnotherState", []string{"--nonce", nonce, trust[0], trust[1], "--register", "7=" + strings.Repeat("01", 32)}, exitFailed, "another state"},
		{"ShortNonce", append([]string{"--nonce", "4a"}, trust...), exitUsage, "64 hexadecimal digits"},
		{"BadRegister", []string{"--nonce", nonce, trust[0], trust[1], "--register", "24=" + strings.Repeat("01", 32)}, exitUsage, "N of 0 to 23"},
	} {
		stdout, stderr, status := runShield(t, append(append([]string{"appraise"}, step.args...), evidence)...)
		if status != step.status || !strings.Contains(stdout+stderr, step.want) {
			t.Errorf("%s: status %d, %q, %q", step.name, status, stdout, stderr)
		}
	}
	if text, err := os.ReadFile(believed); err != nil || string(text) != "age1machine\n" {
		t.Errorf("%q, %v", text, err)
	}
}
