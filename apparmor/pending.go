// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

func (u *unit) policyEntries(syntax.Rule) []entry              { return nil }
func (u *unit) mediates() []entry                              { return nil }
func (u *unit) capabilities() binary.Capabilities              { return binary.Capabilities{} }
func (u *unit) rlimits() *binary.Rlimits                       { return nil }
func (u *unit) networkAllowed(rules []syntax.Rule) [][3]uint16 { return nil }
func ruleText(rule syntax.Rule) string                         { return "" }
