// SPDX-License-Identifier: Apache-2.0

// Package selinux compares the SELinux libraries of this project with the reference: libsepol and Debian's policy.
package selinux

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// modulesOf turns Debian's policy modules into CIL; pp is the reference's own converter.
const modulesOf = `set -eu
apt-get download -qq selinux-policy-default 2>/dev/null
dpkg -x selinux-policy-default_*.deb root
mkdir cil
for module in root/usr/share/selinux/default/*.pp.bz2; do
	bunzip2 -c "$module" >module.pp
	/usr/libexec/selinux/hll/pp module.pp "cil/$(basename "$module" .pp.bz2).cil"
done
secilc -c 33 -o policy.33 -f file_contexts cil/*.cil
rm -r root module.pp
`

// Debian returns a directory with all modules of Debian's default policy in CIL (cil/*.cil), and what secilc makes of them: policy.33 and file_contexts. It is made
// once and kept in the user's cache.
func Debian() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	version, err := exec.Command("sh", "-c", "apt-cache show --no-all-versions selinux-policy-default | sed -n 's/^Version: //p'").Output()
	if err != nil || len(bytes.TrimSpace(version)) == 0 {
		return "", fmt.Errorf("apt-cache show selinux-policy-default: %q, %w", version, err)
	}
	directory := filepath.Join(cache, "bulkhead", "selinux", strings.ReplaceAll(string(bytes.TrimSpace(version)), ":", "_"))
	if _, err := os.Stat(directory); err == nil {
		return directory, nil
	}
	if err := os.MkdirAll(filepath.Dir(directory), 0o755); err != nil {
		return "", err
	}
	made, err := os.MkdirTemp(filepath.Dir(directory), "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(made)
	command := exec.Command("sh", "-c", modulesOf)
	command.Dir = made
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("Debian's policy: %w: %s (apt-get install policycoreutils secilc bzip2)", err, out)
	}
	return directory, os.Rename(made, directory)
}
