// SPDX-License-Identifier: Apache-2.0

//go:build linux

package stress

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// detector keeps a book of its own about who has which pair. An entry begins when a container is first seen alive and ends when its process is
// seen to have ended, whatever Bulkhead's records say in between.
type detector struct {
	t     *testing.T
	owner map[string]tenant // by pair
	known map[string]bool   // IDs that ever had a record
	seen  map[string]bool   // records that were seen alive
	free  map[string]bool   // records that were complained of
	done  chan struct{}
	ended chan struct{}
}

type tenant struct {
	record string
	process
}

func watch(t *testing.T) *detector {
	d := &detector{t: t, owner: map[string]tenant{}, known: map[string]bool{}, seen: map[string]bool{}, free: map[string]bool{}, done: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(d.ended)
		for {
			d.look()
			select {
			case <-d.done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return d
}

func (d *detector) stop() {
	close(d.done)
	<-d.ended
}

func (d *detector) look() {
	records, err := filepath.Glob("/run/bulkhead/containers/*/record.json")
	if err != nil {
		d.t.Error(err)
		return
	}
	for _, path := range records {
		id, _, _ := strings.Cut(filepath.Base(filepath.Dir(path)), ".")
		d.known[id] = true
		if pair, found, ok := readTenant(filepath.Dir(path)); ok {
			d.enter(pair, found)
		}
	}
	for pair, tenant := range d.owner {
		if !tenant.alive() {
			delete(d.owner, pair)
			continue
		}
		// It lives: the registry must have its pair, with or without a record. It may have ended since.
		if _, err := os.Stat("/var/lib/bulkhead/mcs/" + pair); err != nil && tenant.alive() && !d.free[tenant.record] {
			d.free[tenant.record] = true
			d.t.Errorf("%s lives, and its pair %s is free", tenant.record, pair)
		}
	}
}

func (d *detector) enter(pair string, found tenant) {
	other, taken := d.owner[pair]
	if taken && other.record != found.record && other.alive() && found.alive() {
		d.t.Errorf("%s and %s have the same pair %s", other.record, found.record, pair)
	}
	d.owner[pair], d.seen[found.record] = found, true
}

// readTenant reads the pair and the living process of a record.
func readTenant(directory string) (pair string, found tenant, ok bool) {
	text, err := os.ReadFile(filepath.Join(directory, "record.json"))
	if err != nil {
		return "", tenant{}, false
	}
	var record struct{ Level string }
	if json.Unmarshal(text, &record) != nil || record.Level == "" {
		return "", tenant{}, false
	}
	number, err := os.ReadFile(filepath.Join(directory, "pid"))
	if err != nil {
		return "", tenant{}, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(number)))
	if err != nil {
		return "", tenant{}, false
	}
	running, ok := readProcess(pid)
	return strings.TrimPrefix(record.Level, "s0:"), tenant{filepath.Base(directory), running}, ok && !running.ended
}
