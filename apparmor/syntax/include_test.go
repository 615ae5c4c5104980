// SPDX-License-Identifier: Apache-2.0

package syntax_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

var includable = fstest.MapFS{
	"etc/apparmor.d/rule":             file("# a comment\n  /rule r,\n"),
	"etc/apparmor.d/bad":              file("\n  /bad q,\n  /good r,\n"),
	"etc/apparmor.d/itself":           file("/before r,\ninclude <itself>\n/after r,\n"),
	"etc/apparmor.d/first":            file("include <second>\n/first r,\n"),
	"etc/apparmor.d/second":           file("include <first>\n/second r,\n"),
	"etc/apparmor.d/open":             file("^hat {\n"),
	"etc/apparmor.d/with space":       file("/space r,\n"),
	"etc/apparmor.d/dir/b":            file("/b r,\n"),
	"etc/apparmor.d/dir/a":            file("/a r,\n"),
	"etc/apparmor.d/dir/a.dpkg-old":   file("bad"),
	"etc/apparmor.d/dir/a~":           file("bad"),
	"etc/apparmor.d/dir/.a":           file("bad"),
	"etc/apparmor.d/dir/a.rpmsave":    file("bad"),
	"etc/apparmor.d/dir/README":       file("bad"),
	"etc/apparmor.d/dir/sub/not-read": file("bad"),
	"etc/apparmor.d/abi/4.0":          file("query {}\n"),
	"usr/share/other/elsewhere":       file("/elsewhere r,\n"),
	"home/relative":                   file("/relative r,\n"),
}

// paths are those of the file rules of the first profile.
func paths(policy *syntax.Policy) string {
	var all []string
	for _, rule := range policy.Profiles[0].Rules {
		all = append(all, rule.(*syntax.FileRule).Path.Text)
	}
	return strings.Join(all, " ")
}

func TestIncludes(t *testing.T) {
	options := syntax.Options{Files: includable, Include: []string{"/nowhere", "/usr/share/other"}, Directory: "/home"}
	for name, row := range map[string]struct{ text, want string }{
		"WithMark":                {"#include <rule>", "/rule"},
		"WithoutMark":             {"include <rule>", "/rule"},
		"NoBlank":                 {"#include<rule>", "/rule"},
		"AnotherRuleOnTheLine":    {"include <rule> /x r,", "/rule /x"},
		"CommentThatSpeaksOfThem": {"# include <none>\n#includes are fine\n/x r,", "/x"},
		"Absolute":                {`include "/etc/apparmor.d/rule"`, "/rule"},
		"AbsoluteWithoutMarks":    {"include /etc/apparmor.d/rule", "/rule"},
		"RelativeToTheDirectory":  {`include "relative"`, "/relative"},
		"SpacedMagic":             {"include < \"with space\" >", "/space"},
		"QuotedMagic":             {`include <"with space">`, "/space"},
		"SearchPath":              {"include <elsewhere>", "/elsewhere"},
		"IfExists":                {"include if exists <rule>\ninclude if exists <none>", "/rule"},
		"DirectoryInOrder":        {"include <dir>", "/a /b"},
		"TwiceIsTwice":            {"include <rule>\ninclude <rule>", "/rule /rule"},
		"ItselfIsLeftOut":         {"include <itself>", "/before /after"},
		"ARoundIsLeftOut":         {"include <first>", "/second /first"},
	} {
		policy, err := syntax.Parse("t", "profile t {\n"+row.text+"\n}\n", options)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := paths(policy); got != row.want {
			t.Errorf("%s: %s, wanted %s", name, got, row.want)
		}
	}
}

func TestIncludesThatCannotBe(t *testing.T) {
	for name, row := range map[string]struct{ text, want string }{
		"Missing":         {"include <none>", `t:2:1: include "none": file does not exist`},
		"MissingRelative": {`include "none"`, `t:2:1: include "none": file does not exist`},
		"NotClosed":       {"include <none\n", `t:2:9: the name of the file is not closed on its line, expected >`},
		"NoName":          {"include <>", `t:2:9: no name of a file, expected a file: <path> or "path"`},
		"BadCondition":    {"include if exist <rule>", "t:2:12: bad condition of an include, expected exists"},
		"PlaceInTheFile":  {"include <bad>", `/etc/apparmor.d/bad:2:8: unexpected "q", expected permissions of rwalkmxipuc`},
		"BlockLeftOpen":   {"include <open>", "/etc/apparmor.d/open:1:6: the block is not closed, expected }"},
		"WithinARule":     {"/a #include <rule>", `t:2:4: unexpected "#include", expected permissions of rwalkmxipuc`},
		"MissingABI":      {"abi <none>,", `t:2:1: abi "none": file does not exist`},
		"ABIWithoutComma": {"abi <abi/4.0>", `t:3:1: unexpected "}", expected "," after the rule`},
		"LeavesTheFiles":  {"include </../../../etc/passwd>", `t:2:1: include "/../../../etc/passwd": file does not exist`},
		"NothingToRead":   {"include \"\"", `t:2:9: no name of a file, expected a file: <path> or "path"`},
		"QuoteNotClosed":  {"include \"rule", `t:2:9: the quotation mark is not closed on its line, expected "`},
		"QuoteInMagic":    {"include <\"rule>", `t:2:9: the quotation mark is not closed, expected "`},
	} {
		_, err := syntax.Parse("t", "profile t {\n"+row.text+"\n}\n", syntax.Options{Files: includable})
		if err == nil || err.Error() != row.want {
			t.Errorf("%s: %v\nwanted %s", name, err, row.want)
		}
	}
}

func TestFilesAreListedOnceInTheOrderOfReading(t *testing.T) {
	policy, err := syntax.Parse("t", "abi <abi/4.0>,\nprofile t {\n include <dir>\n include <rule>\n include <rule>\n}\n", syntax.Options{Files: includable})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"t", "/etc/apparmor.d/dir/a", "/etc/apparmor.d/dir/b", "/etc/apparmor.d/rule"}; !slices.Equal(policy.Files, want) {
		t.Errorf("%v, wanted %v", policy.Files, want)
	}
}

func TestTheFirstABIStays(t *testing.T) {
	policy, err := syntax.Parse("t", "abi <kernel>,\nabi <abi/4.0>,\nprofile t { }\n", syntax.Options{Files: includable})
	if err != nil || policy.ABI.Path != "kernel" || len(policy.Warnings) != 1 {
		t.Errorf("%+v, %v, %v", policy.ABI, policy.Warnings, err)
	}
}

// Every text here would take longer than a life or more memory than there is.
func TestHostileTextsEndInErrors(t *testing.T) {
	bomb := fstest.MapFS{}
	for i := range 60 {
		bomb[fmt.Sprintf("etc/apparmor.d/bomb%d", i)] = file(fmt.Sprintf("include <bomb%d>\ninclude <bomb%d>\n", i+1, i+1))
	}
	bomb["etc/apparmor.d/bomb60"] = file("/x r,\n")
	for i := range 70 {
		bomb[fmt.Sprintf("etc/apparmor.d/deep%d", i)] = file(fmt.Sprintf("include <deep%d>\n", i+1))
	}
	var chain, wide strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&chain, "@{V%d}=@{V%d}\n", i, i+1)
		fmt.Fprintf(&wide, "@{W%d}=@{W%d}@{W%d}\n", i+1, i, i)
	}
	for name, row := range map[string]struct{ text, want string }{
		"EachFileTwice":      {"profile t { include <bomb0> }", "readings of files"},
		"FilesInFiles":       {"profile t { include <deep0> }", "files include each other more than 64 deep"},
		"BlocksInBlocks":     {"profile t " + strings.Repeat("{ ", 1<<20), "nested more than 400 deep"},
		"ConditionsInOne":    {"profile t { if " + strings.Repeat("(", 1<<20), "nested more than 400 deep"},
		"Rules":              {"profile t {" + strings.Repeat("all,", 1<<19) + "}", "more than 262144 rules"},
		"Words":              {"@{A}=" + strings.Repeat("a ", 1<<21), "more than 1048576 words"},
		"ValuesOneByOne":     {"@{A}=a\n" + strings.Repeat("@{A}+=a\n", 1<<20), "more than 1048576 words"},
		"ExtendedAttributes": {"/a xattrs=(" + strings.Repeat("a ", 1<<21), "more than 1048576 words"},
		"Errors":             {"profile t {" + strings.Repeat("q,\n", 1<<19) + "}", "too many errors"},
		"LongLine":           {"profile t {" + strings.Repeat("q", 1<<20), "unexpected"},
		"VariablesInARow":    {chain.String() + "@{V5000}=a\nprofile t { /@{V0} r, }", "more than 1000 variables are defined by one another"},
		"VariablesThatDouble": {"@{W0}=0123456789\n" + wide.String() + "profile t { /@{W900} r, }",
			"stands for more than 4194304 bytes"},
		"TooMuchTogether": {"@{A}=" + strings.Repeat("a", 1<<20) + "\nprofile t {" + strings.Repeat("/@{A} r,\n", 1000) + "}", "too much text"},
	} {
		_, err := syntax.Parse("t", row.text, syntax.Options{Files: bomb})
		if err == nil || !strings.Contains(err.Error(), row.want) {
			text := fmt.Sprint(err)
			t.Errorf("%s: %.300s\nwanted %s", name, text, row.want)
		}
	}
}
