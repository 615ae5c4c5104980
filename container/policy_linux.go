// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/container"
	"github.com/bulkhead-project/bulkhead/selinux/modules"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// policyModule is the name of the container policy among the modules on the kernel's policy.
const policyModule = "bulkhead-container"

// EnsurePolicy has the kernel's policy know the labels of a plan: where it has no container types, the built-in ones are compiled onto it and loaded, once for each
// boot and each policy that the distribution loads. What cannot be loaded is a *plan.UnavailableError: nothing starts without the label that was planned.
func (h *Host) EnsurePolicy(p *plan.Plan) error {
	if !p.SELinux.Active() || !p.SELinux.Generated {
		return nil
	}
	if err := h.loadPolicy(); err != nil {
		return &plan.UnavailableError{Layer: "selinux", Reason: fmt.Sprintf("the kernel's policy has no container types, and Bulkhead's own cannot be put onto it: %v", err),
			Hint: "run as a user and in a domain that may load policy (unconfined_t), load a policy with container_t yourself, or run without labels: --security-opt label=disable"}
	}
	return h.checkContexts(p, "")
}

func (h *Host) loadPolicy() error {
	host, err := modules.Open(h.Run, h.State)
	if err != nil {
		return err
	}
	caller, err := callerType()
	if err != nil {
		return err
	}
	_, err = host.EnsureMade(policyModule, func(base *policydb.Policy) (modules.Source, error) { return policySource(base, caller) })
	return err
}

// callerType is the type of this process, which is to start containers.
func callerType() (string, error) {
	host, err := selinux.FindHost("/proc")
	if err != nil {
		return "", err
	}
	label, err := host.ProcessLabel(0)
	if err != nil {
		return "", err
	}
	context, err := selinux.ParseContext(label)
	return context.Type, err
}

// policySource is the container policy for a base, as one module.
func policySource(base *policydb.Policy, caller string) (modules.Source, error) {
	sources, err := container.Sources(base, caller)
	if err != nil {
		return modules.Source{}, err
	}
	return modules.Source{Name: policyModule, File: policyModule, Text: container.Join(sources)}, nil
}

// ordinaryCapabilities are those that container_t and its kin may use: Docker's default.
var ordinaryCapabilities = []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW",
	"CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_AUDIT_WRITE", "CAP_SETFCAP"}

// deniedCapabilities are those of the capabilities that the policy denies a process with that label, which so has them in vain. The kernel is asked only about what
// goes beyond the ordinary.
func deniedCapabilities(host selinux.Host, label string, capabilities []string, userNamespace bool) ([]string, error) {
	classes := [2]string{"capability", "capability2"}
	if userNamespace {
		classes = [2]string{"cap_userns", "cap2_userns"}
	}
	names := plan.CapabilityNames()
	var denied []string
	for _, capability := range capabilities {
		number := slices.Index(names, capability)
		if number < 0 || slices.Contains(ordinaryCapabilities, capability) {
			continue
		}
		permission := strings.ToLower(strings.TrimPrefix(capability, "CAP_"))
		answer, err := host.Access(label, label, classes[number/32], permission)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the policy does not know it; what it does not know it allows, or refuses all over
		}
		if err != nil {
			return nil, err
		}
		if !answer[permission] {
			denied = append(denied, permission)
		}
	}
	return denied, nil
}

// capabilityNotice tells of capabilities that the container is given in vain, "" for none.
func capabilityNotice(compiled plan.Compiled, userNamespace bool) (string, error) {
	extraordinary := func(capability string) bool { return !slices.Contains(ordinaryCapabilities, capability) }
	if compiled.ProcessLabel == "" || !slices.ContainsFunc(compiled.Capabilities.Bounding, extraordinary) {
		return "", nil
	}
	host, err := selinux.FindHost("/proc")
	if err != nil {
		return "", err
	}
	denied, err := deniedCapabilities(host, compiled.ProcessLabel, compiled.Capabilities.Bounding, userNamespace)
	if err != nil || len(denied) == 0 {
		return "", err
	}
	return fmt.Sprintf("selinux denies %s to %s, whatever capabilities it has: `bulkhead selinux generate` writes a domain that may", strings.Join(denied, ", "), compiled.ProcessLabel), nil
}
