// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"math"
	"slices"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// rlimitNames are the limits by AppArmor's numbers, which are those of include/uapi/asm-generic/resource.h whatever the architecture's own.
var rlimitNames = [...]string{
	"cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as", "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime",
}

// rlimits collects the profile's hard limits, nil where it sets none. Of several for one resource the last counts.
func (u *unit) rlimits() *binary.Rlimits {
	var limits *binary.Rlimits
	for _, rule := range u.profile.Rules {
		rule, ok := rule.(*syntax.RlimitRule)
		if !ok {
			continue
		}
		name := rule.Resource
		if name == "ofile" {
			name = "nofile"
		}
		number := slices.Index(rlimitNames[:], name)
		if number < 0 {
			u.report(rule, "unknown resource %q", rule.Resource)
			continue
		}
		if !u.features.Has("rlimit") {
			u.lack(rule, "the target does not set resource limits")
			continue
		}
		if limits == nil {
			limits = &binary.Rlimits{}
		}
		limits.Mask |= 1 << number
		limits.Values[number] = rule.Value
		if rule.Infinite {
			limits.Values[number] = math.MaxUint64
		}
	}
	return limits
}
