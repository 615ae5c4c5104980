// SPDX-License-Identifier: Apache-2.0

package cil

import "testing"

func TestRules(t *testing.T) {
	for _, f := range []finding{
		{"PermissionsAreListsAndExpressions", `(allow base_t base_a (base_file (read))) (auditallow base_a self (base_file (read write))) (dontaudit base_t base_t (base_file (all)))
			(neverallow base_a base_t (base_file (not (read write)))) (deny base_t base_t (base_file (and (read write) (xor read append))))`, `
			allow base_t base_a base_file read
			auditallow base_a self base_file (or read write)
			dontaudit base_t base_t base_file (all)
			neverallow base_a base_t base_file (not (or read write))
			deny base_t base_t base_file (and (or read write) (xor read append))`},
		{"TargetsSeenFromTheSource", `(allow base_a notself (base_file (read))) (allow base_a other (base_file (read))) (deny base_a other (base_file (read)))`, `
			allow base_a notself base_file read
			allow base_a other base_file read
			deny base_a other base_file read`},
		{"NamedPermissionsAreWhatTheirSetsHold", `(classpermission cp) (allow base_t base_u cp) (classpermissionset cp (base_file (read))) (classpermissionset cp other) (classpermission other)
			(classpermissionset other (base_process (all)))`, `
			allow base_t base_u base_file read, base_process (all)`},
		{"PermissionsPassedToAMacro", `(classpermission cp) (classpermissionset cp (base_file (write))) (macro m ((classpermission p) (class c)) (allow base_t base_u p) (allow base_u base_t (c (read))))
			(call m ((base_file (read append)) base_file)) (call m (cp base_file))`, `
			allow base_t base_u base_file (or read append)
			allow base_u base_t base_file read
			allow base_t base_u base_file write
			allow base_u base_t base_file read`},
		{"MapsOfMaps", `(classmap low (see)) (classmap high (look)) (classmapping high look (low (see))) (classmapping low see (base_file (read))) (classmapping low see (base_process (fork)))
			(allow base_t base_u (high (look)))`, `
			classmaps low high
			classmapping high look low see
			classmapping low see base_file read
			classmapping low see base_process fork
			allow base_t base_u high look`},
		{"TypeRules", `(typetransition base_t base_a base_file base_u) (typetransition base_t self base_file "a b" base_u) (typetransition base_t base_a base_file * base_u)
			(typechange base_a base_t base_file base_u) (typemember base_t base_t base_file base_t)`, `
			typetransition base_t base_a base_file base_u
			typetransition base_t self base_file "a b" base_u
			typetransition base_t base_a base_file "*" base_u
			typechange base_a base_t base_file base_u
			typemember base_t base_t base_file base_t`},
		{"ANamePassedToAMacro", `(macro m ((name n) (string p)) (typetransition base_t base_t base_file n base_u) (filecon p any ())) (call m (file "/a"))`, `
			typetransition base_t base_t base_file "file" base_u
			filecon "/a" 0 <<none>>`},
		{"ConditionsHoldTheirRules", `(boolean b true) (boolean c false) (booleanif (and b (not c)) (true (allow base_t base_u (base_file (read)))) (false (typechange base_t base_u base_file base_t)))
			(booleanif (b c) (false (dontaudit base_t base_u (base_file (read))) (allowx base_t base_u (ioctl base_file (1)))))`, `
			boolean b true
			boolean c false
			if (and b (not c))
			allow base_t base_u base_file read
			else
			typechange base_t base_u base_file base_t
			if (or b c)
			else
			dontaudit base_t base_u base_file read
			allowx base_t base_u ioctl base_file 0x1`},
		{"BooleansPassedToAMacro", `(boolean b true) (macro m ((boolean p)) (booleanif (eq p b) (true (allow base_t base_u (base_file (read)))))) (call m (b))`, `
			boolean b true
			if (eq b b)
			allow base_t base_u base_file read
			else`},
		{"CommandsAreNumbersAndExpressions", `(permissionx p (ioctl base_file (and (range 0x8900 0x89ff) (not (range 0x8910 35093))))) (allowx base_t self p) (allowx base_t base_u (ioctl base_file (010 16 0xFFFF)))
			(dontauditx base_t base_u (ioctl base_file (not (all)))) (neverallowx base_a notself (ioctl base_file ((range 1 2) 4)))`, `
			allowx base_t base_u ioctl base_file (or 0x8 0x10 0xffff)
			dontauditx base_t base_u ioctl base_file (not (all))
			neverallowx base_a notself ioctl base_file (or 0x1-0x2 0x4)`},
		{"NamedCommands", `(permissionx p (ioctl base_file (and (range 0x8900 0x89ff) (not (range 0x8910 35093))))) (auditallowx base_t base_t p)`, `
			auditallowx base_t base_t ioctl base_file (and 0x8900-0x89ff (not 0x8910-0x8915))`},
		{"MessagesOfNetlink", `(class netlink (nlmsg)) (classorder (unordered netlink)) (allowx base_t base_t (nlmsg netlink (0x10)))`, `
			classes netlink
			allowx base_t base_t nlmsg netlink 0x10`},
	} {
		f.run(t)
	}
}

func TestRulesRefused(t *testing.T) {
	for _, r := range []refusal{
		{"PermissionsNeedTheirClass", `(allow base_t base_t (read))`, `t:1:22: permissions of allow: the list (read ...), expected (class (permission ...))`},
		{"PermissionsAreAList", `(allow base_t base_t (base_file read))`, `t:1:33: permissions of allow: "read", expected a list`},
		{"TwoClassesNeedAName", `(allow base_t base_t ((base_file (read)) (base_process (fork))))`, `t:1:23: permissions of allow: the list (base_file ...), expected a word`},
		{"AnUnknownPermission", `(allow base_t base_t (base_file (raed)))`, `t:1:34: class base_file has no permission raed`},
		{"ANearPermissionIsHinted", `(allow base_t base_t (base_file (appent)))`, `t:1:34: class base_file has no permission appent; there is append`},
		{"SelfIsNoSource", `(allow self base_t (base_file (read)))`, `t:1:8: self stands for targets of rules only`},
		{"NotselfIsOfAccessRules", `(typechange base_t notself base_file base_t)`, `t:1:20: notself is not a target of type rules, which take types, attributes and self`},
		{"AResultIsAType", `(typetransition base_t base_t base_file "x" base_a)`, `t:1:45: base_a is a type attribute, expected a type`},
		{"ASetInACircle", `(classpermission a) (classpermission b) (classpermissionset a b) (classpermissionset b a)`, `t:1:88: classpermission a is a part of itself`},
		{"ASetOfNothing", `(classpermission a)`, `t:1:18: classpermission a has no classpermissionset`},
		{"AMapOfNothing", `(classmap m (a)) (classmapping m a (base_file (read))) (classmap n (b))`, `t:1:66: permission b of class map n has no classmapping`},
		{"AMapInACircle", `(classmap m (a)) (classmap n (b)) (classmapping m a (n (b))) (classmapping n b (m (all)))`, `t:1:11: permission a of class map m stands for itself`},
		{"AMappingOfAClass", `(classmapping base_file read (base_file (read)))`, `t:1:15: base_file is a class, expected a class map`},
		{"AnArgumentHasNoName", `(macro m ((classpermission p)) (classpermissionset p (base_file (read)))) (call m ((base_file (read))))`,
			`t:1:52: p is not the name of permissions here: the macro was called with permissions that have none, in macro m called at t:1:75`},
		{"AnArgumentOfAWrongShape", `(macro m ((classpermission p)) (allow base_t base_t p)) (call m ((base_file read)))`, `t:1:77: permissions: "read", expected a list`},
		{"CommandsAreOfSixteenBits", `(allowx base_t base_t (ioctl base_file (0x10000)))`, `t:1:41: permissionx of allowx: "0x10000", expected a number of at most 16 bits`},
		{"CommandsAreNumbers", `(allowx base_t base_t (ioctl base_file (TCGETS)))`, `t:1:41: permissionx of allowx: "TCGETS", expected a number of at most 16 bits`},
		{"ARangeThatFalls", `(allowx base_t base_t (ioctl base_file (range 2 1)))`, `t:1:40: range from 0x2 to 0x1`},
		{"AClassWithoutCommands", `(allowx base_t base_t (ioctl base_process (1)))`, `t:1:23: class base_process has no permission ioctl`},
		{"ANamedSetOfAClassWithoutCommands", `(permissionx p (ioctl base_process (1)))`, `t:1:16: class base_process has no permission ioctl`},
		{"AMapOfAClassWithoutCommands", `(classmap m (a)) (classmapping m a (base_file (read))) (classmapping m a (base_process (fork))) (allowx base_t base_t (ioctl m (1)))`,
			`t:1:119: class base_process has no permission ioctl`},
		{"AConditionThatIsTooDeep", `(boolean b true) (booleanif (or b (or b (or b (or b (or b (or b (or b (or b (or b (or b b)))))))))) (true (allow base_t base_t (base_file (read)))))`,
			`t:1:29: the condition needs 11 operands at a time, the kernel holds 10`},
		{"AConditionOverAType", `(booleanif base_t (true (allow base_t base_t (base_file (read)))))`, `t:1:12: boolean base_t is not declared`},
		{"ACommandInAConditionOfAnOldPolicy", `(boolean b true) (booleanif b (true (allowx base_t base_t (ioctl base_file (1)))))`, `t:1:37: allowx is not allowed in booleanif`},
		{"ANeverallowInACondition", `(boolean b true) (booleanif b (true (neverallow base_t base_t (base_file (read)))))`, `t:1:37: neverallow is not allowed in booleanif`},
	} {
		r.run(t)
	}
}
