// SPDX-License-Identifier: Apache-2.0

package engines

import (
	"strings"
	"testing"
)

func TestUnderDocker(t *testing.T) {
	t.Parallel()
	e := docker(t)
	e.load(t, rootFS(t), image)
	e.test(t)
	t.Run("docker info lists the runtime", func(t *testing.T) {
		if out := e.do(t, "info", "--format", "{{json .Runtimes}}").must(t); !strings.Contains(out, `"`+ours+`"`) {
			t.Errorf("info: %s", out)
		}
	})
}

func TestUnderPodman(t *testing.T) {
	t.Parallel()
	e := podman(t)
	e.load(t, rootFS(t), image)
	e.test(t)
	e.testDescriptors(t)
	e.testSealedRefused(t)
}

// test is what docker and podman have in common.
func (e *engine) test(t *testing.T) {
	e.testProcess(t)
	e.testLayers(t)
	e.testCapabilities(t)
	e.testLife(t)
	e.testRefusals(t)
	e.testProgram(t)
}
