// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"os"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
)

// reference reads a binary that apparmor_parser 3.0.8 made of testdata/decide/NAME.aa for the features of Linux 6.1.
func reference(t testing.TB, name string) *binary.Policy {
	t.Helper()
	stream, err := os.ReadFile("testdata/decide/" + name + ".bin")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := binary.Decode(stream)
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

// checkAnswers compares the first line of the answer to each question.
func checkAnswers(t *testing.T, profile *binary.Profile, features Features, table [][2]string) {
	t.Helper()
	for _, row := range table {
		question, err := ParseQuestion(strings.Fields(row[0]))
		if err != nil {
			t.Errorf("%s: %v", row[0], err)
			continue
		}
		verdict := Decide(profile, features, question, nil)
		answer, _, _ := strings.Cut(verdict.String(), "\n")
		if answer != row[1] {
			t.Errorf("%s: %s, want %s\n%s", row[0], answer, row[1], verdict)
		}
	}
}

func TestDockerDefaultIsAnsweredFromItsTables(t *testing.T) {
	checkAnswers(t, reference(t, "docker-default").Profiles[0], Features{}, [][2]string{
		{"file /proc/sysrq-trigger w", "deny (not logged)"},
		{"file /proc/sysrq-trigger r", "deny (not logged)"},
		{"file /proc/kcore r", "deny (not logged)"},
		{"file /proc/sys/kernel/shmmax w", "allow"},
		{"file /proc/sys/kernel/shmmax r", "allow"},
		{"file /proc/sys/vm/swappiness w", "deny (not logged)"},
		{"file /proc/sys/vm/swappiness r", "allow"},
		{"file /proc/sys/kernel/modprobe w", "deny (not logged)"},
		{"file /proc/sys/kernel/threads-max w", "allow"}, // what the rules mean to deny and do not
		{"file /proc/sys/kernel/domainname w", "allow"},
		{"file /proc/1/attr/current w", "allow"},
		{"file /proc/cpuinfo w", "deny (not logged)"},
		{"file /sys/kernel/security/apparmor/profiles r", "deny (not logged)"},
		{"file /sys/fs/cgroup/x w", "allow"},
		{"file /sys/fs/bpf/x w", "deny (not logged)"},
		{"file /etc/passwd rwaklm", "allow"},
		{"file gone/away r", "allow"}, // attach_disconnected
		{"exec /bin/sh", "allow; stays under docker-default"},
		{"link /a -> /b", "allow"},
		{"mount fstype=tmpfs none -> /mnt", "deny (not logged)"},
		{"mount options=bind /a -> /b", "deny (not logged)"},
		{"umount /mnt/", "allow"},
		{"pivot_root oldroot=/a /b", "deny (logged)"},
		{"network inet stream", "allow"},
		{"network packet raw", "allow"},
		{"unix create type=stream", "allow"},
		{"capability sys_admin", "allow"},
		{"signal receive kill peer=unconfined", "allow"},
		{"signal receive term peer=runc", "allow"},
		{"signal send term peer=runc", "deny (logged)"},
		{"signal send kill peer=docker-default", "allow"},
		{"signal receive kill peer=docker-default//&runc", "deny (logged)"},
		{"ptrace trace peer=docker-default", "allow"},
		{"ptrace read peer=unconfined", "deny (logged)"},
		{"ptrace readby peer=unconfined", "allow (unmediated)"},
		{"ptrace readby peer=runc", "deny (logged)"},
		{"userns create", "allow (unmediated)"},
		{"io_uring sqpoll", "allow (unmediated)"},
		{"dbus send bus=system", "allow (unmediated)"},
		{"mqueue create /q", "allow (unmediated)"},
		{"rlimit nofile 1000000", "allow (unmediated)"},
		{"change_profile other", "deny (logged)"},
	})
}

func TestRulesForFilesAreAnswered(t *testing.T) {
	checkAnswers(t, reference(t, "questions").Profiles[0], Features{}, [][2]string{
		{"file /etc/passwd r", "allow"},
		{"file /etc/passwd w", "deny (logged)"},
		{"file /etc/shadow rw", "allow"},
		{"file /etc/shadow a", "allow"},
		{"file /etc/logged w", "allow (logged)"},
		{"file /etc/quiet r", "deny (not logged)"},
		{"file /etc/loud r", "deny (logged)"},
		{"file /home/u/x r", "deny (logged)"},
		{"owner file /home/u/x rw", "allow"},
		{"owner link /home/u/y -> /home/u/x", "allow"},
		{"link /home/u/y -> /home/u/x", "deny (logged)"},
		{"file /var/log/x a", "allow"},
		{"file /var/log/x w", "deny (logged)"},
		{"file /run/lock/a/b k", "allow"},
		{"file /usr/lib/x/liba.so.1 m", "allow"},
		{"exec /usr/bin/inherits", "allow; stays under asked"},
		{"exec /usr/bin/enters", "allow; enters the profile that attaches to /usr/bin/enters, or is not executed where that is not loaded (secure execution: environment scrubbed)"},
		{"exec /usr/bin/named", "allow; enters other, or is not executed where that is not loaded"},
		{"exec /usr/bin/child", "allow; enters the child profile of asked that attaches to /usr/bin/child, or is not executed where that is not loaded (secure execution: environment scrubbed)"},
		{"exec /usr/bin/childnamed", "allow; enters asked//inner, or is not executed where that is not loaded"},
		{"exec /usr/bin/free", "allow; is unconfined (secure execution: environment scrubbed)"},
		{"exec /usr/bin/fallback", "allow; enters the profile that attaches to /usr/bin/fallback, or stays under asked where that is not loaded (secure execution: environment scrubbed)"},
		{"exec /usr/bin/loose", "allow; enters the profile that attaches to /usr/bin/loose, or is unconfined where that is not loaded"},
		{"exec /usr/bin/stacked", "allow; enters the profile that attaches to /usr/bin/stacked, or is not executed where that is not loaded, stacked with added"},
		{"exec /usr/bin/none", "deny (logged)"},
		{"link /srv/any -> /etc/passwd", "allow"},
		{"link /srv/new/a -> /srv/old/b", "allow"},
		{"link /srv/new/a -> /srv/other/b", "deny (logged)"},
	})
}

func TestRulesForOtherThingsAreAnswered(t *testing.T) {
	checkAnswers(t, reference(t, "questions").Profiles[0], Features{}, [][2]string{
		{"capability net_raw", "allow"},
		{"capability chown", "allow (logged)"},
		{"capability sys_admin", "deny (not logged)"},
		{"capability kill", "deny (logged)"},
		{"network inet stream", "allow"},
		{"network inet dgram", "deny (logged)"},
		{"network netlink raw", "allow"},
		{"network inet6 stream", "deny (not logged)"},
		{"network (bind,listen) inet stream", "allow"},
		{"mount fstype=tmpfs options=(rw,nosuid) tmpfs -> /mnt/a/", "allow"},
		{"mount fstype=tmpfs options=(rw) tmpfs -> /mnt/a/", "deny (logged)"},
		{"mount fstype=ext4 options=(rw,nosuid) tmpfs -> /mnt/a/", "deny (logged)"},
		{"mount fstype=proc proc -> /proc/", "deny (not logged)"},
		{"mount options=(rw,bind) /from/ -> /to/", "allow"},
		{"mount options=(ro,bind) /from/ -> /to/", "allow"}, // of bind the kernel looks at bind and recursion only
		{"mount options=rbind /from/ -> /to/", "deny (logged)"},
		{"mount options=make-rprivate /", "allow"},
		{"mount options=make-private /", "deny (logged)"},
		{"remount options=ro /mnt/b/", "allow"},
		{"remount options=nosuid /mnt/b/", "deny (logged)"},
		{"mount options=move /x/ -> /y/", "allow"},
		{"umount /mnt/a/", "allow"},
		{"umount /mnt/b/", "deny (logged)"},
		{"pivot_root oldroot=/old/ /new/", "allow"},
		{"pivot_root oldroot=/new/ /old/", "deny (logged)"},
		{"signal send kill peer=friend", "allow"},
		{"signal send hup peer=friend", "deny (logged)"},
		{"signal receive rtmin+3 peer=unconfined", "allow"},
		{"signal send exists peer=alpha", "allow"},
		{"signal send kill peer=one//&two", "allow"},
		{"signal send kill peer=two//&one", "allow"},
		{"signal send kill peer=alpha//&beta", "deny (logged)"},
		{"signal send kill peer=:other:alpha", "allow"}, // the kernel does not look into other namespaces
		{"ptrace read peer=friend", "allow"},
		{"ptrace tracedby peer=friend", "deny (logged)"},
		{"ptrace readby peer=watcher", "allow"},
		{"unix create type=stream", "allow"}, // without fine mediation, by type
		{"unix connect type=stream peer=(addr=@else label=foe)", "allow"},
		{"unix create type=dgram", "deny (logged)"},
		{"change_profile next", "allow"},
		{"change_profile nowhere", "deny (logged)"},
		{"change_profile &st", "allow"},
		{"change_profile st", "deny (logged)"},
		{"change_profile :ns:away", "allow"},
		{"change_profile onexec next", "allow"},
		{"change_profile /usr/bin/changer -> changed", "allow; enters changed"},
		{"change_profile /usr/bin/other -> changed", "deny (logged)"},
		{"change_profile /usr/bin/other -> next", "allow; enters next"},
		{"rlimit nofile 1024", "allow"},
		{"rlimit nofile 1025", "deny (logged)"},
	})
}

func TestModesDecideWhatADenialIs(t *testing.T) {
	for _, row := range []struct {
		mode     uint32
		audit    bool
		question string
		answer   string
	}{
		{binary.ModeComplain, false, "file /etc/passwd w", "allow (complain mode, logged)"},
		{binary.ModeComplain, false, "file /etc/quiet r", "deny (not logged)"}, // deny rules hold in complain mode, too
		{binary.ModeComplain, true, "file /etc/quiet r", "allow (complain mode, logged)"},
		{binary.ModeComplain, false, "file /etc/passwd r", "allow"},
		{binary.ModeComplain, false, "capability sys_admin", "deny (not logged)"},
		{binary.ModeComplain, false, "capability kill", "allow (complain mode, logged)"},
		{binary.ModeComplain, false, "exec /usr/bin/none", "allow (complain mode, logged); runs under the learning profile asked//null-/usr/bin/none"},
		{binary.ModeComplain, false, "signal send hup peer=friend", "allow (complain mode, logged)"},
		{binary.ModeKill, false, "file /etc/passwd w", "deny (the process is killed, logged)"},
		{binary.ModeKill, false, "file /etc/passwd r", "allow"},
		{binary.ModeUnconfined, false, "file /etc/passwd w", "allow (unmediated)"},
		{binary.ModeEnforce, true, "file /etc/passwd r", "allow (logged)"},
		{binary.ModeEnforce, true, "file /etc/quiet r", "deny (logged)"},
	} {
		profile := reference(t, "questions").Profiles[0]
		profile.Mode, profile.Audit = row.mode, row.audit
		checkAnswers(t, profile, Features{}, [][2]string{{row.question, row.answer}})
	}
}

func TestKernelsWithoutAClassDoNotMediateIt(t *testing.T) {
	features, err := ParseFeatures("file {mask {create}\n}\nsignal {mask {hup int}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	checkAnswers(t, reference(t, "docker-default").Profiles[0], features, [][2]string{
		{"mount fstype=tmpfs none -> /mnt", "allow (unmediated)"},
		{"signal send term peer=runc", "deny (logged)"},
		{"network inet stream", "allow (unmediated)"},
	})
}

func TestQuestionsAreReadBackAsTheyArePrinted(t *testing.T) {
	for _, words := range []string{
		"owner file /a rw", "exec /bin/sh", "link /a -> /b", "capability net_raw", "network (bind,listen) inet stream", "network inet6 dgram protocol=17",
		"mount fstype=tmpfs options=(ro,nosuid) data=size=1 none -> /mnt", "umount /mnt", "pivot_root oldroot=/old /new", "signal send kill peer=a//&b",
		"ptrace tracedby peer=x", "unix connect type=stream addr=@a peer=(addr=@b label=c)", "userns create", "io_uring override_creds label=x",
		"mqueue create type=sysv 12", "dbus send bus=system path=/a interface=b.c member=D peer=(name=n label=l)", "change_profile /bin/a -> b",
		"rlimit nofile 1024",
	} {
		first, err := ParseQuestion(strings.Fields(words))
		if err != nil {
			t.Errorf("%s: %v", words, err)
			continue
		}
		second, err := ParseQuestion(strings.Fields(first.String()))
		if err != nil || second.String() != first.String() {
			t.Errorf("%s is printed as %s: %v", words, first, err)
		}
	}
}

func TestBadQuestionsSayWhatWasExpected(t *testing.T) {
	for words, message := range map[string]string{
		"":                              "the question ends, expected a question",
		"fly /moon":                     `"fly", expected file`,
		"file /a":                       "the question ends, expected permissions",
		"file /a z":                     `permissions "z", expected permissions of the letters`,
		"file /a r more":                `"more" is left over`,
		"owner capability chown":        "owner goes with file, exec and link",
		"capability fly":                `unknown capability "fly", expected`,
		"network mars":                  `unknown address family "mars", expected`,
		"network inet round":            `unknown socket type "round", expected`,
		"signal send kill":              "no peer, expected peer=LABEL",
		"signal send fly peer=x":        `unknown signal "fly", expected`,
		"ptrace fly peer=x":             `"fly", expected an access: read, trace`,
		"mount options=fly a -> /b":     `unknown mount option "fly", expected`,
		"link /a /b":                    `"/b", expected ->`,
		"unix connect peer=x":           "peer=x, expected peer=(addr=",
		"rlimit nofile lots":            `value "lots", expected a number`,
		"mqueue create q":               `message queue "q", expected /NAME`,
		"change_profile onexec /a -> &": "an empty name, expected",
	} {
		if _, err := ParseQuestion(strings.Fields(words)); err == nil || !strings.HasPrefix(err.Error(), message) {
			t.Errorf("%s: %v, want %s", words, err, message)
		}
	}
}

func TestPermissionsInATableAreAnsweredAlike(t *testing.T) {
	features, err := ParseFeatures("network_v9 {af_unix {yes\n}\n}\nsignal {mask {kill\n}\n}\nfile {mask {read\n}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"words.bin", "rows.bin"} {
		checkAnswers(t, decodedFile(t, name).Profiles[0], features, [][2]string{
			{"owner file /tmp/a rw", "allow"},
			{"file /tmp/a r", "deny (logged)"},
			{"owner file /tmp/secret r", "deny (not logged)"},
			{"file /etc/logged r", "allow (logged)"},
			{"exec /bin/sh", "allow; enters helper, or is not executed where that is not loaded"},
			{"exec /bin/cat", "allow; stays under rows"},
			{"link /a -> /b", "allow"},
			{"link /a -> /c", "deny (logged)"},
			{"change_profile other", "allow"},
			{"change_profile another", "deny (logged)"},
			{"signal send kill peer=helper", "allow"},
			{"signal send kill peer=other", "deny (logged)"},
			{"capability chown", "allow"},
			{"capability kill", "deny (logged)"},
		})
	}
}
