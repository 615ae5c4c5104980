// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"reflect"
	"strings"
	"testing"
)

const (
	testPasswd = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\nnohome:x:7:7:::\n"
	testGroup  = "root:x:0:\nwheel:x:10:alice,root\nalice:x:1000:\naudio:x:29:alice\nagain:x:29:alice\nstaff:x:50:\n"
)

func TestUsersResolveAsInDocker(t *testing.T) {
	for text, want := range map[string]User{
		"":            {Home: "/root", AdditionalGroups: []uint32{10}},
		"root":        {Home: "/root", AdditionalGroups: []uint32{10}},
		"alice":       {1000, 1000, []uint32{10, 29}, "/home/alice"},
		"1000":        {1000, 1000, []uint32{10, 29}, "/home/alice"},
		"alice:staff": {UID: 1000, GID: 50, Home: "/home/alice"},
		"alice:0":     {UID: 1000, GID: 0, Home: "/home/alice"},
		"4242":        {UID: 4242, Home: "/"},
		"4242:4243":   {UID: 4242, GID: 4243, Home: "/"},
		"nohome":      {UID: 7, GID: 7, Home: "/"},
	} {
		got, err := findUser(text, strings.NewReader(testPasswd), strings.NewReader(testGroup))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestUsersThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct{ text, passwd, group string }{
		"unknown user":           {"bob", testPasswd, testGroup},
		"unknown group":          {"alice:nobody", testPasswd, testGroup},
		"number out of range":    {"4294967295", testPasswd, testGroup},
		"negative number":        {"-1", testPasswd, testGroup},
		"white space":            {"alice root", testPasswd, testGroup},
		"hostile number in file": {"evil", "evil:x:4294967295:0::/:/bin/sh\n", testGroup},
		"hostile group in file":  {"evil", "evil:x:1:-1::/:/bin/sh\n", testGroup},
		"hostile further group":  {"evil", "evil:x:1:1::/:/bin/sh\n", "g:x:4294967295:evil\n"},
		"endless line":           {"bob", strings.Repeat("a", 1<<20), testGroup},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := findUser(c.text, strings.NewReader(c.passwd), strings.NewReader(c.group))
			if err == nil {
				t.Fatalf("got %+v", got)
			}
			wantUsage(t, err, "--user", "")
		})
	}
}

func FuzzFindUser(f *testing.F) {
	f.Add("alice:staff", testPasswd, testGroup)
	f.Add("1", "a:::::\n", ":::a\n")
	f.Fuzz(func(t *testing.T, text, passwd, group string) {
		found, err := findUser(text, strings.NewReader(passwd), strings.NewReader(group))
		if err == nil && (found.UID > 1<<31-1 || found.GID > 1<<31-1 || found.Home == "" || len(found.AdditionalGroups) > maxGroups) {
			t.Fatalf("got %+v", found)
		}
	})
}
