// SPDX-License-Identifier: Apache-2.0

package syntax

// variable finds a variable by where it is used: in the profile, in those around it, in the file.
func (p *Policy) variable(profile *Profile, name string) *Variable {
	for ; profile != nil; profile = profile.Parent {
		if found := profile.Variables[name]; found != nil {
			return found
		}
	}
	return p.Variables[name]
}
