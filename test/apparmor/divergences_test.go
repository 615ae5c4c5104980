// SPDX-License-Identifier: Apache-2.0

package apparmor_test

// otherwise are the simple tests that we answer other than their EXRESULT says, each with its reason.
var otherwise = map[string]string{}

// profileDivergences are Debian's profiles that mean something else to us than to the reference, each with its reason.
var profileDivergences = map[string]string{}

// suiteDivergences are the simple tests that mean something else to us than to the reference, or that the reference does not compile.
var suiteDivergences = map[string]string{
	"mount/ok_24.sd":     detachedMount,
	"mount/ok_opt_86.sd": detachedMount,
}

const detachedMount = "3.0.8 does not know the word detached and takes it for a path"

// slowest are the simple tests for which 3.0.8 takes too long to be asked; 4.1.0 is their judge.
var slowest = map[string]string{
	"regressions/ok_normalize.sd": "3.0.8 rewrites its expression for ever",
	"vars/vars_stress_03.sd":      "3.0.8 takes 20 s, 4.1.0 six",
}
