// SPDX-License-Identifier: Apache-2.0

package apparmor_test

import "fmt"

// policydbDivergences are the simple tests about mount, network and all that mean something else to us than to the reference, each with its reason. The
// tables of mediation_test.go have the single rules.
func policydbDivergences() map[string]string {
	table := map[string]string{
		"mount/ok_22.sd":     "remount without options is with any; 3.0.8 takes it for with none",
		"mount/ok_opt_33.sd": "3.0.8 has no flag for norelatime, and takes every set of flags",
		"mount/ok_opt_84.sd": unloggedData,
		"mount/ok_opt_87.sd": "two conditions are two rules, says apparmor.d(5); 3.0.8 wants the flags of both",
	}
	add := func(pattern, reason string, numbers ...int) {
		for _, number := range numbers {
			table[fmt.Sprintf(pattern, number)] = reason
		}
	}
	const newMount = "3.0.8 leaves out the flag that makes the mount another operation, and allows a new mount with the rest (CVE-2016-1585)"
	add("mount/ok_opt_%d.sd", newMount, 21, 22, 23, 24, 25, 26, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55)
	add("mount/ok_opt_%d.sd", "nouser is for mount(8), which does not pass it on; 3.0.8 wants a flag of it that no mount has", 37, 38)
	add("mount/ok_opt_%d.sd", unloggedData, 56, 57, 58, 60, 61, 62, 63, 64, 65, 66, 67)
	add("mount/ok_opt_%d.sd", "4.1.0 allows new mounts of anything at a path that is written alone, if they have no flags",
		68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83)
	for name, numbers := range map[string][]int{
		"accept": {1, 2}, "attr": {1, 2, 3, 4}, "bind": {1, 2}, "connect": {1, 2}, "create": {1, 2}, "listen": {1, 2},
		"msg": {1, 2, 3, 4, 5, 6, 12, 13, 14, 15, 16, 17, 18, 19}, "opt": {1, 2, 3, 4}, "shutdown": {1, 2},
	} {
		add("network/perms/ok_"+name+"_%d.sd", "4.1.0 makes a unix rule of the network rule too, and that allows every access", numbers...)
	}
	add("all/ok_%02d.sd", "4.1.0 allows umount and pivot_root whatever mount is, leaves old kernels without networks, and turns audit deny around", 1, 2, 3, 4, 5, 6)
	add("profile/flags/flags_ok%d.sd", "4.1.0 does not say of unconfined profiles what is mediated, 3.0.8 does; the kernel asks nothing of them", 37, 42, 66)
	return table
}

const unloggedData = "4.1.0 does not set the bit any more by which the kernel logs the data of a mount"
