// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"reflect"
	"strings"
	"testing"
)

const someID = "00112233445566778899aabbccddeeff"

func TestKeysThatAreNotFullyUnderstoodAreErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{"version":1,"owners":[{"node":"a","id":"` + someID + `","holder":"web"}]}`: "",
		``:                          "byte 0: EOF",
		`{"version":1,"owners":[]}`: "no owner",
		`{"version":2,"owners":[{"node":"a","id":"` + someID + `"}]}`:                                             "version 2",
		`{"version":1,"owners":[{"node":"a","id":"` + someID + `","until":3}]}`:                                   "unknown field",
		`{"version":1,"owners":[{"node":"a/b","id":"` + someID + `"}]}`:                                           "owner 0: node name",
		`{"version":1,"owners":[{"node":"","id":"` + someID + `"}]}`:                                              "owner 0: node name",
		`{"version":1,"owners":[{"node":"a","id":"` + someID[:30] + `"}]}`:                                        "owner 0: identity",
		`{"version":1,"owners":[{"node":"a","id":"` + someID + `"},{"node":"b","id":"` + someID + `"}]}`:          "twice",
		`{"version":1,"owners":[{"node":"a","id":"` + someID + `","holder":"` + strings.Repeat("x", 257) + `"}]}`: "257 bytes",
		`{"version":1,"owners":[{"node":"a","id":"` + someID + `"}]} 1`:                                           "more than one value",
		strings.Repeat(" ", maxEntry+1):                                                                           "longer than",
	} {
		_, err := decodeOwners([]byte(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.100s: %v, where %q is wanted", text, err, want)
		}
	}
}

func TestAContainersNameIsCutForOthersToRead(t *testing.T) {
	owner := (&Cluster{Node: "a"}).owner(someID, strings.Repeat("ü", 300))
	data, err := encodeOwners([]Owner{owner})
	if err != nil {
		t.Fatal(err)
	}
	if read, err := decodeOwners(data); err != nil || !reflect.DeepEqual(read, []Owner{owner}) {
		t.Errorf("got %v, %v", read, err)
	}
}

func FuzzKeys(f *testing.F) {
	f.Add([]byte(`{"version":1,"owners":[{"node":"a","id":"` + someID + `","holder":"web"},{"node":"b","id":"ff` + someID[2:] + `"}]}`))
	f.Add([]byte(`{"version":1,"id":"` + someID + `"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		decodeNode(data)
		owners, err := decodeOwners(data)
		if err != nil {
			return
		}
		again, err := encodeOwners(owners)
		if err != nil {
			t.Fatal(err)
		}
		if read, err := decodeOwners(again); err != nil || !reflect.DeepEqual(read, owners) {
			t.Errorf("%q: %v became %v, %v", data, owners, read, err)
		}
	})
}
