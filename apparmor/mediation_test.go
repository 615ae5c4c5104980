// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"math"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// The kernels of these tests: what decides about the encoding, nothing else.
const (
	featuresVersions = "policy {versions {v5 {yes\n}\nv6 {yes\n}\nv7 {yes\n}\nv8 {yes\n}\n}\n}\n"
	features61       = featuresVersions + `mount {mask {mount umount pivot_root
}
}
signal {mask {hup int term usr1
}
}
ptrace {mask {read trace
}
}
network_v8 {af_mask {unspec unix inet
}
}
caps {mask {chown kill sys_admin
}
}
rlimit {mask {cpu nofile
}
}
`
	features612 = features61 + `namespaces {mask {userns_create
}
}
io_uring {mask {sqpoll override_creds
}
}
`
	featuresUbuntu = features612 + `network {af_unix {yes
}
}
dbus {mask {acquire send receive
}
}
ipc {posix_mqueue {create read write open delete setattr getattr
}
}
`
	featuresOld = featuresVersions + `network {af_mask {unspec unix inet
}
}
`
)

// compileRules compiles one profile of the rules for the features.
func compileRules(t *testing.T, features, rules string) *Compiled {
	t.Helper()
	compiled, err := compileText(t, features, "profile p {\n"+rules+"\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func compileText(t *testing.T, features, text string) (*Compiled, error) {
	t.Helper()
	target, err := ParseFeatures(features)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := syntax.Parse("rules", text, syntax.Options{})
	if err != nil {
		return nil, err
	}
	return Compile(t.Context(), policy, Options{Features: target})
}

// ask walks the string that the kernel would match.
func ask(compiled *Compiled, question string) dfa.Accept {
	automaton := compiled.Policy.Profiles[0].PolicyDB.Automaton
	return automaton.Accept[automaton.Walk(dfa.Start, question)]
}

// questions are what a kernel may ask of compiled rules, each with permissions that must be there or must not.
type questions struct {
	name, features, rules string
	allowed, refused      map[string]uint32
}

func checkQuestions(t *testing.T, tests []questions) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			compiled := compileRules(t, test.features, test.rules)
			for question, perms := range test.allowed {
				if got := ask(compiled, question); got.One&perms != perms {
					t.Errorf("%q: %#x, expected %#x", question, got.One, perms)
				}
			}
			for question, perms := range test.refused {
				if got := ask(compiled, question); got.One&perms != 0 {
					t.Errorf("%q: %#x, expected nothing of %#x", question, got.One, perms)
				}
			}
		})
	}
}

const created = "\x0e\x00\x01\x00\x01\x00\x00" // how a question about a unix stream socket begins

func TestMountRules(t *testing.T) {
	checkQuestions(t, []questions{
		{
			name: "MountAllowsEveryOperation", features: features61, rules: "mount,",
			allowed: map[string]uint32{"\x07/b\x00/a\x00ext4\x00\x01\x02": mountMount, "\x07/b\x00/a\x00\x00\x0d\x0f": mountMount, "\x07/b\x00\x00\x00\x06": mountMount},
			refused: map[string]uint32{"\x07/b": mountUmount, "\x07/b\x00/a": mountPivotRoot},
		},
		{
			name: "BindWithRoAllowsNoNewMount", features: features61, rules: "mount options=(ro,bind) /a -> /b,",
			allowed: map[string]uint32{"\x07/b\x00/a\x00\x00\x0d": mountMount},
			refused: map[string]uint32{"\x07/b\x00/a\x00ext4\x00\x01": mountMount, "\x07/b\x00/a\x00\x00\x01": mountMount, "\x07/b\x00/a\x00\x00\x0d\x0f": mountMount},
		},
		{
			name: "RemountAllowsNoNewMount", features: features61, rules: "remount options=ro /b,",
			allowed: map[string]uint32{"\x07/b\x00\x00\x00\x01\x06": mountMount},
			refused: map[string]uint32{"\x07/b\x00/a\x00ext4\x00\x01": mountMount, "\x07/b\x00\x00\x00\x06": mountMount},
		},
		{
			name: "RemountWithoutOptionsIsWithAny", features: features61, rules: "remount /b,",
			allowed: map[string]uint32{"\x07/b\x00\x00\x00\x06": mountMount, "\x07/b\x00\x00\x00\x01\x06\x0d": mountMount},
			refused: map[string]uint32{"\x07/b\x00\x00\x00\x01": mountMount},
		},
		{
			name: "OptionsInAreAnyOfThem", features: features61, rules: "mount options in (ro,nodev) -> /b,",
			allowed: map[string]uint32{"\x07/b\x00a\x00t\x00": mountMount, "\x07/b\x00a\x00t\x00\x01": mountMount, "\x07/b\x00a\x00t\x00\x03": mountMount, "\x07/b\x00a\x00t\x00\x01\x03": mountMount},
			refused: map[string]uint32{"\x07/b\x00a\x00t\x00\x02": mountMount, "\x07/b\x00a\x00t\x00\x01\x02\x03": mountMount},
		},
		{
			name: "OptionsTwiceAreTwoRules", features: features61, rules: "mount options=ro options=nodev -> /b,",
			allowed: map[string]uint32{"\x07/b\x00a\x00t\x00\x01": mountMount, "\x07/b\x00a\x00t\x00\x03": mountMount},
			refused: map[string]uint32{"\x07/b\x00a\x00t\x00\x01\x03": mountMount},
		},
		{
			name: "APathAloneIsWherePropagationChanges", features: features61, rules: "mount options=(rw,make-rslave) /b,",
			allowed: map[string]uint32{"\x07/b\x00\x00\x00\x0f\x14": mountMount},
			refused: map[string]uint32{"\x07/c\x00/b\x00t\x00": mountMount, "\x07/b\x00\x00\x00\x14": mountMount},
		},
		{
			name: "DeniedMountIsDenied", features: features61, rules: "mount,\ndeny mount /a -> /b/**,",
			allowed: map[string]uint32{"\x07/b\x00/a\x00t\x00": mountMount},
			refused: map[string]uint32{"\x07/b/c\x00/a\x00t\x00": mountMount},
		},
		{
			name: "UmountAndPivotRootAreTheirOwn", features: features61, rules: "umount /a/,\npivot_root oldroot=/n/o/ /n/,",
			allowed: map[string]uint32{"\x07/a/": mountUmount, "\x07/n/\x00/n/o/": mountPivotRoot},
			refused: map[string]uint32{"\x07/a": mountUmount, "\x07/n/\x00/n/": mountPivotRoot, "\x07/a/\x00\x00\x00": mountMount},
		},
	})
}

func TestRulesAboutPeers(t *testing.T) {
	checkQuestions(t, []questions{
		{
			name: "SignalsBySetAndPeer", features: features61, rules: "signal send set=(term, rtmin+3, exists) peer=/a/*,",
			allowed: map[string]uint32{"\x0a\x0f/a/b": signalSend, "\x0a\x83/a/b": signalSend, "\x0a\x23/a/b": signalSend},
			refused: map[string]uint32{"\x0a\x0f/a/b": signalReceive, "\x0a\x0f/a/": signalSend, "\x0a\x01/a/b": signalSend, "\x10\x0a/a/b": signalSend},
		},
		{
			name: "AllSignalsAreOfCompoundLabelsToo", features: features61, rules: "signal receive,",
			allowed: map[string]uint32{"\x0a\x01x": signalReceive, "\x10\x0ax": signalReceive},
			refused: map[string]uint32{"\x0a\x01": signalReceive},
		},
		{
			name: "PtraceReadIsNotTrace", features: features61, rules: "ptrace read peer=p,",
			allowed: map[string]uint32{"\x09p": ptraceRead, "\x10\x09p": ptraceRead},
			refused: map[string]uint32{"\x09p": ptraceTrace | ptraceTracedBy | ptraceReadBy, "\x09q": ptraceRead},
		},
		{
			name: "QueuesByNameAndLabel", features: featuresUbuntu, rules: "mqueue (read, create) type=posix label=l /q,\nmqueue getattr 258,",
			allowed: map[string]uint32{"\x11/q\x00l": mqueueRead | mqueueCreate},
			refused: map[string]uint32{"\x11/q": mqueueRead, "\x11/q\x00l": mqueueWrite, "\x12\x00\x00\x01\x02": mqueueGetattr},
		},
		{
			name: "DBusByMessage", features: featuresUbuntu, rules: "dbus send bus=session path=/a member=M peer=(name=n),\ndbus bind bus=system name=o.{p,q},",
			allowed: map[string]uint32{"\x20session\x00n\x00l\x00/a\x00i\x00M": dbusSend, "\x20system\x00o.q": dbusBind},
			refused: map[string]uint32{"\x20session\x00n\x00l\x00/b\x00i\x00M": dbusSend, "\x20session\x00o.q": dbusBind, "\x20session": dbusEavesdrop},
		},
	})
}

func TestSocketRules(t *testing.T) {
	checkQuestions(t, []questions{
		{
			name: "NetworkSkipsNoFamilyForDECnet", features: features61, rules: "network inet6 stream,\nnetwork vsock,",
			allowed: map[string]uint32{"\x0e\x00\x0a\x00\x01": networkAll, "\x0e\x00\x28\x00\x05": networkAll},
			refused: map[string]uint32{"\x0e\x00\x09\x00\x01": networkSend, "\x0e\x00\x27\x00\x05": networkSend},
		},
		{
			name: "ProtocolsAreTypesOfInet", features: features61, rules: "network tcp,\nnetwork icmp,",
			allowed: map[string]uint32{"\x0e\x00\x02\x00\x01": networkAll, "\x0e\x00\x0a\x00\x01": networkAll, "\x0e\x00\x02\x00\x03": networkAll},
			refused: map[string]uint32{"\x0e\x00\x0a\x00\x03": networkSend, "\x0e\x00\x02\x00\x02": networkSend, "\x0e\x00\x01\x00\x01": networkSend},
		},
		{
			name: "UnixWidensToItsTypeWhereAddressesAreNotMediated", features: features61, rules: "unix send type=stream peer=(addr=@a),",
			allowed: map[string]uint32{"\x0e\x00\x01\x00\x01": networkAll},
			refused: map[string]uint32{"\x0e\x00\x01\x00\x02": networkSend, created: networkCreate},
		},
		{
			name: "UnixAddresses", features: featuresUbuntu,
			rules: "unix connect type=stream addr=@a peer=(addr=@b, label=l),\nunix (bind, listen) addr=@a\\000*,",
			allowed: map[string]uint32{
				created + "\x00a\x00p\x00\x01\x00b\x00l":         networkConnect,
				created + "\x00a\x00z\x00p\x00":                  networkBind,
				created + "\x00a\x00\x00p\x00\x02\x00\x05":       networkListen,
				"\x0e\x00\x01\x00\x02\x00\x00\x00a\x00z\x00\x00": networkBind,
			},
			refused: map[string]uint32{
				created + "\x00a\x00p\x00\x01\x00b\x00m": networkConnect,
				created + "\x00b\x00p\x00\x01\x00b\x00l": networkConnect,
				created + "\x00b\x00p\x00":               networkBind,
			},
		},
	})
}

func TestClassesOfYoungerKernels(t *testing.T) {
	checkQuestions(t, []questions{
		{
			name: "UserNamespaces", features: features612, rules: "userns create,",
			allowed: map[string]uint32{"\x15": usernsCreate},
		},
		{
			name: "UserNamespacesAreRefusedByDefault", features: features612, rules: "/a r,",
			allowed: map[string]uint32{"\x15": mayRead, "\x16": mayRead},
			refused: map[string]uint32{"\x15": usernsCreate, "\x16": ioUringSQPoll},
		},
		{
			name: "IOUringLabelIsForCredentials", features: features612, rules: "io_uring override_creds label=l,",
			allowed: map[string]uint32{"\x16": ioUringOverrideCreds, "\x16l": ioUringOverrideCreds},
			refused: map[string]uint32{"\x16": ioUringSQPoll, "\x16m": ioUringOverrideCreds},
		},
		{
			name: "AllIsEveryClass", features: featuresUbuntu, rules: "all,",
			allowed: map[string]uint32{
				"\x07/b\x00/a\x00t\x00": mountMount, "\x07/b": mountUmount, "\x07/b\x00/a": mountPivotRoot, "\x0e\x00\x02\x00\x01": networkAll, created: networkCreate,
				"\x0a\x01x": signalAll, "\x09x": ptraceAll, "\x15": usernsCreate, "\x16": ioUringAll, "\x11/q": mqueueAll, "\x20b": dbusEavesdrop,
			},
		},
		{
			name: "DenyAll", features: featuresUbuntu, rules: "signal,\nptrace,\ndeny all,",
			refused: map[string]uint32{"\x0a\x01x": signalAll, "\x09x": ptraceAll},
		},
	})
}

func TestWhatIsNoAllowAllowsNothing(t *testing.T) {
	for _, qualifier := range []string{"deny", "quiet", "kill", "prompt"} {
		compiled := compileRules(t, features61, qualifier+" signal,\n"+qualifier+" capability,\n"+qualifier+" network,\n"+qualifier+" /a r,")
		profile := compiled.Policy.Profiles[0]
		for _, question := range []string{"\x0a\x01x", "\x0e\x00\x02\x00\x01"} {
			if got := ask(compiled, question); got.One != 0 {
				t.Errorf("%s: %q is allowed: %#x", qualifier, question, got.One)
			}
		}
		if profile.Capabilities.Allow != 0 {
			t.Errorf("%s: capabilities %#x are allowed", qualifier, profile.Capabilities.Allow)
		}
		if file := profile.File; file != nil && file.Automaton.Accept[file.Automaton.Walk(dfa.Start, "/a")].One != 0 {
			t.Errorf("%s: /a is allowed", qualifier)
		}
	}
	compiled := compileRules(t, features61, "kill signal,\nquiet ptrace,")
	if got := ask(compiled, "\x0a\x01x"); got != (dfa.Accept{}) {
		t.Errorf("a killing rule is quiet: %#x", got)
	}
	if got := ask(compiled, "\x09x"); got != (dfa.Accept{Two: ptraceAll << quietShift}) {
		t.Errorf("a quiet rule: %#x", got)
	}
}

func TestAuditAndQuiet(t *testing.T) {
	compiled := compileRules(t, features61, "audit signal send,\nptrace,\ndeny ptrace trace,\naudit deny ptrace readby,\naudit mount -> /a,")
	for question, expected := range map[string]dfa.Accept{
		"\x0a\x01x":            {One: signalSend, Two: signalSend},
		"\x09x":                {One: ptraceRead | ptraceTracedBy, Two: ptraceTrace << quietShift},
		"\x07/a\x00b\x00c\x00": {One: mountMount, Two: mountMount | mountAuditData},
	} {
		if got := ask(compiled, question); got != expected {
			t.Errorf("%q: %#x, expected %#x", question, got, expected)
		}
	}
}

func TestNoRuleEndsTheMediationOfItsClass(t *testing.T) {
	// These match the class's byte alone, and leave nothing that is allowed, quiet or logged of what begins with it.
	for rule, question := range map[string]string{
		"audit deny umount,": "\x07", "deny umount,": "\x07", "audit deny ptrace peer=**,": "\x09", "audit deny userns,": "\x15", "audit deny io_uring,": "\x16",
	} {
		automaton := compileRules(t, features612, rule).Policy.Profiles[0].PolicyDB.Automaton
		if automaton.Walk(dfa.Start, question) == 0 {
			t.Errorf("%s: the class is not mediated any more", rule)
		}
	}
}

func TestNothingIsSaidOfWhatTheTargetHasNoClassFor(t *testing.T) {
	for _, test := range []struct{ name, features, rules, unenforced string }{
		{"BareRulesLoseNothing", features61, "userns,\nio_uring,\nmqueue,\ndbus,\nunix,", ""},
		{"DeniedUserNamespaces", features61, "deny userns,", "user namespaces"},
		{"LoggedUserNamespaces", features61, "audit userns,", "user namespaces"},
		{"QueuesByLabel", features61, "mqueue label=l,", "message queues"},
		{"DBusByName", features61, "dbus bind name=n,", "D-Bus"},
		{"UnixByAddress", features61, "unix bind addr=@a,", "by type only"},
		{"UnixOfFormatV9", features61 + "network_v9 {af_unix {yes\n}\n}\n", "unix bind addr=@a,", "format v9"},
		{"DeniedUnix", features61, "deny unix,", "left out"},
		{"NetworkByAddress", features61, "network inet ip=127.0.0.1,", "addresses and ports"},
		{"MountOfKernelsWithoutIt", featuresOld, "mount /a -> /b,", "mount"},
		{"SingleAccessesOfOldNetworks", featuresOld, "network send inet,", "single accesses"},
		{"ProfileOfPivotRoot", features61, "pivot_root /n/ -> q,", "pivot_root"},
		{"KillingRules", features61, "kill signal,", "cannot kill"},
		{"AskingRules", features61, "prompt /a r,", "cannot ask"},
		{"SignalsThatTheKernelDoesNotKnow", features61, "signal set=(emt),", `"emt"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			compiled := compileRules(t, test.features, test.rules)
			var said []string
			for _, one := range compiled.Unenforced {
				said = append(said, one.Error())
			}
			text := strings.Join(said, "\n")
			if test.unenforced == "" && text != "" || !strings.Contains(text, test.unenforced) {
				t.Errorf("unenforced %q, expected %q", text, test.unenforced)
			}
		})
	}
}

func TestImpossibleMountsAreErrors(t *testing.T) {
	for _, rule := range []string{
		"mount options=bind fstype=ext4 /a -> /b,", "mount options=move fstype=ext4 /a -> /b,", "remount fstype=ext4 /b,", "mount options=make-shared fstype=ext4 /b,",
		"mount options=make-shared /a -> /b,", "mount options=remount /a -> /b,", "mount options=(ro,rw),", "mount options=(ro,size=1),",
	} {
		if _, err := compileText(t, features61, "profile p { "+rule+" }"); err == nil {
			t.Errorf("%s: no error", rule)
		}
	}
}

func TestFamiliesBesidePolicydb(t *testing.T) {
	compiled := compileRules(t, featuresOld, "network inet stream,\naudit network inet dgram,\nnetwork packet,\ndeny network packet raw,\naudit deny network ax25 stream,\nunix type=stream,")
	table := compiled.Policy.Profiles[0].NetworkAllowed
	if len(table) != len(families) {
		t.Fatalf("%d families, expected %d", len(table), len(families))
	}
	for family, expected := range map[int][3]uint16{
		familyInet: {1<<1 | 1<<2, 1 << 2, 0},
		17:         {1<<1 | 1<<2 | 1<<4 | 1<<5 | 1<<10, 0, 1 << 3},
		3:          {},
		familyUnix: {1 << 1, 0, 0},
		familyNone: {},
	} {
		if table[family] != expected {
			t.Errorf("family %d: %x, expected %x", family, table[family], expected)
		}
	}
	if compileRules(t, features61, "network,").Policy.Profiles[0].NetworkAllowed != nil {
		t.Error("a table for a kernel that mediates the network in policydb")
	}
}

func TestCapabilities(t *testing.T) {
	const kill, sysAdmin = 1 << 5, 1 << 21
	for _, test := range []struct {
		rules    string
		expected binary.Capabilities
	}{
		{"capability kill,", binary.Capabilities{Allow: kill}},
		{"capability,", binary.Capabilities{Allow: math.MaxUint64}},
		{"capability,\ndeny capability kill,", binary.Capabilities{Allow: math.MaxUint64 &^ kill, Quiet: kill}},
		{"audit capability kill,\naudit deny capability kill,", binary.Capabilities{}},
		{"audit capability kill,", binary.Capabilities{Allow: kill, Audit: kill}},
		{"capability bpf,", binary.Capabilities{Allow: sysAdmin}}, // which had it before
		{"all,", binary.Capabilities{Allow: math.MaxUint64}},
	} {
		if got := compileRules(t, features61, test.rules).Policy.Profiles[0].Capabilities; got != test.expected {
			t.Errorf("%q: %+v, expected %+v", test.rules, got, test.expected)
		}
	}
}

func TestRlimits(t *testing.T) {
	limits := compileRules(t, features61, `set rlimit nofile <= 10,
set rlimit nofile <= 5,
set rlimit cpu <= 2 min,
set rlimit as <= infinity,
set rlimit nice <= 5,
set rlimit memlock <= 3K,`).Policy.Profiles[0].Rlimits
	expected := binary.Rlimits{Mask: 1<<0 | 1<<7 | 1<<8 | 1<<9 | 1<<13, Values: [16]uint64{0: 120, 7: 5, 8: 3 << 10, 9: math.MaxUint64, 13: 25}}
	if limits == nil || *limits != expected {
		t.Errorf("%+v, expected %+v", limits, expected)
	}
	if limits := compileRules(t, features61, "/a r,").Policy.Profiles[0].Rlimits; limits != nil {
		t.Errorf("limits %+v of no rule", limits)
	}
}

func TestMountOptionsOfTheLanguage(t *testing.T) {
	for _, test := range []struct {
		on, off string
		bit     int
	}{
		{"ro", "rw", 0}, {"read-only", "w", 0}, {"nosuid", "suid", 1}, {"nodev", "dev", 2}, {"noexec", "exec", 3}, {"sync", "async", 4}, {"mand", "nomand", 6},
		{"nosymfollow", "symfollow", 8}, {"noatime", "atime", 10}, {"nodiratime", "diratime", 11}, {"silent", "loud", 15}, {"acl", "noacl", 16},
		{"relatime", "norelatime", 21}, {"iversion", "noiversion", 23}, {"strictatime", "nostrictatime", 24}, {"lazytime", "nolazytime", 25},
	} {
		options := mountOptions()
		if on, off := options[test.on], options[test.off]; on != (option{set: 1 << test.bit}) || off != (option{clear: 1 << test.bit}) {
			t.Errorf("%s %+v, %s %+v, expected flag %d", test.on, on, test.off, off, test.bit)
		}
	}
}
