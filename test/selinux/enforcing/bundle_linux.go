// SPDX-License-Identifier: Apache-2.0

package enforcing

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Bundle writes into a directory what an engine gives bulkhead-runtime that labels by itself, and returns the directory.
func Bundle(t *testing.T, directory, level string, words ...string) string {
	t.Helper()
	config := fmt.Sprintf(`{"ociVersion":"1.0.2","root":{"path":%q},"process":{"args":["%s"],"cwd":"/","user":{"uid":0,"gid":0},"selinuxLabel":"%s:%s"},
		"mounts":[{"destination":"/proc","type":"proc","source":"proc"}],"linux":{"mountLabel":"%s:%[4]s","namespaces":[{"type":"pid"},{"type":"mount"},{"type":"ipc"}]}}`,
		labelledRoot(t, level), strings.Join(words, `","`), ProcessType, level, FileType)
	if err := os.MkdirAll(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(directory+"/config.json", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return directory
}

// labelledRoot is a root file system whose files have the label themselves.
func labelledRoot(t *testing.T, level string) string {
	t.Helper()
	directory := t.TempDir()
	for _, path := range []string{"bin", "proc", "dev", "etc"} {
		if err := os.Mkdir(filepath.Join(directory, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cat", "sh"} {
		if err := os.WriteFile(filepath.Join(directory, "bin", name), program, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	Label(t, FileType+":"+level, directory, directory+"/bin", directory+"/bin/cat", directory+"/bin/sh", directory+"/proc", directory+"/dev", directory+"/etc")
	return directory
}
