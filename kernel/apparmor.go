// SPDX-License-Identifier: Apache-2.0

package kernel

import "strings"

// parseProfileLine reads one line of securityfs's apparmor/profiles: the name, which may hold spaces and parentheses, then " (mode)".
func parseProfileLine(line string) (Profile, bool) {
	open := strings.LastIndex(line, " (")
	if open <= 0 || !strings.HasSuffix(line, ")") {
		return Profile{}, false
	}
	return Profile{Name: line[:open], Mode: line[open+2 : len(line)-1]}, true
}
