// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"fmt"

	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux/container"
)

// residueOf says what the policy in the file leaves between two containers of those labels, "" for nothing.
func residueOf(path, process, files string) string {
	policy, err := (&policyFlag{path: path}).read()
	if err != nil {
		return fmt.Sprintf("what the policy leaves between two containers cannot be worked out: %v", err)
	}
	toProcesses, toFiles, err := container.Residue(policy, process, files)
	if err != nil {
		return fmt.Sprintf("what the policy leaves between two containers cannot be worked out: %v", err)
	}
	return container.Sentence(toProcesses, toFiles)
}

// addResidue tells of it in a plan that gives a container labels which the policy has. It is no part of a start: reading a policy takes some milliseconds.
func addResidue(path string, p *plan.Plan, facts kernel.SELinux) {
	if !p.SELinux.Active() || p.SELinux.Process == "" || p.SELinux.Files == "" || !facts.ContainerTypes {
		return
	}
	if sentence := residueOf(path, p.SELinux.Process, p.SELinux.Files); sentence != "" {
		p.Remains = append(p.Remains, sentence)
	}
}

// selinuxRemains is the same for what containers get where nothing else is asked for.
func selinuxRemains(path string, facts kernel.SELinux) string {
	if !facts.ContainerTypes {
		return ""
	}
	return residueOf(path, "system_u:system_r:"+container.ProcessType, "system_u:object_r:"+container.FileType)
}
