// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/inside"
	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/seccomp"
)

// notifyKernel has every action and flag.
var notifyKernel = with(plainKernel, func(f *kernel.Facts) {
	f.Seccomp = kernel.Seccomp{Actions: []string{"kill_process", "kill_thread", "trap", "errno", "user_notif", "trace", "log", "allow"},
		Flags: []string{"TSYNC", "LOG", "SPEC_ALLOW", "NEW_LISTENER", "WAIT_KILLABLE_RECV"}}
})

// allowing is a profile that allows all but what the fields say.
func allowing(fields string) string { return `{"defaultAction":"SCMP_ACT_ALLOW",` + fields + `}` }

func TestPlanDescribesItsFilter(t *testing.T) {
	request := standaloneRequest()
	p := mustMake(t, request, plainKernel)
	s := p.Seccomp
	if s.Source != "docker-default" || s.Default != "SCMP_ACT_ERRNO(1)" || s.Rules < 10 || len(s.Warnings) != 0 || s.Listener != nil {
		t.Errorf("got %+v", s)
	}
	if s.Filter == nil || len(s.Filter.Program) != 8*s.Instructions || s.Digest != fmt.Sprintf("sha256:%x", sha256.Sum256(s.Filter.Program)) {
		t.Errorf("%d instructions, digest %s of %+v", s.Instructions, s.Digest, s.Filter)
	}
	compiled := mustCompile(t, p, "")
	if compiled.Seccomp != s.Filter || compiled.Inside.Seccomp != s.Filter || compiled.Digests()["seccomp"] != s.Digest {
		t.Errorf("compiled to %+v", compiled)
	}
	if again := mustMake(t, request, plainKernel); again.Seccomp.Digest != s.Digest {
		t.Error("planned twice, the filters differ")
	}
	request.Process.Capabilities.Bounding = append(request.Process.Capabilities.Bounding, "CAP_SYS_ADMIN")
	if wider := mustMake(t, request, plainKernel); wider.Seccomp.Digest == s.Digest {
		t.Error("CAP_SYS_ADMIN changes nothing in the filter")
	}
}

func TestNamedProfiles(t *testing.T) {
	digests := map[string]string{}
	for name, source := range map[string]string{"": "docker-default", "builtin": "docker-default", "docker": "docker-default", "bulkhead": "bulkhead-default"} {
		request := standaloneRequest()
		request.Security.Seccomp = name
		p := mustMake(t, request, plainKernel)
		if p.Seccomp.Source != source || !NamedProfile(name) {
			t.Errorf("%q comes from %s", name, p.Seccomp.Source)
		}
		digests[name] = p.Seccomp.Digest
	}
	if digests[""] != digests["builtin"] || digests[""] != digests["docker"] || digests[""] == digests["bulkhead"] {
		t.Errorf("got %v", digests)
	}
	if NamedProfile("./docker") || !NamedProfile(Unconfined) {
		t.Error("names and paths are confused")
	}
}

func TestFlagsAreThoseOfTheKernel(t *testing.T) {
	for name, test := range map[string]struct {
		facts   kernel.Facts
		profile string
		flags   uint32
	}{
		"DefaultIsSpecAllow":      {plainKernel, allowing(`"syscalls":[]`), 1 << 2},
		"DefaultOnAnOldKernel":    {with(plainKernel, func(f *kernel.Facts) { f.Seccomp.Flags = nil }), allowing(`"syscalls":[]`), 0},
		"None":                    {plainKernel, allowing(`"flags":[]`), 0},
		"Log":                     {notifyKernel, allowing(`"flags":["SECCOMP_FILTER_FLAG_LOG"]`), 1 << 1},
		"SyncMeansNothingAtStart": {plainKernel, allowing(`"flags":["SECCOMP_FILTER_FLAG_TSYNC"]`), 0},
		"ListenerForNotify":       {notifyKernel, allowing(`"listenerPath":"/agent","flags":[],"syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]`), inside.FilterListener},
		"Killable": {notifyKernel, allowing(`"listenerPath":"/agent","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],"syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]`),
			inside.FilterListener | 1<<5},
	} {
		request := standaloneRequest()
		useProfile(test.profile)(&request)
		if p := mustMake(t, request, test.facts); p.Seccomp.Filter.Flags != test.flags {
			t.Errorf("%s: flags %#x, want %#x", name, p.Seccomp.Filter.Flags, test.flags)
		}
	}
}

func TestFilterThatThisKernelLacks(t *testing.T) {
	for name, test := range map[string]struct{ profile, want string }{
		"Notify":        {allowing(`"listenerPath":"/agent","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]`), "SCMP_ACT_NOTIFY"},
		"LogAction":     {allowing(`"syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_LOG"}]`), "SCMP_ACT_LOG"},
		"LogByDefault":  {`{"defaultAction":"SCMP_ACT_LOG"}`, "SCMP_ACT_LOG"},
		"LogFlag":       {allowing(`"flags":["SECCOMP_FILTER_FLAG_LOG"]`), "SECCOMP_FILTER_FLAG_LOG"},
		"KillableByOld": {allowing(`"listenerPath":"/agent","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],"syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]`), "SCMP_ACT_NOTIFY"},
	} {
		request := standaloneRequest()
		useProfile(test.profile)(&request)
		_, err := Make(request, plainKernel)
		var unavailable *UnavailableError
		if !errors.As(err, &unavailable) || unavailable.Layer != "seccomp" || !strings.Contains(err.Error(), test.want) || unavailable.Hint == "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestProfilesThatWouldHarmAreRefused(t *testing.T) {
	notify := `"syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]`
	for name, test := range map[string]struct {
		profile, want string
		forcible      bool
	}{
		"NoExecve":          {`{"defaultAction":"SCMP_ACT_ERRNO"}`, "answers execve with SCMP_ACT_ERRNO(1)", true},
		"NoEnd":             {`{"defaultAction":"SCMP_ACT_KILL_PROCESS","syscalls":[{"names":["execve"],"action":"SCMP_ACT_ALLOW"}]}`, "answers exit_group with SCMP_ACT_KILL_PROCESS", true},
		"ExecveTraced":      {allowing(`"syscalls":[{"names":["execve"],"action":"SCMP_ACT_TRACE"}]`), "answers execve with SCMP_ACT_TRACE", true},
		"NobodyAnswers":     {allowing(notify), "without a listenerPath", false},
		"AgentWithoutAPath": {allowing(`"listenerPath":"agent.sock",` + notify), `listenerPath "agent.sock" is not absolute`, false},
	} {
		request := standaloneRequest()
		useProfile(test.profile)(&request)
		_, err := Make(request, notifyKernel)
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Subject != "seccomp profile /etc/filter.json" || !strings.Contains(refused.Reason, test.want) || refused.Hint == "" {
			t.Errorf("%s: got %v", name, err)
		}
		request.Security.SeccompForce = true
		if p, err := Make(request, notifyKernel); (err == nil) != test.forcible || test.forcible && p.Seccomp.Filter == nil {
			t.Errorf("%s, by force: %v", name, err)
		}
	}
}

func TestListenerIsAsked(t *testing.T) {
	request := standaloneRequest()
	useProfile(allowing(`"listenerPath":"/agent","listenerMetadata":"of web","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]`))(&request)
	p := mustMake(t, request, notifyKernel)
	compiled := mustCompile(t, p, "")
	if want := (Listener{"/agent", "of web"}); p.Seccomp.Listener == nil || *p.Seccomp.Listener != want || compiled.Listener != p.Seccomp.Listener || !compiled.NeedsProbe() {
		t.Errorf("got %+v, %+v", p.Seccomp.Listener, compiled)
	}
	useProfile(allowing(`"listenerPath":"/agent","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO"}]`))(&request)
	if p = mustMake(t, request, plainKernel); p.Seccomp.Listener != nil || !strings.Contains(strings.Join(p.Seccomp.Warnings, "\n"), "listenerPath: no rule") {
		t.Errorf("nobody is asked: %+v", p.Seccomp)
	}
}

func TestWarningsHaveTheirPlace(t *testing.T) {
	request := standaloneRequest()
	useProfile("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\n\"syscalls\":[{\"names\":[\"mkdri\"],\"action\":\"SCMP_ACT_ERRNO\"}]}")(&request)
	p := mustMake(t, request, plainKernel)
	if len(p.Seccomp.Warnings) != 1 || !strings.HasPrefix(p.Seccomp.Warnings[0], "2:") || !strings.Contains(p.Seccomp.Warnings[0], "mkdri") {
		t.Errorf("got %q", p.Seccomp.Warnings)
	}
}

// The program inside is needed for a filter alone too, and is lent what it takes.
func TestFilterWithoutADomain(t *testing.T) {
	request := standaloneRequest()
	request.Security.Landlock = Unconfined
	compiled := mustCompile(t, mustMake(t, request, apparmorKernel), "")
	if !compiled.NeedsInside() || compiled.NeedsProbe() || compiled.Inside.Landlock != nil || compiled.Inside.Seccomp == nil || compiled.Lent == nil || compiled.Inside.AppArmorProfile == "" {
		t.Errorf("got %+v", compiled)
	}
	request.Security.Seccomp = Unconfined
	if compiled := mustCompile(t, mustMake(t, request, apparmorKernel), ""); compiled.NeedsInside() || compiled.Lent != nil || !slices.Equal(compiled.Capabilities.Bounding, request.Process.Capabilities.Bounding) {
		t.Errorf("without either: %+v", compiled)
	}
}

func TestCallerMayKeepFilters(t *testing.T) {
	request := standaloneRequest()
	asked := 0
	request.CompileFilter = func(policy *seccomp.Policy) (*seccomp.Filter, error) {
		if asked++; asked > 1 {
			return nil, errors.New("no more")
		}
		return seccomp.Compile(policy)
	}
	if p := mustMake(t, request, plainKernel); asked != 1 || p.Seccomp.Filter == nil {
		t.Errorf("asked %d times: %+v", asked, p.Seccomp)
	}
	if _, err := Make(request, plainKernel); err == nil || !strings.Contains(err.Error(), "seccomp profile docker-default: no more") {
		t.Errorf("got %v", err)
	}
}
