// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// badNetwork loses, delays and repeats nothing of its own: it makes of each call what networks make of them.
type badNetwork struct {
	call  func(ctx context.Context, method string, request, response any) error
	cut   atomic.Bool
	whole atomic.Bool // for the end
	late  sync.WaitGroup
	calls *atomic.Int64 // that were disturbed
}

var errNetwork = errors.New("the network lost it")

func (n *badNetwork) Call(ctx context.Context, method string, request, response any) error {
	if n.whole.Load() {
		return n.call(ctx, method, request, response)
	}
	chance := rand.IntN(300)
	if n.cut.Load() {
		chance %= 8
	}
	switch {
	case chance < 4: // on its way there
		n.calls.Add(1)
		return errNetwork
	case chance < 6: // on its way back
		n.calls.Add(1)
		n.call(ctx, method, request, response)
		return errNetwork
	case chance < 8: // there in the end, when nobody waits any more
		n.calls.Add(1)
		n.late.Go(func() {
			time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
			n.call(context.Background(), method, request, new(map[string]any))
		})
		return errNetwork
	}
	return n.call(ctx, method, request, response)
}

// hold is what a container of the test has, as the test itself knows it.
type hold struct {
	node, id string
	shared   bool
	since    time.Time
}

// ledger is the test's own record: a pair is in it from when it was given until its release begins.
type ledger struct {
	sync.Mutex
	holds map[Pair][]hold
	given int
	wrong []string
}

// add notes a pair that was given to somebody who asked at a time. Nobody else may have it who did not come later to share it.
func (l *ledger) add(pair Pair, h hold, asked time.Time) {
	l.Lock()
	defer l.Unlock()
	l.given++
	for _, other := range l.holds[pair] {
		if !h.shared && (!other.shared || other.since.Before(asked)) {
			l.wrong = append(l.wrong, fmt.Sprintf("%s was given to %+v, and %+v has it", pair, h, other))
		}
	}
	h.since = time.Now()
	l.holds[pair] = append(l.holds[pair], h)
}

func (l *ledger) remove(pair Pair, id string) {
	l.Lock()
	defer l.Unlock()
	for i, h := range l.holds[pair] {
		if h.id == id {
			l.holds[pair] = append(l.holds[pair][:i:i], l.holds[pair][i+1:]...)
			return
		}
	}
}

// live is one container after the other, on one node.
func (l *ledger) live(registry Registry, worker int, enough func() bool) error {
	for number := 0; !enough(); number++ {
		mine := hold{node: registry.Cluster.Node, id: fmt.Sprintf("%s-%d-%d", registry.Cluster.Node, worker, number)}
		asked := time.Now()
		var pair Pair
		var err error
		switch rand.IntN(4) {
		case 0:
			mine.shared = rand.IntN(2) == 0
			pair = randomPair(0, 9)
			err = registry.Reserve(pair, reserved(mine.id), mine.shared)
		default:
			pair, err = registry.Take(reserved(mine.id))
		}
		var lost *ClusterError
		var held *HeldError
		switch {
		case errors.As(err, &lost), errors.As(err, &held), errors.Is(err, ErrFull):
			if rand.IntN(8) == 0 {
				registry.Sweep() // its errors are those of the network
			}
			continue
		case err != nil:
			return err
		}
		l.add(pair, mine, asked)
		time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
		l.remove(pair, mine.id)
		if err := registry.Release(pair, mine.id); err != nil {
			return err
		}
	}
	return nil
}

func TestNoNetworkMakesNodesShareAPair(t *testing.T) {
	_, node := newEtcd(t)
	l := &ledger{holds: map[Pair][]hold{}}
	const wanted = 400 // pairs, and calls that are disturbed
	deadline := time.Now().Add(time.Minute)
	var registries []Registry
	var networks []*badNetwork
	var disturbed atomic.Int64
	enough := func() bool {
		l.Lock()
		defer l.Unlock()
		return len(l.wrong) > 0 || l.given >= wanted && disturbed.Load() >= wanted || time.Now().After(deadline)
	}
	var group sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		registry := node(name)
		registry.Cluster.Lease = 2 * time.Second
		network := &badNetwork{call: registry.Cluster.Call, calls: &disturbed}
		registry.Cluster.Call = network.Call
		registries, networks = append(registries, registry), append(networks, network)
		for worker := range 4 {
			group.Go(func() {
				if err := l.live(registry, worker, enough); err != nil {
					t.Error(err)
				}
			})
		}
		group.Go(func() {
			for !enough() {
				network.cut.Store(rand.IntN(3) == 0)
				time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
			}
		})
	}
	group.Wait()
	for _, wrong := range l.wrong {
		t.Error(wrong)
	}
	for i, network := range networks {
		network.whole.Store(true)
		network.late.Wait()
		if _, err := registries[i].Sync(); err != nil {
			t.Error(err)
		}
	}
	if l.given < wanted || disturbed.Load() < wanted {
		t.Errorf("%d pairs were given, %d calls disturbed: too few to tell anything", l.given, disturbed.Load())
	}
	for _, registry := range registries {
		checkEmpty(t, registry)
	}
	if left := owners(t, registries[0].Cluster); left != "" {
		t.Errorf("the cluster still has\n%s", left)
	}
}
