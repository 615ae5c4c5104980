// SPDX-License-Identifier: Apache-2.0

package label

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/bulkhead-project/bulkhead/plan"
)

// Guard refuses a tree, an absolute path without symbolic links, that is a tree of the host's or somebody's home, by whatever path it is
// reached: bind mounts are seen through, and homes are those of the password file.
func Guard(path string) error {
	mounts, err := ReadMounts()
	if err != nil {
		return err
	}
	for _, alias := range mounts.Aliases(path) {
		if plan.SystemTree(alias) {
			return refusedTree(path, "it is mounted from "+alias+", and relabelling or chowning that tree would take the host's own files from it")
		}
	}
	users, err := os.ReadFile("/etc/passwd")
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if user, home := homeOf(path, string(users)); user != "" {
		return refusedTree(path, fmt.Sprintf("it is or holds the home directory of %s, %s, or what is hidden in it", user, home))
	}
	return nil
}

func refusedTree(path, reason string) error {
	return &plan.RefusedError{Subject: "volume " + path, Reason: reason, Hint: "use a directory made for the container"}
}

// below returns path relative to tree, where it is tree or in it.
func below(path, tree string) (rest string, ok bool) {
	if tree == "/" {
		return path, strings.HasPrefix(path, "/")
	}
	rest, ok = strings.CutPrefix(path, tree)
	return rest, ok && tree != "" && (rest == "" || rest[0] == '/')
}

// homeOf returns the person of a password file whose home directory path is or holds, or in whose home it is hidden, as ~/.ssh is.
func homeOf(path, passwd string) (user, home string) {
	const firstPerson, nobody = 1000, 65534
	for line := range strings.Lines(passwd) {
		fields := strings.Split(strings.TrimRight(line, "\n"), ":")
		if len(fields) < 7 {
			continue
		}
		number, err := strconv.Atoi(fields[2])
		home := filepath.Clean(fields[5])
		if err != nil || number != 0 && (number < firstPerson || number == nobody) || home == "/" || !filepath.IsAbs(home) {
			continue
		}
		_, holds := below(home, path)
		if rest, inside := below(path, home); holds || inside && (rest == "" || strings.HasPrefix(rest, "/.")) {
			return fields[0], home
		}
	}
	return "", ""
}
