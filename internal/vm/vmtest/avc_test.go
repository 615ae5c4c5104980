// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"reflect"
	"testing"
)

const denial = `audit(1700000000.123:45): avc:  denied  { read open } for  pid=95 comm="cat" name="fB" dev="tmpfs" ino=7 ` +
	`scontext=system_u:system_r:container_t:s0:c1,c2 tcontext=system_u:object_r:container_file_t:s0:c3,c4 tclass=file permissive=0`

func TestDenialIsParsed(t *testing.T) {
	got, err := ParseAVC(denial)
	want := AVC{
		Denied: true, Permissions: []string{"read", "open"}, Class: "file", Command: "cat",
		Source: "system_u:system_r:container_t:s0:c1,c2", Target: "system_u:object_r:container_file_t:s0:c3,c4",
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestOtherRecordsAreErrors(t *testing.T) {
	for _, text := range []string{
		"",
		`audit(1:2): apparmor="DENIED" operation="open"`,
		"avc: denied { read",
		"avc: wondered { read } scontext=a tcontext=b tclass=c",
		"avc: denied { } scontext=a tcontext=b tclass=c",
		"avc: denied { read } scontext=a tcontext=b",
	} {
		if record, err := ParseAVC(text); err == nil {
			t.Errorf("%q became %+v", text, record)
		}
	}
}

func FuzzParseAVC(f *testing.F) {
	f.Add(denial)
	f.Fuzz(func(t *testing.T, text string) {
		if record, err := ParseAVC(text); err == nil && len(record.Permissions) == 0 {
			t.Errorf("%q: a record without permissions", text)
		}
	})
}
