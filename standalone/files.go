// SPDX-License-Identifier: Apache-2.0

package standalone

import "strings"

// hostsText is /etc/hosts of a container that has no network but the loopback device. The name resolves to the loopback, so that programs
// which look up their own host find it.
func hostsText(hostname string) string {
	var text strings.Builder
	text.WriteString("127.0.0.1\tlocalhost\n")
	text.WriteString("::1\tlocalhost ip6-localhost ip6-loopback\n")
	if hostname != "" && hostname != "localhost" {
		text.WriteString("127.0.1.1\t" + hostname + "\n")
	}
	return text.String()
}

// resolverText is /etc/resolv.conf of such a container: no server can be reached, so none is named.
func resolverText() string { return "# No network, no name servers.\n" }
