// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"os"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// compiledText compiles testdata/decide/NAME.aa.
func compiledText(t testing.TB, name string) *Compiled {
	t.Helper()
	text, err := os.ReadFile("testdata/decide/" + name + ".aa")
	if err != nil {
		t.Fatal(err)
	}
	tree, err := syntax.Parse(name+".aa", string(text), syntax.Options{})
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := Compile(t.Context(), tree, Options{Features: featuresOf61(t)})
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func TestVerdictsNameTheRules(t *testing.T) {
	for _, row := range []struct{ policy, question, because string }{
		{"docker-default", "file /etc/passwd rw", "docker-default.aa:7:3: file,"},
		{"docker-default", "file /proc/sysrq-trigger w", "docker-default.aa:14:3: deny @{PROC}/* w,\ndocker-default.aa:18:3: deny @{PROC}/sysrq-trigger rwlkx,"},
		{"docker-default", "file /proc/sys/vm/swappiness w", "docker-default.aa:16:3: deny @{PROC}/sys/[^k]** w,"},
		{"docker-default", "mount fstype=tmpfs none -> /mnt", "docker-default.aa:21:3: deny mount,"},
		{"docker-default", "umount /mnt", "docker-default.aa:8:3: umount,"},
		{"docker-default", "network inet stream", "docker-default.aa:5:3: network,"},
		{"docker-default", "capability sys_admin", "docker-default.aa:6:3: capability,"},
		{"docker-default", "signal receive kill peer=runc", "docker-default.aa:10:3: signal receive peer=runc,"},
		{"docker-default", "signal send kill peer=runc", "no rule allows it\ndocker-default.aa:10:3: matches, and does not allow it: signal receive peer=runc,"},
		{"docker-default", "pivot_root oldroot=/a /b", "no rule allows it"},
		{"questions", "owner file /home/u/x w", "questions.aa:9:3: owner @{HOME}/** rwl,"},
		{"questions", "file /home/u/x w", "no rule allows it"},
		{"questions", "file /etc/passwd w", "no rule allows it\nquestions.aa:4:3: matches, and does not allow it: /etc/** r,"},
		{"questions", "file /etc/loud r", "questions.aa:8:3: audit deny /etc/loud r,"},
		{"questions", "file /etc/quiet r", "questions.aa:7:3: deny /etc/quiet r,"},
		{"questions", "exec /usr/bin/named", "questions.aa:15:3: /usr/bin/named px -> other,"},
		{"questions", "link /srv/new/a -> /srv/old/b", "questions.aa:22:3: link subset /srv/new/* -> /srv/old/*,"},
		{"questions", "capability sys_admin", "questions.aa:26:3: deny capability sys_admin,"},
		{"questions", "mount fstype=tmpfs options=(rw,nosuid) tmpfs -> /mnt/a/", "questions.aa:30:3: mount"},
		{"questions", "rlimit nofile 4096", "the profile's limit of nofile is 1024"},
		{"questions", "change_profile next", "questions.aa:47:3: change_profile -> next,"},
	} {
		compiled := compiledText(t, row.policy)
		profile := compiled.Policy.Profiles[0]
		rules := compiled.Map.Profiles[profile.Name]
		question, err := ParseQuestion(strings.Fields(row.question))
		if err != nil {
			t.Errorf("%s: %v", row.question, err)
			continue
		}
		verdict := Decide(profile, Features{}, question, &rules)
		var reasons []string
		for _, reason := range verdict.Because {
			reasons = append(reasons, reason.String())
		}
		if got := strings.Join(reasons, "\n"); !strings.HasPrefix(got, row.because) {
			t.Errorf("%s: because\n%s\nwant\n%s", row.question, got, row.because)
		}
	}
}

func TestWithoutTheTextPatternsAreRebuilt(t *testing.T) {
	for question, because := range map[string]string{
		"file /etc/passwd rw":             "by the tables: /{**,} rw,",
		"file /proc/sys/vm/swappiness w":  "by the tables: deny /proc/sys/[^k]** w,",
		"mount fstype=tmpfs none -> /mnt": "by the tables: deny mount,",
		"umount /mnt":                     "by the tables: umount,",
		"signal receive kill peer=runc":   "by the tables: signal receive set=(kill) peer=runc,",
		"ptrace read peer=docker-default": "by the tables: ptrace read peer=docker-default,",
		"file /proc/sys/kernel/shmmax r":  "by the tables: /{**,} r,",
	} {
		parsed, err := ParseQuestion(strings.Fields(question))
		if err != nil {
			t.Fatal(err)
		}
		verdict := Decide(reference(t, "docker-default").Profiles[0], Features{}, parsed, nil)
		if len(verdict.Because) != 1 || verdict.Because[0].String() != because {
			t.Errorf("%s: %v, want %s", question, verdict.Because, because)
		}
	}
}
