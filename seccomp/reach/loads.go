// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"slices"
	"strings"
)

// loads reports whether a function may load libraries at run time, or look functions up by names that reading does not see. glibc loads for
// name services (nsswitch.conf(5)), for character sets other than its own few (iconv(3)) and for unwinding when a thread is cancelled.
func loads(name string) bool {
	if slices.Contains([]string{"dlopen", "dlmopen", "__libc_dlopen_mode", "dlsym", "dlvsym", "iconv_open", "getaddrinfo", "getnameinfo", "initgroups", "getgrouplist", "pthread_cancel", "pthread_exit"}, name) {
		return true
	}
	for _, prefix := range []string{"getpw", "getgrnam", "getgrgid", "getgrent", "gethostby", "getservby", "getprotoby", "getnetby", "getrpcby", "getnetgr", "getaliasby", "getspnam"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
