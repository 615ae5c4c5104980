// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

const loggedDenial = `avc:  denied  { read open } for  pid=95 comm="my cat" path="/data/a b" dev="tmpfs" ino=7 ` +
	`scontext=system_u:system_r:container_t:s0:c1,c2 tcontext=system_u:object_r:container_file_t:s0:c3,c4 tclass=file permissive=0`

func TestLinesOfEveryLogAreRead(t *testing.T) {
	plain := AVC{Denied: true, Permissions: []string{"read", "open"}, Source: "system_u:system_r:container_t:s0:c1,c2",
		Target: "system_u:object_r:container_file_t:s0:c3,c4", Class: "file", Command: "my cat", Object: "/data/a b"}
	number, kind := uint32(0x5401), uint16(18)
	for name, test := range map[string]struct {
		line string
		want func(*AVC)
	}{
		"AuditLog": {`type=AVC msg=audit(1700000000.123:45): ` + loggedDenial, func(*AVC) {}},
		"Dmesg":    {`[   12.345678] audit: type=1400 audit(1700000000.123:45): ` + loggedDenial + "\n", func(*AVC) {}},
		"Journal":  {`Nov 22 17:00:00 host audit[95]: AVC ` + loggedDenial + ` srawcon="system_u:system_r:gone_t:s0"`, func(a *AVC) { a.Source = "system_u:system_r:gone_t:s0" }},
		"Granted":  {strings.Replace(loggedDenial, "denied ", "granted", 1), func(a *AVC) { a.Denied = false }},
		"Permissive": {strings.Replace(loggedDenial, "permissive=0", "permissive=1", 1),
			func(a *AVC) { a.Permissive = true }},
		"Ioctl":         {loggedDenial + " ioctlcmd=0x5401", func(a *AVC) { a.Ioctl = &number }},
		"Message":       {loggedDenial + " nl-msgtype=18", func(a *AVC) { a.Message = &kind }},
		"Hexadecimal":   {strings.Replace(loggedDenial, `"/data/a b"`, "2F646174612F612062", 1), func(*AVC) {}},
		"NameAlone":     {strings.Replace(loggedDenial, `path="/data/a b"`, `name="b"`, 1), func(a *AVC) { a.Object = "b" }},
		"OfAProgram":    {`type=USER_AVC msg=audit(1.2:3): pid=1 uid=81 msg='` + loggedDenial + `  exe="/usr/bin/dbus-daemon" sauid=81'`, func(*AVC) {}},
		"OfAProgramEnd": {`type=USER_AVC msg=audit(1.2:3): pid=1 uid=81 msg='` + loggedDenial + `'`, func(*AVC) {}},
	} {
		want := plain
		test.want(&want)
		if got, err := ParseAVC(test.line); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestLinesThatAreNoDecisions(t *testing.T) {
	for _, line := range []string{"", `type=SYSCALL msg=audit(1.2:3): arch=c000003e`, `audit: type=1400 audit(1:2): apparmor="DENIED"`, "avc: received policyload notice (seqno=2)"} {
		if _, err := ParseAVC(line); !errors.Is(err, ErrNoAVC) {
			t.Errorf("%q: %v", line, err)
		}
	}
	for want, line := range map[string]string{
		"ends before":                    "avc: denied { read",
		"has no scontext":                "avc: denied { read } for tcontext=b tclass=c",
		"tclass or permission":           "avc: denied { } for scontext=a tcontext=b tclass=c",
		`ioctlcmd="x" is not a number`:   loggedDenial + " ioctlcmd=x",
		`nl-msgtype="65536" is not a nu`: loggedDenial + " nl-msgtype=65536",
	} {
		if _, err := ParseAVC(line); err == nil || errors.Is(err, ErrNoAVC) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func FuzzParseAVC(f *testing.F) {
	f.Add(loggedDenial)
	f.Add(`type=USER_AVC msg='avc:  denied  { send_msg } for  scontext=a:b:c tcontext=d:e:f tclass=dbus comm=6364 ioctlcmd=0x1 exe="x" sauid=1'`)
	f.Fuzz(func(t *testing.T, line string) {
		record, err := ParseAVC(line)
		if err == nil && (len(record.Permissions) == 0 || record.Source == "" || record.Target == "" || record.Class == "") {
			t.Errorf("%q: %+v", line, record)
		}
	})
}
