// SPDX-License-Identifier: Apache-2.0

package apparmor_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bulkhead-project/bulkhead/apparmor"
	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/test/apparmor/reference"
)

// TestRulesOfPolicydbMeanTheSame compares one rule at a time, in every form that its kind has, for kernels that encode it differently.
func TestRulesOfPolicydbMeanTheSame(t *testing.T) {
	kernels := kernelFiles(t)
	for _, kind := range ruleKinds() {
		t.Run(kind.name, func(t *testing.T) {
			var subjects []subject
			for _, kernel := range kind.kernels {
				for _, rule := range kind.rules {
					subjects = append(subjects, subject{
						name: kernel + ": " + rule, text: []byte("profile p {\n" + rule + "\n}\n"), from: reference.Sources{Features: kernels[kernel]},
					})
				}
			}
			compareRules(t, subjects, kind.divergences)
		})
	}
}

// ruleDivergence is where we mean by a rule what the reference does not, and why.
type ruleDivergence struct {
	judge  string // of the reference's version: its beginning; "" for all
	kernel string // "" for all
	rule   string // regular expression
	reason string
}

// compareRules compares the subjects. What differs must be in a divergence, and each divergence must be met.
func compareRules(t *testing.T, subjects []subject, known []ruleDivergence) {
	t.Helper()
	judges := []reference.Parser{reference.Host(t), reference.Newer(t)}
	var mutex sync.Mutex
	equal, met := map[string]int{}, map[string]int{}
	parallel(subjects, func(s subject) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		differs, judge, err := oneVerdict(ctx, s, judges)
		kernel, rule, _ := strings.Cut(s.name, ": ")
		if strings.Contains(rule, "mount") && judge == judges[1].Version && len(differs) > 0 {
			differs, err = differencesButForData(ctx, s, judges[1])
		}
		mutex.Lock()
		defer mutex.Unlock()
		at := slices.IndexFunc(known, func(d ruleDivergence) bool {
			return strings.HasPrefix(judge, d.judge) && (d.kernel == "" || d.kernel == kernel) && regexp.MustCompile(d.rule).MatchString(rule)
		})
		switch {
		case err != nil:
			t.Errorf("%s: %v", s.name, err)
		case len(differs) == 0:
			equal[judge]++
		case at < 0:
			t.Errorf("%s: beside %s: %s", s.name, judge, strings.Join(differs, "\n\t"))
		default:
			met[known[at].rule]++
		}
	})
	for _, one := range known {
		if met[one.rule] == 0 {
			t.Errorf("no rule differs by %q: %s", one.rule, one.reason)
		}
	}
	t.Logf("of %d: equivalent %v, divergences %v", len(subjects), equal, met)
}

// oneVerdict is verdict, but does not wait long for one rule: a parser that does not end with it has always done so when it was asked again.
func oneVerdict(ctx context.Context, s subject, judges []reference.Parser) (differs []string, judge string, err error) {
	for range 3 {
		hasty, cancel := context.WithTimeout(ctx, patience/4)
		differs, judge, err = verdict(hasty, s, judges)
		cancel()
		if err == nil || hasty.Err() == nil {
			break
		}
	}
	return differs, judge, err
}

// auditData is the bit of the second accept word of mount by which the kernel logs the data string. AppArmor 4 does not set it any more.
const auditData = 0x40

// impossibleFlag is the byte that stands where no flag may be. No flag has its number; where it is written is of no consequence.
const impossibleFlag = 0xfe

// differencesButForData compares the policydb automata without that bit and that byte.
func differencesButForData(ctx context.Context, s subject, judge reference.Parser) ([]string, error) {
	var rules [2]*binary.Rules
	ours, err := compile(ctx, s.from, "-", s.text)
	if err != nil {
		return []string{"refused: " + err.Error()}, nil
	}
	theirs, err := judge.Compile(ctx, s.from, "-", s.text)
	if err != nil {
		return nil, err
	}
	for i, stream := range [][]byte{ours, theirs} {
		policy, err := binary.Decode(stream)
		if err != nil {
			return nil, err
		}
		rules[i] = policy.Profiles[0].PolicyDB
		rules[i].Automaton = without(rules[i].Automaton, impossibleFlag)
	}
	difference := rulesDifference(rules[0], rules[1], func(a, b dfa.Accept) bool { return a.One == b.One && a.Two&^auditData == b.Two&^auditData })
	if difference == "" {
		return nil, nil
	}
	return []string{difference}, nil
}

// without is the automaton without the strings that have the byte.
func without(a *dfa.Automaton, b byte) *dfa.Automaton {
	less := &dfa.Automaton{Class: a.Class, Classes: a.Classes + 1, Accept: a.Accept}
	less.Class[b] = uint8(a.Classes)
	for state := range a.Accept {
		less.Next = append(append(less.Next, a.Row(uint32(state))...), 0)
	}
	return less
}

// kernelFiles writes features files: those of real kernels, and of others that have what these do not.
func kernelFiles(t *testing.T) map[string]string {
	t.Helper()
	directory := t.TempDir()
	files := map[string]string{}
	add := func(name, text string) {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files[name] = path
	}
	real := func(version string) string {
		features, ok := apparmor.KernelFeatures(version)
		if !ok {
			t.Fatalf("no features of %s", version)
		}
		return features.String()
	}
	without := func(text string, paths ...string) string {
		for _, path := range paths {
			text = regexp.MustCompile(`(?s)\b`+path+` \{[^{}]*\}\n`).ReplaceAllString(text, "")
		}
		return text
	}
	debian := real("6.1")
	// The parser of Debian 13 writes a permission table for kernels that take one, and that is not what is compared here.
	younger := without(real("6.12"), "permstable32", "permstable32_version")
	add("6.1", debian)
	add("6.12", younger)
	// network is before network_v8, as the parser reads these texts in the order in which kernels list their files.
	const unix, dbus = "network {af_mask {unspec unix inet\n}\naf_unix {yes\n}\n}\n", "dbus {mask {acquire send receive\n}\n}\n"
	add("6.1 with unix", unix+debian+dbus)
	add("6.12 with queues", younger+"ipc {posix_mqueue {create read write open delete setattr getattr\n}\nsysv_mqueue {create read write open delete setattr getattr\n}\n}\n")
	add("5.4", regexp.MustCompile(`\bnetwork_v8 \{`).ReplaceAllString(debian, "network {"))
	add("5.4 with unix", regexp.MustCompile(`\bnetwork_v8 \{`).ReplaceAllString(debian, "network {af_unix {yes\n}\n")+dbus)
	return files
}

// ruleKind is the rules of one kind, and where we and the reference differ.
type ruleKind struct {
	name        string
	kernels     []string
	rules       []string
	divergences []ruleDivergence
}

func ruleKinds() []ruleKind {
	return []ruleKind{
		{"mount", []string{"6.1"}, mountRules(), mountDivergences},
		{"mountpoints", []string{"6.1"}, pathRules(), classDivergences},
		{"network", []string{"6.1", "5.4", "6.1 with unix", "5.4 with unix"}, networkRules(), networkDivergences},
		{"unix", []string{"6.1", "5.4", "6.1 with unix", "5.4 with unix"}, unixRules(), unixDivergences},
		{"signal", []string{"6.1"}, signalRules(), nil},
		{"ptrace", []string{"6.1"}, qualified(each("ptrace %s%s,", []string{"", "r", "w", "rw", "read", "trace", "readby", "tracedby", "(read, trace)", "(readby, tracedby, trace)"}, peers("peer="))), classDivergences},
		{"dbus", []string{"6.1", "5.4 with unix"}, dbusRules(), nil},
		{"mqueue", []string{"6.12", "6.12 with queues"}, mqueueRules(), mqueueDivergences},
		{"userns", []string{"6.1", "6.12"}, qualified([]string{"userns,", "userns create,"}), nil},
		{"io_uring", []string{"6.1", "6.12"}, qualified(each("io_uring %s%s,", []string{"", "sqpoll", "override_creds", "(sqpoll, override_creds)"}, peers("label="))), ioUringDivergences},
		{"capability", []string{"6.1"}, qualified([]string{"capability,", "capability kill,", "capability (net_raw bpf),", "capability sys_admin audit_read checkpoint_restore,"}), nil},
		{"rlimit", []string{"6.1"}, rlimitRules(), nil},
		{"combined", []string{"6.1"}, combinedRules(), nil},
		{"several", []string{"6.1", "5.4 with unix"}, severalRules(), severalDivergences},
	}
}

// each fills the format with every combination of the parts.
func each(format string, parts ...[]string) []string {
	combinations := [][]any{nil}
	for _, part := range parts {
		var longer [][]any
		for _, begun := range combinations {
			for _, text := range part {
				longer = append(longer, append(slices.Clone(begun), text))
			}
		}
		combinations = longer
	}
	var texts []string
	for _, one := range combinations {
		texts = append(texts, fmt.Sprintf(format, one...))
	}
	return texts
}

// qualified has the rules as they are, denied, logged, and both for the first.
func qualified(rules []string) []string {
	all := slices.Clone(rules)
	for _, rule := range rules {
		all = append(all, "deny "+rule, "audit "+rule)
	}
	return append(all, "audit deny "+rules[0], "allow "+rules[0], "audit allow "+rules[0])
}

// peers are conditions about a label.
func peers(key string) []string {
	conditions := []string{""}
	for _, label := range []string{"unconfined", "/usr/bin/*", "/usr/**", "**", "*", "{a,b//c}", "[^a]?", "@{profile_name}", `"a b"`, ":ns:p", "a//&b", `\*`, "/a/*//null-*"} {
		conditions = append(conditions, " "+key+label)
	}
	return conditions
}

func mountRules() []string {
	words := strings.Fields(`ro r read-only rw w suid nosuid dev nodev exec noexec sync async remount mand nomand dirsync symfollow nosymfollow atime noatime diratime
		nodiratime bind B rbind R move M verbose silent loud acl noacl unbindable private slave shared runbindable rprivate rslave rshared make-unbindable
		make-private make-slave make-shared make-runbindable make-rprivate make-rslave make-rshared relatime norelatime iversion noiversion strictatime
		nostrictatime lazytime nolazytime user nouser`)
	places := []string{"", " -> /b/", " /a", " /a -> /b/**"}
	rules := each("mount options%s(%s)%s,", []string{"=", " in "}, words, places)
	rules = append(rules, each("mount options%s(%s,%s)%s,", []string{"=", " in "}, []string{"ro", "rw", "nosuid"}, []string{"nodev", "bind", "rbind", "move", "remount", "make-shared", "rslave", "silent"}, places)...)
	rules = append(rules, each("mount options=(%s) options in (%s)%s,", []string{"ro", "bind", "remount"}, []string{"ro", "rw", "nodev,noexec", "rbind", "make-private"}, places)...)
	rules = append(rules, each("remount%s%s,", []string{"", " options=ro", " options=(ro,bind)", " options in (ro,bind)", " options=rw"}, []string{"", " /b/"})...)
	rules = append(rules, each("mount fstype%s%s%s%s,", []string{"=", " in "}, []string{"tmpfs", "(ext3,ext4)", "ext*", "{a,b}", "(proc fuse.*)"}, []string{"", " options=ro", " options=bind"}, places)...)
	return append(rules, "mount options=ro options=nodev,", "mount options=ro options=rw,", "mount fstype=ext3 fstype=ext4 -> /b/,", "mount options=(ro,rw),", "mount options=(ro,size=1),")
}

func pathRules() []string {
	paths := []string{"", "/", "/a/", "/a//b/", "/a/*", "/a/**", "/a/**/", "/{a,b}/?/", `"/a b/"`, "/a/[^b]*/", `/a\{b/`}
	var rules []string
	rules = append(rules, each("mount %s -> %s,", []string{`""`, "none", "/a", "/dev/**", "**", "/a//b"}, paths[1:])...)
	rules = append(rules, each("umount %s,", paths)...)
	rules = append(rules, each("pivot_root %s%s,", []string{"", "oldroot=/a/ ", "oldroot=/a//b/** "}, paths)...)
	return qualified(append(rules, "mount,", "umount,", "pivot_root,", "mount /a,", "mount -> /b/,"))
}

func networkRules() []string {
	domains := strings.Fields(`unspec unix inet ax25 ipx appletalk netrom bridge atmpvc x25 inet6 rose netbeui security key netlink packet ash econet atmsvc rds sna irda
		pppox wanpipe llc ib mpls can tipc bluetooth iucv rxrpc isdn phonet ieee802154 caif alg nfc vsock kcm qipcrtr smc xdp mctp`)
	types := []string{"stream", "dgram", "raw", "rdm", "seqpacket", "packet"}
	rules := append(each("network %s,", domains), each("network %s %s,", []string{"inet", "inet6", "unix", "netlink", "packet"}, append(types, "tcp", "udp", "icmp"))...)
	rules = append(rules, each("network %s,", append(types, "tcp", "udp", "icmp"))...)
	rules = append(rules, each("%s %s,", []string{"deny network", "audit network", "audit deny network"}, []string{"", "inet", "inet6 stream", "tcp", "unix", "unix dgram", "packet raw"})...)
	rules = append(rules, each("network %s%s,", []string{"send", "(create, bind)", "rw", "getattr"}, []string{"", " inet", " inet6 stream", " unix", " netlink raw"})...)
	return append(rules, "network,", "network inet ip=127.0.0.1,", "network ip=::1 port=80 peer=(ip=::1),", "network tcp port=80-90,")
}

func unixRules() []string {
	access := []string{"", "create ", "bind ", "listen ", "accept ", "connect ", "shutdown ", "getattr ", "setattr ", "getopt ", "setopt ", "send ", "receive ", "rw ", "(bind, accept) ", "(create, send, getopt) "}
	addresses := []string{"", " addr=none", " addr=auto", " addr=@a", " addr=@a*", " addr=@a/**", ` addr="@a\000b"`, " addr=@{,x}[a-f]?", " addr=@"}
	rules := each("unix %s%s%s,", access, []string{"", "type=stream", "type=dgram"}, addresses[:4])
	rules = append(rules, each("unix %stype=seqpacket%s,", []string{"", "bind ", "send "}, addresses)...)
	rules = append(rules, each("unix %s%s peer=(%s),", []string{"", "accept ", "connect ", "(send, receive) "}, []string{"", " addr=@a", " addr=auto", " addr=none type=stream"},
		[]string{"addr=none", "addr=auto", "addr=@b*", "label=/b/*", "label=b, addr=@c", "label=@{profile_name}"})...)
	return append(rules, each("%s unix %s,", []string{"deny", "audit", "audit deny"}, []string{"", "type=stream", "bind addr=@a", "create", "connect peer=(addr=@a)"})...)
}

func signalRules() []string {
	names := strings.Fields("hup int quit ill trap abrt bus fpe kill usr1 segv usr2 pipe alrm term stkflt chld cont stop stp ttin ttou urg xcpu xfsz vtalrm prof winch io pwr sys exists")
	rules := each("signal set=(%s),", append(names, "rtmin+0", "rtmin+1", "rtmin+007", "rtmin+32", "rtmin+33", "nohup", "lost"))
	rules = append(rules, each("signal %s%s%s,", []string{"", "send", "receive", "r", "w", "rw", "(send, receive)"}, []string{"", " set=(term, kill, exists)"}, peers("peer="))...)
	return qualified(append(rules, "signal set=(hup) set=(int),", "signal,"))
}

func dbusRules() []string {
	buses := []string{"", " bus=session", " bus=s*", " bus={session,system}"}
	rules := each("dbus %s%s,", []string{"", "send", "receive", "bind", "eavesdrop", "rw", "(send, bind)"}, buses)
	rules = append(rules, each("dbus %s%s%s,", []string{"", "send", "receive"}, buses[:2], []string{" path=/a", " path=/a//b/*", " path=/**", " interface=a.{b,c}", " member=M*",
		" peer=(name=a.b)", " peer=(label=/usr/*)", " peer=(name=:*, label=l)", " path=/ interface=i member=m peer=(name=n label=@{profile_name})"})...)
	return qualified(append(rules, each("dbus %s%s name=%s,", []string{"", "bind"}, buses[:2], []string{"a.b", "a.{b,c}*", `a\*`})...))
}

func mqueueRules() []string {
	access := []string{"", "r ", "write ", "create ", "open ", "delete ", "getattr ", "setattr ", "(read, create) "}
	rules := each("mqueue %s%s,", access, []string{"", "type=posix", "type=sysv", "type=posix /q", "/a//b*", "7", "type=sysv 4294967", "label=l", "type=posix label=l /q", "type=sysv label=/a/* 9"})
	return qualified(append(rules, "mqueue q,", "mqueue type=sysv /q,", "mqueue type=posix 7,"))
}

func rlimitRules() []string {
	var rules []string
	rules = append(rules, each("set rlimit %s <= %s,", []string{"fsize", "data", "stack", "core", "rss", "as", "memlock", "msgqueue"}, []string{"0", "7", "2K", "3 MB", "infinity"})...)
	rules = append(rules, each("set rlimit %s <= %s,", []string{"nofile", "ofile", "nproc", "locks", "sigpending", "rtprio"}, []string{"0", "1024", "infinity"})...)
	rules = append(rules, each("set rlimit nice <= %s,", []string{"-20", "-1", "0", "5", "19", "infinity"})...)
	return append(rules, each("set rlimit %s,", []string{"cpu <= 3", "cpu <= 2 min", "cpu <= 1 week", "rttime <= 5", "rttime <= 5ms", "rttime <= 2 hours"})...)
}

// severalRules are rules that say something of the same strings.
func severalRules() []string {
	return []string{
		"signal,\ndeny signal send peer=a*,", "audit ptrace,\ndeny ptrace read,", "deny mount /a -> /b/,\nmount,\naudit mount /a -> /*/,", "umount /a/**,\ndeny umount /a/b,",
		"capability,\naudit capability kill,\ndeny capability kill,", "network inet,\ndeny network inet raw,", "dbus,\ndeny dbus send bus=session,",
		"audit deny signal,\ndeny signal receive,", "deny pivot_root /a/,\npivot_root /*/,\numount /a/,", "ptrace peer=a,\nptrace read peer=*,\naudit ptrace trace peer={a,b},",
		"mount options=ro /a -> /b/,\nmount options in (ro,nodev) /* -> /*/,\ndeny mount options=(ro,nodev) /a -> /b/,", "network,\naudit network tcp,\ndeny network raw,",
	}
}

// combinedRules are rules of all kinds by the handful, the same on every run. Those that the tables of divergences have are not among them.
func combinedRules() []string {
	pool := slices.Concat(signalRules(), networkRules(), pathRules(), qualified(each("ptrace %s%s,", []string{"", "read", "(trace, tracedby)"}, peers("peer=")[:4])))
	pool = append(pool, qualified(each("mount options=%s%s,", []string{"ro", "bind", "(nosuid,nodev)", "make-rslave"}, []string{"", " -> /*/", " -> /b/"}))...)
	pool = append(pool, qualified([]string{"capability kill net_raw,", "capability,", "unix,", "unix type=stream,"})...)
	other := regexp.MustCompile(`^(deny |audit )+(umount|ptrace.* peer=\*)|set=.*(nohup|lost|33)|^network .*(icmp|send|create|rw|getattr|port=|ip=)`)
	pool = slices.DeleteFunc(pool, other.MatchString)
	random := rand.New(rand.NewPCG(4, 15))
	var profiles []string
	for range 400 {
		var rules []string
		for range 2 + random.IntN(6) {
			rules = append(rules, pool[random.IntN(len(pool))])
		}
		profiles = append(profiles, strings.Join(rules, "\n"))
	}
	return profiles
}

// Where 3.0.8 allows what a rule does not say it is CVE-2016-1585, or what its repair in later versions was for.
var mountDivergences = []ruleDivergence{
	{"3.0.8", "", `norelatime`, "3.0.8 has no flag for norelatime, and takes every set of flags"},
	{"3.0.8", "", `\((no)?user\)`, "user and nouser are for mount(8), which does not pass them on; 3.0.8 wants a flag of them that no mount has"},
	{"3.0.8", "", `options=\([a-z]+,(bind|rbind|move|remount|make-shared|rslave)\)`, "3.0.8 leaves out the flag that makes the mount another operation, and allows a new mount with the rest"},
	{"3.0.8", "", `options=\((bind|remount|ro)\) options in`, "as above, with what options in has"},
	{"3.0.8", "", `options in \(([a-z]+,)?(rbind|R|(make-)?r(unbindable|private|slave|shared))\)`, "3.0.8 allows a new mount that has the flag for recursion alone"},
	{"3.0.8", "", `options in \([a-z]+,(make-shared|rslave)\) /a,`, "propagation changes at the path that is written alone; to 3.0.8 it is a source"},
	{"3.0.8", "", `^remount`, "without options all are meant; 3.0.8 takes none but remount, reads in as =, and allows a new mount with the rest"},
	{"3.0.8", "", `options=ro options=`, "two conditions are two rules, says apparmor.d(5); 3.0.8 wants the flags of both"},
	{"3.0.8", "", `\(ro,rw\)`, "options that exclude each other are an error, as in 4.1"},
	{"4.1.0", "", `(options in .*|options=\((symfollow|nostrictatime|nolazytime)\)) /a,`, "4.1.0 allows new mounts of anything at a path that is written alone, if they have no flags"},
	{"4.1.0", "", `options in \((make-)?r(unbindable|private|slave|shared)\)`, "4.1.0 allows a new mount that has the flag for recursion alone"},
}

// The parsers turn a network rule about AF_UNIX into a unix rule, and forget what it says.
var networkDivergences = []ruleDivergence{
	{"3.0.8", "", `^(audit )?deny network`, "it loses whether a denial is logged: audit deny is quiet, deny is not"},
	{"3.0.8", "", `^audit network`, "3.0.8 logs permissions there that the rule does not have"},
	{"4.1.0", "", `^network (send|\(create, bind\)|rw|getattr)`, "it loses the accesses: the unix rule allows all"},
}

var unixDivergences = []ruleDivergence{
	{"3.0.8", "", `^audit unix`, "3.0.8 logs permissions that the entry does not have"},
}

var mqueueDivergences = []ruleDivergence{
	{"3.0.8", "", `mqueue r ,`, "3.0.8 knows no mqueue, and takes this for a rule about a file"},
	{"4.1.0", "", `mqueue [^/0-9]*label=`, "4.1.0 writes the label twice where the type is not said"},
}

// Rules that match the class's byte alone.
var classDivergences = []ruleDivergence{
	{"3.0.8", "", `^(deny|audit) (umount|ptrace.* peer=\*)`, "the byte says that the class is mediated, whatever rules say; in 3.0.8 they can take that away, and audit deny umount, leaves nothing of mount mediated"},
}

var ioUringDivergences = []ruleDivergence{
	{"4.1.0", "", `profile_name`, "4.1.0 does not expand variables in io_uring rules"},
}

var severalDivergences = []ruleDivergence{
	{"3.0.8", "5.4 with unix", `deny network`, "as for one network rule"},
}
