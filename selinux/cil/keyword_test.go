// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// language are the statements of CIL that libsepol 3.8.1 reads (parse_statement of cil_build_ast.c); the one beyond them, <src_info>, its parser makes of line marks.
const language = `allow allowx auditallow auditallowx block blockabstract blockinherit boolean booleanif call category categoryalias categoryaliasactual categoryorder categoryset
class classcommon classmap classmapping classorder classpermission classpermissionset common constrain context defaultrange defaultrole defaulttype defaultuser deny
devicetreecon dontaudit dontauditx expandtypeattribute false filecon fsuse genfscon handleunknown ibendportcon ibpkeycon in iomemcon ioportcon ipaddr level levelrange macro
mls mlsconstrain mlsvalidatetrans netifcon neverallow neverallowx nodecon optional pcidevicecon permissionx pirqcon policycap portcon rangetransition role roleallow
roleattribute roleattributeset rolebounds roletransition roletype selinuxuser selinuxuserdefault sensitivity sensitivityalias sensitivityaliasactual sensitivitycategory
sensitivityorder sid sidcontext sidorder true tunable tunableif type typealias typealiasactual typeattribute typeattributeset typebounds typechange typemember typepermissive
typetransition user userattribute userattributeset userbounds userlevel userprefix userrange userrole validatetrans`

// notCovered are statements that are refused, each for a reason.
var notCovered = map[string]string{
	"pirqcon":       "Xen's interrupts: Linux has no such contexts, and reads others in their place of the file",
	"iomemcon":      "Xen's memory ranges, likewise",
	"ioportcon":     "Xen's port ranges, likewise",
	"pcidevicecon":  "Xen's devices, likewise",
	"devicetreecon": "Xen's device tree, likewise",
}

func TestEveryStatementOfTheLanguageIsCoveredOrRefusedForAReason(t *testing.T) {
	words := strings.Fields(language)
	for _, word := range words {
		keyword := keywords[word]
		switch {
		case keyword == nil:
			t.Errorf("%s is unknown", word)
		case keyword.check == nil && keyword.declare == nil && keyword.structure == scopeRoot:
			t.Errorf("the form of %s is not checked", word)
		case notCovered[word] != "" && (keyword.resolve != nil || keyword.declare != nil):
			t.Errorf("%s is covered all the same", word)
		case notCovered[word] == "" && keyword.resolve == nil && keyword.declare == nil && keyword.structure == scopeRoot && !strings.HasSuffix(word, "actual"):
			t.Errorf("%s says nothing", word)
		}
	}
	for word := range keywords {
		if !slices.Contains(words, word) {
			t.Errorf("%s is no statement of the language", word)
		}
	}
}

// FuzzCompile looks for texts that make the compiler panic or take forever, or write what cannot be read: as policies of their own, and onto one.
func FuzzCompile(f *testing.F) {
	for _, text := range []string{
		"(allow base_t self (base_file (and (read) (not (all)))))", "(typeattributeset base_a (xor base_t (base_u)))", "(mlsconstrain (base_file (read)) (dom l1 (h2)))",
		"(levelrange a ((base_s0 (range base_c0 base_c3)) base_l))", "(macro m ((levelrange l) (classpermission p)) (allow base_t base_t p)) (call m ((base_l base_l) (base_file (read))))",
		"(nodecon ::1 (1.2.3.4) base_con)", "(portcon tcp (1 2) base_con)", "(class k (a)) (classorder (unordered k))", "(permissionx p (ioctl base_file (range 0x1 010)))",
		"(classpermission p) (classpermissionset p p) (constrain p (eq t1 base_t))", "(categoryset s (s)) (sensitivitycategory base_s0 s)", "(classmap m (a)) (classmapping m a (m (all)))",
		"(optional o (type x) (roletype base_r y)) (block b (boolean x true) (booleanif (eq x x) (true (allow base_t base_t (base_file (read))))))", "(defaultrange base_file glblub)",
		"(userlevel base_user (base_s0 ()))", "(filecon \"/\" any ())", "(ibpkeycon fe80:: (1 0x2) base_con)", "(sidorder (base_sid base_sid))", "(typebounds base_t base_t)",
	} {
		f.Add(text)
	}
	base, err := Compile([]Source{{"base", []byte(testBase + "(mls true)")}}, Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		mls := true
		for _, options := range []Options{{}, {MLS: &mls, Version: 34, PreserveTunables: true}, {Onto: base.Policy}} {
			sources := []Source{{"base", []byte(testBase)}, {"t", []byte(text)}}
			if options.Onto != nil {
				sources = sources[1:]
			}
			result, err := Compile(sources, options)
			if err != nil {
				continue
			}
			policy, err := result.Policy.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := policydb.Decode(policy); err != nil {
				t.Fatal(err)
			}
		}
	})
}
