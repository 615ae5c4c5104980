// SPDX-License-Identifier: Apache-2.0

package apparmor_test

// otherwise are the simple tests that we answer other than their EXRESULT says, each with its reason.
var otherwise = map[string]string{
	"change_hat/old_style1.sd": "disabled in the suite: a hat of old, PROFILE^HAT at the top of a file, is taken by the reference too",
	"change_hat/old_style2.sd": "disabled in the suite: a hat of old, PROFILE^HAT at the top of a file, is taken by the reference too",
	"change_hat/old_style3.sd": "disabled in the suite: a hat of old, PROFILE^HAT at the top of a file, is taken by the reference too",
}

// profileDivergences are Debian's profiles that mean something else to us than to the reference, each with its reason.
var profileDivergences = map[string]string{}

// suiteDivergences are the simple tests that mean something else to us than to the reference, or that the reference does not compile.
var suiteDivergences = map[string]string{}

// endless are the simple tests on which 3.0.8 does not end; 4.1.0 is their judge.
var endless = map[string]string{
	"regressions/ok_normalize.sd": "3.0.8 rewrites its expressions for ever",
}
