// SPDX-License-Identifier: Apache-2.0

//go:build linux

package isolation

import (
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// attacks are the questions about a process that the container sees by its number.
func (v victim) attacks() []string {
	return []string{"signal:" + v.pid, "ptrace:" + v.pid, "getfd:" + v.pid, "peek:" + v.pid + ":" + v.address, "mem:" + v.pid, "procfd:" + v.pid, "root:" + v.pid, "setns:" + v.pid + ":uts"}
}

// calls are the questions about its abstract sockets.
func (v victim) calls() []string {
	return []string{"abstract:" + v.socket, "datagram:" + v.socket + "-datagram"}
}

// attacker has what the kernel asks of a process for all of it, Landlock aside.
func attacker(root string, shared []specs.LinuxNamespaceType) box {
	return box{root: root, edit: func(spec *specs.Spec) {
		empower(spec, "CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH")
		shareNamespaces(spec, shared...)
	}}
}

func TestSharedNamespacesGiveNoHoldOnOthers(t *testing.T) {
	root := newRoot(t)
	victims := map[string]victim{"host": hostVictim(t), "another container": boxedVictim(t, root)}
	for name, shared := range namespaceCases {
		if shared == nil {
			continue
		}
		b := attacker(root, shared)
		for whose, victim := range victims {
			var questions []string
			if strings.Contains(name, "PIDs") || strings.Contains(name, "both") {
				questions = append(questions, victim.attacks()...)
			}
			if strings.Contains(name, "network") || strings.Contains(name, "both") {
				questions = append(questions, victim.calls()...)
			}
			for _, way := range ways {
				t.Run(name+"/"+whose+"/"+way, func(t *testing.T) {
					wantRefused(t, confined(t).ask(t, way, b, questions...), questions...)
				})
			}
			t.Run(name+"/"+whose+"/control", func(t *testing.T) {
				for question, answer := range plain(t).ask(t, "run", b, questions...) {
					if answer != "ok" && answer != "mysecret" {
						t.Errorf("%s: %s, want ok", question, answer)
					}
				}
			})
		}
	}
}

// The kernel lets CAP_PERFMON, and so CAP_SYS_ADMIN, read what /proc shows of any process's memory but the memory itself, and asks Landlock nothing
// (Linux 6.18): what remains open is said.
func TestEnvironmentOfOthersIsHiddenWithoutTheCapabilityForIt(t *testing.T) {
	root, victim, shared := newRoot(t), hostVictim(t), namespaceCases["host PIDs"]
	question := "environ:" + victim.pid
	tracer := box{root: root, edit: func(spec *specs.Spec) {
		empower(spec, "CAP_SYS_PTRACE")
		shareNamespaces(spec, shared...)
	}}
	wantAnswer(t, plain(t).ask(t, "run", tracer, question), "ok", question)
	for _, way := range ways {
		wantRefused(t, confined(t).ask(t, way, tracer, question), question)
	}
	runtime := confined(t)
	id := runtime.start(t, attacker(root, shared), "/bin/sleep", "600")
	out, _, _ := runtime.exec(t, id, box{}, "/probe", question)
	if said := strings.Contains(readRecord(t, id), "/proc/PID/environ and maps of every process"); !said && strings.Contains(out, "=ok") {
		t.Error("the environment is readable, and the plan does not say so")
	}
}

func TestOwnNamespacesHideOthers(t *testing.T) {
	root, victim := newRoot(t), hostVictim(t)
	b := attacker(root, nil)
	for _, way := range ways {
		answers := confined(t).ask(t, way, b, victim.calls()...)
		wantAnswer(t, answers, "ECONNREFUSED", victim.calls()...)
		wantAnswer(t, confined(t).ask(t, way, b, "signal:"+victim.pid), "ESRCH", "signal:"+victim.pid)
	}
}

func TestContainerMayDoAllToItself(t *testing.T) {
	root := newRoot(t)
	for name, shared := range namespaceCases {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				b := box{root: root, edit: func(spec *specs.Spec) { shareNamespaces(spec, shared...) }}
				wantAnswer(t, confined(t).ask(t, way, b, "self"), "ok", "self")
			})
		}
	}
}

func TestExecMaySignalTheFirstProcess(t *testing.T) {
	runtime, b := confined(t), box{root: newRoot(t)}
	id := newID()
	ready := newFile(t)
	command := runtime.command("run", "--bundle", b.bundle(t, "/bin/sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"), id)
	command.Stdout = ready
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { runtime.command("delete", "--force", id).Run() })
	for deadline := time.Now().Add(time.Minute); content(t, ready) == ""; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the container does not start")
		}
	}
	if out, stderr, status := runtime.exec(t, id, box{}, "/bin/kill", "1"); status != 0 {
		t.Fatalf("exec kill 1: exit status %d: %s%s", status, out, stderr)
	}
	command.Wait()
	if status := command.ProcessState.ExitCode(); status != 7 {
		t.Errorf("the first process ended with %d, want 7 of its handler", status)
	}
}

// What the plan says remains between the first process and one that exec adds: they are in sibling domains.
func TestFirstProcessDoesNotTraceAnAddedOne(t *testing.T) {
	runtime := confined(t)
	id := runtime.start(t, box{root: newRoot(t), edit: func(spec *specs.Spec) { empower(spec, "CAP_SYS_PTRACE") }}, "/bin/sleep", "600")
	questions := []string{"signal:1", "ptrace:1", "environ:1", "mem:1"}
	out, stderr, status := runtime.exec(t, id, box{}, append([]string{"/probe"}, questions...)...)
	if status != 0 {
		t.Fatal(stderr)
	}
	answers := readAnswers(t, out, questions)
	wantAnswer(t, answers, "ok", "signal:1")
	wantRefused(t, answers, questions[1:]...)
	if !strings.Contains(readRecord(t, id), "sibling Landlock domain") {
		t.Error("the plan does not say so")
	}
}
