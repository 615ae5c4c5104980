// SPDX-License-Identifier: Apache-2.0

package cil

import "testing"

func TestConstraints(t *testing.T) {
	for _, f := range []finding{
		{"PartsArePairedAndNamed", `(constrain (base_file (read)) (and (eq u1 u2) (not (neq t1 (base_t base_a))))) (mlsconstrain (base_file (all)) (or (dom l1 l2) (domby h1 h2)))
			(constrain (base_file (read)) (incomp r1 r2)) (mlsconstrain (base_file (read)) (eq l2 h2)) (mlsconstrain (base_file (read)) (dom h1 l2)) (mlsconstrain (base_file (read)) (dom l1 h1))`, `
			constrain false base_file read (and (1 of 1) (not (2 of 4: )))
			constrain true base_file (all) (or (3 of 32) (4 of 256))
			constrain false base_file read (5 of 2)
			constrain true base_file read (1 of 1024)
			constrain true base_file read (3 of 128)
			constrain true base_file read (3 of 512)`},
		{"NamesAreOfTheirKind", `(user u) (userlevel u base_l) (userrange u base_lr) (role r) (type x) (constrain (base_file (read)) (and (eq u2 u) (and (eq r1 (r)) (eq t2 x))))`, `
			types x
			roles r
			users u
			userlevel u base_s0
			userrange u base_s0-base_s0
			constrain false base_file read (and (1 of 9: u) (and (1 of 2: r) (1 of 12: x)))`},
		{"TheThirdContextIsOfTransitions", `(type x) (validatetrans base_file (eq t3 x)) (mlsvalidatetrans base_file (neq u3 base_user))`, `
			types x
			validatetrans false base_file (1 of 20: x)
			validatetrans true base_file (2 of 17: )`},
	} {
		f.run(t)
	}
}

func TestConstraintsRefused(t *testing.T) {
	const pairs = "u1, r1 and t1 are with u2, r2 and t2, l1 with l2, h2 and h1, h1 with l2 and h2, l2 with h2"
	for _, r := range []refusal{
		{"TheThirdContextIsOfTransitionsOnly", `(constrain (base_file (read)) (eq t3 base_t))`, `t:1:35: expression of constrain: t3 is of validatetrans and mlsvalidatetrans only`},
		{"LevelsHaveNoNames", `(mlsconstrain (base_file (read)) (eq l1 base_l))`, `t:1:34: expression of mlsconstrain: l1 is compared with another level only, not with names`},
		{"NamesHaveNoOrder", `(constrain (base_file (read)) (dom t1 base_t))`, `t:1:31: expression of constrain: dom does not compare with names: eq and neq do`},
		{"TypesHaveNoOrder", `(constrain (base_file (read)) (dom t1 t2))`, `t:1:31: expression of constrain: dom does not order users or types: eq and neq compare them`},
		{"SidesDoNotGoTogether", `(constrain (base_file (read)) (eq t2 t1))`, `t:1:31: expression of constrain: t2 is not compared with t1: ` + pairs},
		{"ALevelWithItself", `(mlsconstrain (base_file (read)) (eq l1 l1))`, `t:1:34: expression of mlsconstrain: l1 is not compared with l1: ` + pairs},
		{"TheLeftSideIsAPart", `(constrain (base_file (read)) (eq base_t t1))`, `t:1:35: expression of constrain: "base_t", expected u1, u2, u3, r1, r2, r3, t1, t2, t3, l1, l2, h1, h2`},
		{"TooDeep", `(constrain (base_file (read)) (or (eq u1 u2) (or (eq u1 u2) (or (eq u1 u2) (or (eq u1 u2) (or (eq u1 u2) (eq u1 u2)))))))`,
			`t:1:31: expression of constrain: the constraint needs 6 operands at a time, the kernel holds 5`},
		{"ANameOfAnotherKind", `(constrain (base_file (read)) (eq r1 base_t))`, `t:1:38: role base_t is not declared; there is base_r`},
		{"AnOperatorThatThereIsNot", `(constrain (base_file (read)) (xor (eq u1 u2) (eq u1 u2)))`, `t:1:32: expression of constrain: "xor", expected and, or, not, eq, neq, dom, domby, incomp`},
	} {
		r.run(t)
	}
}

func TestContexts(t *testing.T) {
	const con = "base_user:base_r:base_t:base_s0-base_s0"
	for _, f := range []finding{
		{"OfFiles", `(filecon "/a(/.*)?" dir base_con) (filecon "/b" symlink (base_user base_r base_t (base_l (base_s0 (base_c1))))) (filecon "/c" any ())`, `
			filecon "/a(/.*)?" 2 ` + con + `
			filecon "/b" 7 base_user:base_r:base_t:base_s0-base_s0:base_c1
			filecon "/c" 0 <<none>>`},
		{"OfFileSystems", `(genfscon proc / base_con) (genfscon proc "/sys" char base_con) (fsuse xattr ext4 base_con) (fsuse task pipefs base_con) (fsuse trans tmpfs base_con)`, `
			genfscon proc / 0 ` + con + `
			genfscon proc /sys 3 ` + con + `
			fsuse 1 ext4 ` + con + `
			fsuse 3 pipefs ` + con + `
			fsuse 2 tmpfs ` + con},
		{"OfTheNetwork", `(portcon tcp 80 base_con) (portcon sctp (1024 65535) base_con) (nodecon (127.0.0.1) 255.255.255.255 base_con) (nodecon ::1 (ffff::) base_con) (netifcon lo base_con base_con)
			(ipaddr home 10.0.0.0) (ipaddr mask 255.0.0.0) (nodecon home mask base_con)`, `
			portcon 6 80-80 ` + con + `
			portcon 132 1024-65535 ` + con + `
			nodecon 127.0.0.1 255.255.255.255 ` + con + `
			nodecon ::1 ffff:: ` + con + `
			nodecon 10.0.0.0 255.0.0.0 ` + con + `
			netifcon lo ` + con + ` ` + con},
		{"OfInfiniband", `(ibpkeycon fe80:: (0x10 32) base_con) (ibpkeycon fe80:0:0:1:: 0xffff base_con) (ibendportcon mlx5_0 1 base_con)`, `
			ibpkeycon 0xfe80000000000000 16-32 ` + con + `
			ibpkeycon 0xfe80000000000001 65535-65535 ` + con + `
			ibendportcon mlx5_0 1 ` + con},
		{"OfASID", `(sid s) (sidorder (base_sid s)) (sidcontext s base_con)`, `
			sids s
			sidcontext s ` + con},
		{"AddressesPassedToAMacro", `(macro m ((ipaddr a) (ipaddr b)) (nodecon a b base_con)) (call m (10.1.0.0 255.255.0.0))`, `
			nodecon 10.1.0.0 255.255.0.0 ` + con},
	} {
		f.run(t)
	}
}

func TestContextsRefused(t *testing.T) {
	for _, r := range []refusal{
		{"AContextHasFourParts", `(filecon "/" any (base_user base_r base_t))`, `t:1:18: context of filecon: the list (base_user ...), expected (user role type levelrange)`},
		{"AKindOfFileThatThereIsNot", `(filecon "/" fifo base_con)`,
			`t:1:14: file-type of filecon: "fifo", expected any, file, dir, char, block, socket, pipe, symlink`},
		{"AnAttributeInAContext", `(fsuse xattr ext4 (base_user base_r base_a base_lr))`, `t:1:37: base_a is a type attribute, expected a type`},
		{"APortBeyondTheLast", `(portcon tcp 65536 base_con)`, `t:1:14: ports of portcon: "65536", expected a number of at most 16 bits`},
		{"APortInHexadecimal", `(portcon tcp 0x50 base_con)`, `t:1:14: ports of portcon: "0x50", expected a number of at most 16 bits`},
		{"AnAddressWithALeadingZero", `(nodecon 127.0.0.01 255.0.0.0 base_con)`, `t:1:10: address of nodecon: "127.0.0.01", expected an IPv4 or IPv6 address`},
		{"AnAddressWithAZone", `(nodecon fe80::1%lo ffff:: base_con)`, `t:1:10: address of nodecon: "fe80::1%lo", expected an IPv4 or IPv6 address`},
		{"AMaskOfTheOtherFamily", `(nodecon 127.0.0.1 ffff:: base_con)`, `t:1:20: the address and its mask are not of one kind: IPv4 and IPv6`},
		{"ASubnetIsIPv6", `(ibpkeycon 10.0.0.0 1 base_con)`, `t:1:12: the subnet prefix 10.0.0.0 is not an IPv6 address`},
		{"TwoContextsOfASID", `(sidcontext base_sid base_con)`, `t:1:1: sid base_sid has a context already, at base:11:1`},
		{"ANamedContextThatIsWrong", `(context c (base_user base_r base_t (base_l nowhere)))`, `t:1:45: level nowhere is not declared`},
	} {
		r.run(t)
	}
}

// TestOptionalsFallWithWhatTheyNeed has the statements of this package that name what is not there, each in an optional.
func TestOptionalsFallWithWhatTheyNeed(t *testing.T) {
	for _, text := range []string{
		"(allow missing base_t (base_file (read)))", "(allow base_t base_t (missing (read)))", "(allow base_t base_t (base_file (missing)))", "(allow base_t base_t missing)",
		"(typeattributeset base_a (not missing))", "(typeattributeset missing base_t)", "(roletype missing base_t)", "(userrole base_user missing)", "(userlevel base_user missing)",
		"(userrange base_user (base_l missing))", "(userrange base_user (base_l (base_s0 (missing))))", "(classmapping missing a (base_file (read)))", "(classpermissionset missing (base_file (read)))",
		"(classcommon base_file missing)", "(sidorder (missing))", "(categoryorder (missing))", "(sensitivityorder (missing))", "(sensitivitycategory missing base_c0)",
		"(constrain (base_file (read)) (eq t1 missing))", "(validatetrans missing (eq t1 t2))", "(filecon \"/\" any missing)", "(portcon tcp 1 (base_user missing base_t base_lr))",
		"(nodecon missing 1.1.1.1 base_con)", "(sidcontext missing base_con)", "(defaultuser missing source)", "(rangetransition base_t base_t missing base_lr)",
		"(booleanif missing (true (allow base_t base_t (base_file (read)))))", "(allowx base_t base_t missing)", "(permissionx p (ioctl missing (1)))", "(typebounds base_t missing)",
		"(context c (missing base_r base_t base_lr))", "(level l (missing))", "(levelrange lr (base_l missing))", "(categoryset cs (missing))", "(typepermissive missing)",
		"(expandtypeattribute missing true)", "(deny base_t missing (base_file (read)))", "(typetransition base_t base_t base_file \"a\" missing)", "(roletransition base_r base_t base_file missing)",
	} {
		m, disabled, err := resolved(t, "(optional o (type inner) "+text+") (optional p (typeattributeset base_a inner))", Options{})
		if err != nil || len(disabled) != 2 || show(m) != "" {
			t.Errorf("%s: %v, %d optionals left out, want both: %v", text, err, len(disabled), disabled)
		}
	}
}
