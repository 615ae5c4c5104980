// SPDX-License-Identifier: Apache-2.0

package cil

import "testing"

func TestTypesRolesAndUsers(t *testing.T) {
	for _, f := range []finding{
		{"AttributesAreExpressions", `(type x) (type y) (typeattribute a) (typeattributeset a (and (not x) (xor y base_a))) (typeattributeset a (x y)) (typeattributeset a (x)) (typeattributeset a x)
			(typeattributeset a (all))`, `
			types x y a
			typeattributeset a (and (not x) (xor y base_a))
			typeattributeset a (or x y)
			typeattributeset a x
			typeattributeset a x
			typeattributeset a (all)`},
		{"AnAliasIsWhatItStandsFor", `(typealias n) (typealiasactual n m) (typealias m) (typealiasactual m x) (type x) (typeattributeset base_a (n))`, `
			types x
			alias n x
			alias m x
			typeattributeset base_a x`},
		{"SeveralAttributesAreExpandedAtOnce", `(typeattribute a) (typeattribute b) (expandtypeattribute (a b) true) (expandtypeattribute a false)`, `
			types a b
			expandtypeattribute a b true
			expandtypeattribute a false`},
		{"TypesOfTwoBlocksAreApart", `(block one (type x) (typebounds x y) (type y)) (block two (type x) (typepermissive x)) (typebounds one.x two.x) (typepermissive .two.x)`, `
			types one.x one.y two.x
			permissive two.x two.x
			bounds one.x one.y
			bounds one.x two.x`},
		{"RolesHaveTypesAndAttributes", `(role r) (roleattribute ra) (roleattributeset ra (r base_r)) (roletype ra base_a) (roleallow r ra) (roletransition ra base_a base_process r) (rolebounds base_r r)`, `
			roles r ra
			roleattributeset ra (or r base_r)
			bounds base_r r
			roletype ra base_a
			roletransition ra base_a base_process r
			roleallow r ra`},
		{"UsersHaveLevelsNamedAndNot", `(user u) (userlevel u base_l) (userlevel u (base_s0 (base_c1))) (userrange u base_lr) (userrange u (base_l (base_s0 (range base_c0 base_c2)))) (userattribute ua)
			(userattributeset ua (not u)) (userrole ua base_r) (userbounds base_user u) (userprefix u staff)`, `
			users u ua
			userattributeset ua (not u)
			bounds base_user u
			userrole ua base_r
			userlevel u base_s0
			userlevel u base_s0:base_c1
			userrange u base_s0-base_s0
			userrange u base_s0-base_s0:(range base_c0 base_c2)
			userprefix u staff`},
		{"LoginsHaveADefault", `(selinuxuser root base_user base_lr) (selinuxuserdefault base_user (base_l base_l))`, `
			selinuxuser "root" base_user base_s0-base_s0
			selinuxuser "" base_user base_s0-base_s0`},
		{"AMacroGivesTypesWhereItIsCalled", `(macro m ((type p) (role q)) (type inner) (typeattributeset base_a (p inner)) (roletype q p)) (block b (type x) (call m (x base_r)))`, `
			types b.x b.inner
			typeattributeset base_a (or b.x b.inner)
			roletype base_r b.x`},
	} {
		f.run(t)
	}
}

func TestTypesRolesAndUsersRefused(t *testing.T) {
	for _, r := range []refusal{
		{"OperatorsStandFirst", `(typeattributeset base_a (base_t and base_t))`, `t:1:34: types of typeattributeset: "and", expected a name: operators stand first in a list`},
		{"OperatorsHaveTwoOperands", `(typeattributeset base_a (and base_t base_t base_t))`, `t:1:26: types of typeattributeset: and with 3 operands, of 2`},
		{"TypesHaveNoRanges", `(typeattributeset base_a (range base_t base_t))`, `t:1:27: types of typeattributeset: the operator range is not one of this expression`},
		{"AnEmptyListIsNoExpression", `(typeattributeset base_a ())`, `t:1:26: types of typeattributeset: an empty list, expected an expression`},
		{"SelfIsATargetOnly", `(typeattributeset base_a (self))`, `t:1:27: self stands for targets of rules only`},
		{"AnAttributeIsNotAType", `(typepermissive base_a)`, `t:1:17: base_a is a type attribute, expected a type`},
		{"ATypeIsNotAnAttribute", `(expandtypeattribute (base_t) true)`, `t:1:23: base_t is a type, expected a type attribute`},
		{"ANearNameIsHinted", `(typepermissive base_x)`, `t:1:17: type base_x is not declared; there is base_a`},
		{"ANearKeywordIsHinted", `(typeatribute x)`, `t:1:1: unknown statement typeatribute; there is typeattribute`},
		{"AFormThatIsWrongComesBeforeNames", "(typepermissive zzz)\n(roletype base_r base_a base_a)", "t:2:1: roletype with 3 operands, expected (roletype role type)"},
		{"AllNamesThatAreMissingAreTold", "(typepermissive zzz)\n(roletype yyy base_a)\n(allow base_t base_a (base_file (write xxx)))",
			"t:1:17: type zzz is not declared\nt:2:11: role yyy is not declared\nt:3:40: class base_file has no permission xxx"},
		{"AFarNameIsNot", `(typepermissive zzzzz)`, `t:1:17: type zzzzz is not declared`},
		{"ACircleThroughThreeAttributes", `(typeattribute x) (typeattribute y) (typeattributeset base_a x) (typeattributeset x (not y)) (typeattributeset y (base_t base_a))`,
			`t:1:94: attribute base_a is a part of itself`},
		{"BoundsInACircle", `(type x) (typebounds base_t base_u) (typebounds base_u x) (typebounds x base_t)`,
			`t:1:10: base_u is bound by itself`},
		{"TwoParents", `(type x) (typebounds base_t x) (typebounds base_u x)`, `t:1:32: x is bound already, by base_t`},
		{"ARoleAttributeAsAResult", `(roleattribute ra) (roletransition base_r base_t base_process ra)`, `t:1:63: ra is a role attribute, expected a role`},
		{"AUserAttributeWithALevel", `(userattribute ua) (userlevel ua base_l)`, `t:1:31: ua is a user attribute, expected a user`},
		{"AUserWithoutALevel", `(user u) (userrange u base_lr)`, `t:1:7: user u has no userlevel`},
		{"AUserWithoutARange", `(user u) (userlevel u base_l)`, `t:1:7: user u has no userrange`},
		{"TwoDefaultLogins", `(selinuxuserdefault base_user base_lr) (selinuxuserdefault base_user base_lr)`, `t:1:40: selinuxuserdefault is said already, at t:1:1`},
		{"AStatementInAMacroThatNobodyCalls", `(macro m ((type x)) (allow x))`, `t:1:21: allow with 1 operands, expected (allow source target permissions)`},
		{"TheCallIsNamed", "(macro m ((type x))\n  (typepermissive x))\n(call m (base_a))", `t:2:19: x is a type attribute, expected a type, in macro m called at t:3:1`},
	} {
		r.run(t)
	}
}
