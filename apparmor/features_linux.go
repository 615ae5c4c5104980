// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// featuresDirectory is where AppArmor says what it can, as long as securityfs is mounted at its usual place.
const featuresDirectory = "/sys/kernel/security/apparmor/features"

// ErrNoFeatures is a kernel that does not say what it can mediate: AppArmor is off, or securityfs is not mounted.
var ErrNoFeatures = errors.New("the kernel has no " + featuresDirectory + ": AppArmor is off there, or securityfs is not mounted")

// HostFeatures reads the features of the running kernel. Where there are none it is ErrNoFeatures: policy for a kernel that nobody knows would leave out
// mediation that the kernel could do.
func HostFeatures() (Features, error) {
	features, err := readFeatures(featuresDirectory)
	if errors.Is(err, fs.ErrNotExist) {
		return Features{}, ErrNoFeatures
	}
	return features, err
}

func readFeatures(directory string) (Features, error) {
	tree := map[string]string{}
	err := filepath.WalkDir(directory, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		path, err := filepath.Rel(directory, name)
		if err != nil {
			return err
		}
		tree[path] = strings.Join(strings.Fields(string(content)), " ")
		return nil
	})
	switch {
	case err != nil:
		return Features{}, fmt.Errorf("features of the kernel: %w", err)
	case len(tree) == 0:
		return Features{}, ErrNoFeatures
	}
	return Features{tree}, nil
}
