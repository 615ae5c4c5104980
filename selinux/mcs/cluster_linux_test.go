// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulkhead-project/bulkhead/selinux/mcs/etcd"
	"github.com/bulkhead-project/bulkhead/test/harness"
)

// newEtcd starts an etcd and returns what makes registries on it, one for each name: nodes with 45 pairs between them.
func newEtcd(t *testing.T) (*harness.Etcd, func(name string) Registry) {
	t.Helper()
	server := harness.StartEtcd(t, "", nil)
	server.Await(t, nil)
	root := memoryDirectory(t)
	return server, func(name string) Registry {
		gateway := &etcd.Gateway{Endpoints: []string{server.URL}}
		return Registry{Dir: filepath.Join(root, name), Low: 0, High: 9,
			Cluster: &Cluster{Node: name, Prefix: "/test/", Lease: 5 * time.Second, Call: gateway.Call}}
	}
}

// endLease does to a node what its silence would.
func endLease(t *testing.T, registry Registry) {
	t.Helper()
	key, err := registry.Cluster.get(t.Context(), registry.Cluster.nodeKey(registry.Cluster.Node))
	must(t, err)
	if key.Lease == 0 {
		t.Fatal("the node's key has no lease")
	}
	must(t, registry.Cluster.Call(t.Context(), "lease/revoke", leaseRequest{ID: key.Lease}, &struct{}{}))
}

// owners renders the cluster: "c1,c2: a b".
func owners(t *testing.T, cluster *Cluster) string {
	t.Helper()
	owned, err := cluster.Owned()
	must(t, err)
	var lines []string
	for _, pair := range owned {
		line := pair.Pair.String() + ":"
		for _, owner := range pair.Owners {
			line += " " + owner.Node
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// wantRefused checks that an error names another node.
func wantRefused(t *testing.T, err error, node string) {
	t.Helper()
	var held *HeldError
	if !errors.As(err, &held) || held.Owner.Node != node {
		t.Errorf("got %v, where node %s has the pair", err, node)
	}
}

func reserved(id string) Holder { return Holder{ID: id, Reserved: true} }

func TestNodesFindEveryPairOnceAndThenAreFull(t *testing.T) {
	_, node := newEtcd(t)
	var lock sync.Mutex
	var all []Pair
	var group sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		registry := node(name)
		for i := range 2 {
			group.Go(func() {
				for number := 0; ; number++ {
					pair, err := registry.Take(reserved(fmt.Sprint(name, i, number)))
					if err != nil {
						if !errors.Is(err, ErrFull) {
							t.Error(err)
						}
						return
					}
					lock.Lock()
					all = append(all, pair)
					lock.Unlock()
				}
			})
		}
	}
	group.Wait()
	slices.SortFunc(all, Pair.compare)
	if given := len(all); given != 45 || len(slices.Compact(all)) != 45 {
		t.Errorf("%d pairs were given, %d of them different", given, len(slices.Compact(all)))
	}
	for _, name := range []string{"a", "b", "c"} {
		entries, err := node(name).List()
		must(t, err)
		for _, entry := range entries {
			if entry.Holders[0].Pending || entry.Holders[0].Leaving {
				t.Errorf("%s has %s as %+v", name, entry.Pair, entry.Holders)
			}
		}
	}
}

func TestTheEndOfALeaseFreesNoPair(t *testing.T) {
	_, node := newEtcd(t)
	a, b := node("a"), node("b")
	pair, err := a.Take(reserved("web"))
	must(t, err)
	endLease(t, a)
	wantRefused(t, b.Reserve(pair, reserved("vm"), false), "a")
	if _, held, err := b.Who(pair); held || err != nil {
		t.Errorf("what was refused stays: %v, %v", held, err)
	}
	_, err = a.Take(reserved("db")) // registers again
	must(t, err)
	must(t, a.Release(pair, "web"))
	must(t, b.Reserve(pair, reserved("vm"), false))
}

func TestANodeThatWasReleasedAsDeadGivesNothingUntilItsContainersHaveEnded(t *testing.T) {
	_, node := newEtcd(t)
	a, b := node("a"), node("b")
	pair := Pair{1, 2}
	must(t, a.Reserve(pair, reserved("web"), false))
	if freed, err := b.Cluster.ReleaseNode("a"); !errors.Is(err, ErrNodeLives) || freed != nil {
		t.Errorf("a node that lives was released: %v, %v", freed, err)
	}
	endLease(t, a)
	if freed, err := b.Cluster.ReleaseNode("a"); err != nil || !slices.Equal(freed, []Pair{pair}) {
		t.Errorf("freed %v, %v", freed, err)
	}
	must(t, b.Reserve(pair, reserved("vm"), false))
	var conflict *ConflictError
	_, err := a.Take(reserved("db"))
	if !errors.As(err, &conflict) || conflict.Pair != pair || conflict.Holder != "web" || conflict.Owner.Node != "b" {
		t.Errorf("the node gives out pairs while its container has another's: %v", err)
	}
	if err := a.Reserve(Pair{5, 6}, reserved("db"), true); !errors.As(err, &conflict) {
		t.Errorf("and reserves: %v", err)
	}
	if err := a.Reserve(pair, reserved("web"), false); !errors.As(err, &conflict) {
		t.Errorf("and starts that container again: %v", err)
	}
	must(t, a.Release(pair, "web"))
	_, err = a.Take(reserved("db"))
	must(t, err)
	if got := owners(t, b.Cluster); !strings.Contains(got, "c1,c2: b") {
		t.Errorf("the end of a's container took the pair from b:\n%s", got)
	}
}

func TestWhatIsHeldBeforeJoiningIsClaimed(t *testing.T) {
	_, node := newEtcd(t)
	a, b := node("a"), node("b")
	alone := a
	alone.Cluster = nil
	must(t, alone.Reserve(Pair{1, 2}, reserved("web"), false))
	must(t, alone.Reserve(Pair{3, 4}, gone(t, "ended"), false))
	must(t, b.Reserve(Pair{3, 4}, reserved("vm"), false)) // in nobody's way
	must(t, a.Reserve(Pair{5, 6}, reserved("db"), false))
	wantRefused(t, b.Reserve(Pair{1, 2}, reserved("vm"), false), "a")
}

func TestAPairThatNodesShareIsFreeWhenTheLastHasReleasedIt(t *testing.T) {
	_, node := newEtcd(t)
	a, b, c := node("a"), node("b"), node("c")
	pair := Pair{1, 2}
	must(t, a.Reserve(pair, reserved("pod-1"), false))
	must(t, b.Reserve(pair, reserved("pod-2"), true))
	must(t, b.Reserve(pair, reserved("pod-3"), true))
	if got := owners(t, a.Cluster); got != "c1,c2: a b" {
		t.Errorf("got %s", got)
	}
	must(t, a.Release(pair, "pod-1"))
	must(t, b.Release(pair, "pod-2"))
	wantRefused(t, c.Reserve(pair, reserved("vm"), false), "b")
	wantRefused(t, a.Reserve(pair, reserved("vm"), false), "b")
	must(t, b.Release(pair, "pod-3"))
	must(t, c.Reserve(pair, reserved("vm"), false))
	if got := owners(t, a.Cluster); got != "c1,c2: c" {
		t.Errorf("got %s", got)
	}
}

func TestWhatAKilledProcessLeavesIsSwept(t *testing.T) {
	_, node := newEtcd(t)
	a, b := node("a"), node("b")
	dir, err := openDirectory(a.Dir, true)
	must(t, err)
	pending := gone(t, "before")
	pending.Pending = true
	plant := func(pair Pair, holders []Holder) {
		draft, err := dir.draft(holders)
		must(t, err)
		_, err = draft.publish(pair)
		must(t, err)
	}
	claim := func(pair Pair) {
		must(t, a.registered(t.Context(), dir, func(s *session) error { return s.claim(t.Context(), pair, false, "killed") }))
	}
	plant(Pair{0, 1}, []Holder{pending}) // killed before the claim
	plant(Pair{0, 2}, []Holder{pending}) // after it
	claim(Pair{0, 2})
	plant(Pair{0, 3}, []Holder{gone(t, "ended")}) // the container was
	claim(Pair{0, 3})
	plant(Pair{0, 4}, leaving) // before its key was removed
	claim(Pair{0, 4})
	plant(Pair{0, 5}, leaving) // after it
	freed, err := a.Sweep()
	must(t, err)
	if len(freed) != 5 || owners(t, b.Cluster) != "" {
		t.Errorf("swept %v, and the cluster has\n%s", freed, owners(t, b.Cluster))
	}
	checkEmpty(t, a)

	claim(Pair{0, 6}) // a claim that was carried out after everybody had given it up
	must(t, a.Reserve(Pair{0, 7}, reserved("web"), false))
	if freed, err := a.Sync(); err != nil || !slices.Equal(freed, []Pair{{0, 6}}) {
		t.Errorf("Sync freed %v, %v", freed, err)
	}
	if got := owners(t, b.Cluster); got != "c0,c7: a" {
		t.Errorf("the cluster has\n%s", got)
	}
}

func TestALostEtcdRefusesWhatIsNewAndLeavesTheRest(t *testing.T) {
	server, node := newEtcd(t)
	a := node("a")
	must(t, a.Reserve(Pair{1, 2}, reserved("web"), false))
	must(t, a.Reserve(Pair{3, 4}, reserved("db"), false))
	server.Kill()
	var lost *ClusterError
	for name, do := range map[string]func() error{
		"take":           func() error { _, err := a.Take(reserved("new")); return err },
		"reserve":        func() error { return a.Reserve(Pair{5, 6}, reserved("new"), true) },
		"start again":    func() error { return a.Reserve(Pair{1, 2}, reserved("web"), true) },
		"share on node":  func() error { return a.Reserve(Pair{1, 2}, reserved("new"), true) },
		"ask for owners": func() error { _, err := a.Cluster.Owners(Pair{1, 2}); return err },
	} {
		started := time.Now()
		if err := do(); !errors.As(err, &lost) || lost.Node != "a" || time.Since(started) > 2*allocationLimit {
			t.Errorf("%s: %v after %s", name, err, time.Since(started))
		}
	}
	must(t, a.Update(Pair{1, 2}, self(t, "web")))
	must(t, a.Release(Pair{3, 4}, "db"))
	if got := holders(t, a, Pair{1, 2}); got != "web" {
		t.Errorf("%s has c1,c2", got)
	}
	entry, _, err := a.Who(Pair{3, 4})
	if err != nil || entry.Holders[0].State(Pair{3, 4}, "") != "leaving" {
		t.Errorf("what was released: %+v, %v", entry, err)
	}
	server.Start(t)
	server.Await(t, nil)
	if freed, err := a.Sweep(); err != nil || !slices.Contains(freed, Pair{3, 4}) {
		t.Errorf("swept %v, %v", freed, err)
	}
	if got := owners(t, a.Cluster); got != "c1,c2: a" {
		t.Errorf("the cluster has\n%s", got)
	}
	_, err = a.Take(reserved("new"))
	must(t, err)
}

func TestANameIsOneHosts(t *testing.T) {
	_, node := newEtcd(t)
	first, second := node("a"), node("a")
	second.Dir += "-other"
	pair, err := first.Take(reserved("web"))
	must(t, err)
	if _, err := second.Take(reserved("vm")); err == nil || !strings.Contains(err.Error(), `another host is node "a"`) {
		t.Errorf("got %v", err)
	}
	endLease(t, first)
	_, err = second.Take(reserved("vm"))
	must(t, err)
	wantRefused(t, second.Reserve(pair, reserved("vm"), false), "a") // the name alone has none of the first one's pairs
	if _, err := first.Take(reserved("db")); err == nil || !strings.Contains(err.Error(), `another host is node "a"`) {
		t.Errorf("got %v", err)
	}
	if freed, err := first.Cluster.ReleaseNode("a"); err != nil || !slices.Equal(freed, []Pair{pair}) {
		t.Errorf("freed %v, %v, where only the first host's may be", freed, err)
	}
}

func TestNodesAreThoseThatLiveOrHavePairs(t *testing.T) {
	_, node := newEtcd(t)
	for i, name := range []string{"a", "b", "c"} {
		registry := node(name)
		pair := Pair{uint16(i), uint16(i) + 1}
		must(t, registry.Reserve(pair, reserved("web"), false))
		if name != "a" {
			must(t, registry.Release(pair, "web"))
		}
		if name != "b" {
			endLease(t, registry)
		}
	}
	nodes, err := node("a").Cluster.Nodes()
	must(t, err)
	var got []string
	for _, n := range nodes {
		got = append(got, fmt.Sprintf("%s %t %d", n.Name, n.Lives, n.Pairs))
	}
	if want := []string{"a false 1", "b true 0"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	others, err := node("b").AllOthers()
	if err != nil || len(others) != 1 || others[0].Owners[0].Node != "a" {
		t.Errorf("b sees %v, %v", others, err)
	}
	if others, err := node("a").AllOthers(); err != nil || len(others) != 0 {
		t.Errorf("a sees its own: %v, %v", others, err)
	}
}

func TestAHostTakesItsPairsToItsNewName(t *testing.T) {
	_, node := newEtcd(t)
	a, c := node("a"), node("c")
	must(t, a.Reserve(Pair{1, 2}, reserved("pod-1"), false))
	must(t, c.Reserve(Pair{1, 2}, reserved("pod-2"), true))
	must(t, a.Reserve(Pair{3, 4}, reserved("web"), false))
	b := node("b")
	b.Dir = a.Dir
	must(t, b.Reserve(Pair{5, 6}, reserved("db"), false))
	if got := owners(t, c.Cluster); got != "c1,c2: b c\nc3,c4: b\nc5,c6: b" {
		t.Errorf("got\n%s", got)
	}
	endLease(t, a)
	if freed, err := c.Cluster.ReleaseNode("a"); err != nil || freed != nil {
		t.Errorf("freed by its old name: %v, %v", freed, err)
	}
}

func TestACopyOfTheDirectoryOnAnotherMachineIsAnotherNode(t *testing.T) {
	_, node := newEtcd(t)
	original := node("a")
	pair, err := original.Take(reserved("web"))
	must(t, err)
	dir, err := openDirectory(original.Dir, false)
	must(t, err)
	member, err := dir.readMembership()
	must(t, err)
	must(t, original.Release(pair, "web"))
	member.Machine = "0123456789abcdef0123456789abcdef"
	must(t, dir.writeMembership(member))
	if _, err := original.Take(reserved("db")); err == nil || !strings.Contains(err.Error(), "another host") {
		t.Errorf("got %v", err)
	}
}

func TestTheLeaseIsRenewedByAllocations(t *testing.T) {
	_, node := newEtcd(t)
	a := node("a")
	a.Cluster.Lease = 2 * time.Second
	_, err := a.Take(reserved("0"))
	must(t, err)
	dir, err := openDirectory(a.Dir, false)
	must(t, err)
	before, err := dir.readMembership()
	must(t, err)
	for i := range 3 {
		time.Sleep(900 * time.Millisecond)
		_, err := a.Take(reserved(fmt.Sprint(i + 1)))
		must(t, err)
	}
	after, err := dir.readMembership()
	if err != nil || after.Registration != before.Registration || after.Renewed <= before.Renewed {
		t.Errorf("registered %d, renewed %d; then %d, %d", before.Registration, before.Renewed, after.Registration, after.Renewed)
	}
}

func TestWhatIsNotUnderstoodInEtcdIsNamed(t *testing.T) {
	_, node := newEtcd(t)
	a := node("a")
	put := func(key, value string) {
		must(t, a.Cluster.Call(t.Context(), "kv/put", putRequest{Key: []byte(key), Value: []byte(value)}, &struct{}{}))
	}
	put("/test/pairs/c1,c2", `{"version":2}`)
	put("/test/pairs/notes", "of somebody else")
	if err := a.Reserve(Pair{1, 2}, reserved("web"), true); err == nil || !strings.Contains(err.Error(), "/test/pairs/c1,c2: version 2") {
		t.Errorf("got %v", err)
	}
	if owned, err := a.Cluster.Owned(); owned != nil || err == nil || !strings.Contains(err.Error(), "/test/pairs/c1,c2: version 2") {
		t.Errorf("got %v, %v", owned, err)
	}
	put("/test/nodes/b", "nothing")
	if _, err := node("b").Take(reserved("web")); err == nil || !strings.Contains(err.Error(), "/test/nodes/b: byte") {
		t.Errorf("got %v", err)
	}
	must(t, os.WriteFile(filepath.Join(a.Dir, memberName), []byte(`{"version":1,"id":"short"}`), 0o600))
	if _, err := a.Take(reserved("web")); err == nil || !strings.Contains(err.Error(), memberName) {
		t.Errorf("got %v", err)
	}
}

// A pair that is just leaving is taken again while its key is being removed: whichever comes first, who was given it has the key.
func TestAPairTakenAgainWhileItLeavesKeepsItsKey(t *testing.T) {
	_, node := newEtcd(t)
	a, b := node("a"), node("b")
	pair := Pair{1, 2}
	for i := range 150 {
		must(t, a.Reserve(pair, reserved("old"), false))
		var group sync.WaitGroup
		group.Go(func() { a.Release(pair, "old") })
		group.Go(func() { a.Sweep() })
		var err error
		group.Go(func() { err = a.Reserve(pair, reserved("new"), true) })
		group.Wait()
		must(t, err)
		if got := owners(t, b.Cluster); got != "c1,c2: a" || holders(t, a, pair) != "new" {
			t.Fatalf("round %d: %q here, and the cluster has %q", i, holders(t, a, pair), got)
		}
		must(t, a.Release(pair, "new"))
	}
	if got := owners(t, b.Cluster); got != "" {
		t.Errorf("the cluster has %s", got)
	}
}

// hooked has before called ahead of each call.
func hooked(registry Registry, before func(method string, request any) error) Registry {
	cluster := *registry.Cluster
	call := cluster.Call
	cluster.Call = func(ctx context.Context, method string, request, response any) error {
		if err := before(method, request); err != nil {
			return err
		}
		return call(ctx, method, request, response)
	}
	registry.Cluster = &cluster
	return registry
}

func TestAPairThatIsHeldAgainWhileItLeavesIsNotDropped(t *testing.T) {
	_, node := newEtcd(t)
	a := node("a")
	pair := Pair{1, 2}
	for name, moment := range map[string]func(operation) bool{
		"before the key is read":    func(o operation) bool { return o.Range != nil },
		"before the key is removed": func(o operation) bool { return o.Delete != nil },
	} {
		must(t, a.Reserve(pair, reserved("old"), false))
		held := false
		slow := hooked(a, func(method string, request any) error {
			if change, ok := request.(transactionRequest); ok && len(change.Success) == 1 && moment(change.Success[0]) && !held {
				held = true
				return a.Reserve(pair, reserved("new"), false)
			}
			return nil
		})
		must(t, slow.Release(pair, "old"))
		if got := owners(t, a.Cluster); !held || got != "c1,c2: a" || holders(t, a, pair) != "new" {
			t.Errorf("%s: %q here, and the cluster has %q", name, holders(t, a, pair), got)
		}
		must(t, a.Release(pair, "new"))
	}
}

func TestAClaimWithoutAnAnswerIsNotCarriedOutLater(t *testing.T) {
	_, node := newEtcd(t)
	a := node("a")
	must(t, a.Reserve(Pair{1, 2}, reserved("first"), false))
	var late transactionRequest
	lossy := hooked(a, func(method string, request any) error {
		if method == "kv/txn" {
			late = request.(transactionRequest)
			return errors.New("no answer")
		}
		return nil
	})
	if err := lossy.Reserve(Pair{3, 4}, reserved("second"), false); err == nil {
		t.Error("a claim without an answer was taken for one")
	}
	if freed, err := a.Sweep(); err != nil || !slices.Equal(freed, []Pair{{3, 4}}) {
		t.Errorf("swept %v, %v", freed, err)
	}
	if done, _, _, err := a.Cluster.transact(t.Context(), late); done || err != nil {
		t.Errorf("the late claim was carried out: %v, %v", done, err)
	}
	if got := owners(t, a.Cluster); got != "c1,c2: a" {
		t.Errorf("the cluster has\n%s", got)
	}
}

func BenchmarkTakeAgreed(b *testing.B) {
	server := harness.StartEtcd(b, "", nil)
	server.Await(b, nil)
	gateway := &etcd.Gateway{Endpoints: []string{server.URL}}
	registry := Registry{Dir: memoryDirectory(b), Cluster: &Cluster{Node: "a", Prefix: "/bench/", Lease: time.Minute, Call: gateway.Call}}
	for b.Loop() {
		pair, err := registry.Take(reserved("web"))
		if err == nil {
			err = registry.Release(pair, "web")
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
