// SPDX-License-Identifier: Apache-2.0

package labels

import (
	"testing"

	"github.com/bulkhead-project/bulkhead/enforce/label"
)

// Levels that containers are given by name, so that a plan can be asked for before they start.
const (
	levelA   = "s0:c11,c12"
	levelB   = "s0:c21,c22"
	levelPod = "s0:c31,c32"
)

func labelOf(t *testing.T, path string) string {
	t.Helper()
	text, err := label.ReadLink(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// options for a container whose other layers stay out of the way of labels.
func options(level string, volumes ...string) []string {
	all := []string{"--security-opt", "landlock=unconfined", "--security-opt", "label=level:" + level}
	for _, volume := range volumes {
		all = append(all, "-v", volume)
	}
	return all
}
