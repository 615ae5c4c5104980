// SPDX-License-Identifier: Apache-2.0

package apparmor_test

import "fmt"

// fileDivergences are the simple tests about profiles and files that mean something else to us than to the reference, each with its reason.
func fileDivergences() map[string]string {
	const (
		inherited = "unsafe says nothing about ix, which is of the profile itself: no kernel looks at that bit there"
		start     = "the reference's tables lose the accept word of the start state: a profile named by stars alone attaches to nothing"
		debug     = "4.1.0 forgets the flag debug where an earlier profile of the file has flags"
		bare      = "the reference refuses deny file, which its own suite wants to be taken"
		prompt    = "kernels without permstable32 refuse a profile of the mode prompt: what nobody can be asked about is denied"
	)
	table := map[string]string{
		"file/front_perms_ok_1.sd": inherited, "file/file/front_perms_ok_1.sd": inherited,
		"file/priority/front_perms_ok_1.sd": inherited, "file/priority/front_perms_ok_2.sd": inherited,
		"file/ok_bare_1.sd": bare, "file/priority/ok_bare_1.sd": bare,
		"profile/re_ok1.sd": start, "profile/re_ok2.sd": start, "profile/re_ok4.sd": start,
		"profile/flags/flags_ok19.sd": debug, "profile/flags/flags_ok23.sd": debug,
	}
	for _, number := range []int{27, 28, 39, 40, 65} {
		table[fmt.Sprintf("profile/flags/flags_ok%d.sd", number)] = prompt
	}
	return table
}
