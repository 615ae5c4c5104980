// SPDX-License-Identifier: Apache-2.0

//go:build linux

package stress

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// detector keeps a book of its own about who has which pair. An entry begins when a container is first seen alive and ends when its process is
// seen to have ended, whatever Bulkhead's records say in between.
type detector struct {
	volumes    []string
	complaints []string
	looks      int
	labelled   int // how often a volume was seen with the label of the container that has it

	owner map[string]tenant // by pair
	read  map[string]tenant // by record, without the process; what does not change
	known map[string]bool   // IDs that ever had a record
	seen  map[string]bool   // records that were seen alive
	free  map[string]bool   // records that were complained of
	done  chan struct{}
	ended chan struct{}
}

type tenant struct {
	record, pair string
	volumes      []string // labelled for it alone
	process
}

func watch(volumes []string) *detector {
	d := &detector{volumes: volumes, owner: map[string]tenant{}, read: map[string]tenant{}, known: map[string]bool{}, seen: map[string]bool{}, free: map[string]bool{},
		done: make(chan struct{}), ended: make(chan struct{})}
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

func (d *detector) complain(format string, arguments ...any) {
	d.complaints = append(d.complaints, fmt.Sprintf(format, arguments...))
}

// count returns how many complaints have the words.
func (d *detector) count(words string) (count int) {
	for _, complaint := range d.complaints {
		if strings.Contains(complaint, words) {
			count++
		}
	}
	return count
}

func (d *detector) look() {
	d.looks++
	records, err := os.ReadDir("/run/bulkhead/containers")
	if err != nil && !os.IsNotExist(err) {
		d.complain("%v", err)
		return
	}
	for _, record := range records {
		if id, _, whole := strings.Cut(record.Name(), "."); whole && id != "" {
			d.known[id] = true
			if found, ok := d.tenant(record.Name()); ok {
				d.enter(found)
			}
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
			d.complain("%s lives, and its pair %s is free", tenant.record, pair)
		}
	}
	for _, volume := range d.volumes {
		d.lookAt(volume)
	}
}

func (d *detector) enter(found tenant) {
	other, taken := d.owner[found.pair]
	if taken && other.record != found.record && other.alive() && found.alive() {
		d.complain("%s and %s have the same pair %s", other.record, found.record, found.pair)
	}
	d.owner[found.pair], d.seen[found.record] = found, true
}

// lookAt checks that a volume has the pair of the container that lives with it, and no other's.
func (d *detector) lookAt(volume string) {
	pair := pairOf(labelOf(volume))
	for _, tenant := range d.owner {
		own := slices.Contains(tenant.volumes, volume)
		if own && pair == tenant.pair {
			d.labelled++
		}
		// A second look: it may have been labelled, or have ended, between the first and the records.
		if own != (pair == tenant.pair) && tenant.alive() && pair == pairOf(labelOf(volume)) && tenant.alive() {
			d.complain("volume %s has the pair %q, and %s, which lives, has %s (its own: %v)", volume, pair, tenant.record, tenant.pair, own)
		}
	}
}

// tenant reads the pair and the living process of a record.
func (d *detector) tenant(name string) (tenant, bool) {
	directory := filepath.Join("/run/bulkhead/containers", name)
	found, ok := d.read[name]
	if !ok {
		text, err := os.ReadFile(filepath.Join(directory, "record.json"))
		if err != nil {
			return tenant{}, false
		}
		var record struct {
			Level string
			Plan  struct {
				Volumes []struct{ Source, Relabel string }
			}
		}
		if json.Unmarshal(text, &record) != nil || record.Level == "" {
			return tenant{}, false
		}
		found = tenant{record: name, pair: strings.TrimPrefix(record.Level, "s0:")}
		for _, volume := range record.Plan.Volumes {
			if volume.Relabel == "private" {
				found.volumes = append(found.volumes, volume.Source)
			}
		}
		d.read[name] = found
	}
	number, err := os.ReadFile(filepath.Join(directory, "pid"))
	if err != nil {
		return tenant{}, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(number)))
	if err != nil {
		return tenant{}, false
	}
	found.process, ok = readProcess(pid)
	return found, ok && !found.ended
}

// labelOf returns a file's label, "" for none.
func labelOf(path string) string {
	buffer := make([]byte, 256)
	size, err := unix.Lgetxattr(path, "security.selinux", buffer)
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(buffer[:size]), "\x00")
}

// pairOf returns the pair of a label of s0 and a pair.
func pairOf(label string) string {
	_, pair, _ := strings.Cut(label, ":s0:")
	return pair
}
