// SPDX-License-Identifier: Apache-2.0

package syntax_test

import (
	"reflect"
	"testing"

	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
	"github.com/bulkhead-project/bulkhead/source"
)

// everyRule has each kind of rule, with its operands in the orders that are allowed.
const everyRule = `abi <kernel>,
@{A} = a "b c" d \
 e\\
@{B} = x
@{B} += y
@{A} += "" "#"
${C} = TRUE
alias /a/ -> "/b c/",

/usr/bin/{a,b} {
  @{LOCAL} = /a /b
  @{LOCAL} += "/c d"
  all,
  audit all,
  capability,
  deny capability sys_admin chown,
  change_profile,
  change_profile -> @{A},
  change_profile /x -> :n://y,
  change_profile unsafe "/x y" -> z,
  dbus,
  dbus (send, receive) bus=system path=/{a,b}/c interface=(x) member="m n" peer=(name=(a|b), label=c),
  dbus bind name=a.b,
  dbus eavesdrop,
  file,
  /a r,
  owner "/a b" rwmlk,
  other /a\ b w,
  deny /x wx,
  rl /y,
  /p Pix -> a//b,
  safe px /q -> &c,
  unsafe CUx /q,
  unsafe /q Ux,
  audit allow owner @{A}/z ix,
  priority=-5 prompt /a w,
  file r /a,
  link subset /a -> /b,
  l /a -> /b,
  l subset /a -> /b,
  io_uring,
  io_uring (sqpoll, override_creds) label=x,
  mount,
  mount options=ro options in (nosuid nodev) fstype=(ext3, ext4) vfstype={a,b} "a b" -> /c,
  mount none -> /x,
  remount options=bind /x,
  umount /x,
  mqueue,
  mqueue (create, read) type=sysv label="a b" 123,
  mqueue rw /x,
  network,
  network inet tcp,
  network (send, receive) inet6 dgram ip=::1 port=1-2 peer=(ip=none, port=53),
  network raw peer=(),
  pivot_root,
  pivot_root oldroot=/a/ /b/ -> c,
  ptrace,
  ptrace (read, trace) peer=@{profile_name},
  set rlimit nice <= -5,
  set rlimit cpu <= 2 min,
  set rlimit rttime <= 3s,
  set rlimit data <= 5M,
  set rlimit as <= infinity,
  signal,
  signal send set=(hup rtmin+3) set=int peer="a b",
  unix,
  unix (bind, listen) type=stream addr=@a,
  unix peer=(),
  unix connect peer=(label=x, addr=none),
  userns,
  deny userns create,
  audit {
    deny { /q r, network, owner { capability chown, link /a -> /b, set rlimit cpu <= 1, } }
  }

  ^hat { /a r, }
  hat other flags=(complain) { }
  profile empty /y xattrs=() { }
  profile child /x xattrs=(a=b c user.x="d e") flags=(attach_disconnected.path=/y, kill.signal=hup, error=EPERM) {
    profile inner { }
    ^deep { }
  }
}
profile :ns:x { }
profile ":ns://y z" { }
`

// plain returns a tree without its positions, for comparing.
func plain(policy *syntax.Policy) *syntax.Policy {
	policy.Warnings = nil
	forget(reflect.ValueOf(policy), map[uintptr]bool{})
	return policy
}

func forget(v reflect.Value, seen map[uintptr]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && !seen[v.Pointer()] {
			seen[v.Pointer()] = true
			forget(v.Elem(), seen)
		}
	case reflect.Interface:
		forget(v.Elem(), seen)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[source.Position]() {
			v.SetZero()
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				forget(v.Field(i), seen)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			forget(v.Index(i), seen)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			forget(v.MapIndex(key), seen)
		}
	}
}

func TestFormatReadsBackAsTheSameTree(t *testing.T) {
	policy, err := syntax.Parse("t", everyRule, syntax.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if rules := len(policy.Profiles[0].Rules); rules != 64 {
		t.Errorf("%d rules", rules)
	}
	sameAgain(t, policy, syntax.Options{})
}

// sameAgain fails unless the policy's text is read into the same tree.
func sameAgain(t *testing.T, policy *syntax.Policy, options syntax.Options) {
	t.Helper()
	text := syntax.Format(policy)
	again, err := syntax.Parse("again", text, options)
	if err != nil {
		t.Fatalf("%v\nin the text\n%s", err, text)
	}
	again.Files, policy.Files = nil, nil
	if !reflect.DeepEqual(plain(policy), plain(again)) {
		t.Fatalf("another tree, which is\n%s\nof the text\n%s", syntax.Format(again), text)
	}
	if third := syntax.Format(again); third != text {
		t.Fatalf("not the same text again:\n%s\nof\n%s", third, text)
	}
}
