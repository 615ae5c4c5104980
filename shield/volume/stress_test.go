// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

func TestFullVolumeLosesNothing(t *testing.T) {
	m := must{newFixture(t, 3000), t}
	random := rand.New(rand.NewPCG(1, 1))
	sizes := map[string]int{}
	full := 0
	for i := 0; full < 20 && i < 10000; i++ {
		name := fmt.Sprint(i)
		size := 1 + random.IntN(200_000)
		a, err := m.Make(RootInode, name, ModeRegular, 0, Credentials{})
		if err == nil {
			sizes[name] = 0
			if _, err = m.Write(a.Inode, 0, pattern(size, byte(i)), 0); err == nil {
				sizes[name] = size
			}
		}
		if err != nil {
			full++
		}
	}
	if full < 20 {
		t.Fatal("the volume never got full")
	}
	m.reopen(t)
	for name, size := range sizes {
		a, err := m.Lookup(RootInode, name)
		m.ok(err)
		var seed int
		fmt.Sscan(name, &seed)
		if int(a.Size) != size || !bytes.Equal(m.contents(a.Inode), pattern(size, byte(seed))) {
			t.Errorf("%s: %d bytes, should be %d", name, a.Size, size)
		}
	}
	for name := range sizes {
		m.ok(m.Unlink(RootInode, name))
	}
	m.reopen(t)
	if a, err := m.Make(RootInode, "after", ModeRegular, 0, Credentials{}); err != nil {
		t.Error(err)
	} else {
		m.write(a.Inode, 0, make([]byte, 4<<20))
	}
}

// TestManyAtOnce has operations of all kinds meet on few names; the race detector and Check judge.
func TestManyAtOnce(t *testing.T) {
	f := newFixture(t, 1<<20)
	f.nodes, f.cache.limit = 2, 2 // inodes come and go all the time
	var workers sync.WaitGroup
	for worker := range 8 {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 1))
			for range 1500 {
				randomOperation(t, f.Volume, random)
			}
		})
	}
	done := make(chan struct{})
	go func() { workers.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Minute):
		t.Fatal("the operations wait for each other")
	}
}

// randomOperation does one thing to a tree of few names. Refusals are expected, contradictions are not.
func randomOperation(t *testing.T, v *Volume, random *rand.Rand) {
	directory := func() uint64 {
		inode := uint64(RootInode)
		for range random.IntN(3) {
			if a, err := v.Lookup(inode, string(rune('a'+random.IntN(3)))); err == nil && a.Mode&ModeType == ModeDirectory {
				inode = a.Inode
			}
		}
		return inode
	}
	name := func() string { return string(rune('a' + random.IntN(6))) }
	parent := directory()
	var err error
	switch random.IntN(11) {
	case 0:
		_, err = v.Make(parent, name(), ModeDirectory|0o755, 0, Credentials{})
	case 1:
		_, err = v.Make(parent, name(), ModeRegular|0o755, 0, Credentials{})
	case 2:
		err = v.Unlink(parent, name())
	case 3:
		err = v.RemoveDirectory(parent, name())
	case 4, 5:
		err = v.Rename(parent, name(), directory(), name(), uint32(random.IntN(3)))
	case 6:
		if a, lookup := v.Lookup(parent, name()); lookup == nil {
			_, err = v.Link(a.Inode, directory(), name())
		}
	case 7, 8:
		if a, lookup := v.Lookup(parent, name()); lookup == nil && v.Opened(a.Inode) == nil {
			_, err = v.Write(a.Inode, int64(random.IntN(3))*4096, make([]byte, 4096*random.IntN(4)+random.IntN(2)), DropSetID)
			if forgotten := v.Forgotten(a.Inode); forgotten != nil {
				t.Error(forgotten)
			}
		}
	case 9:
		if a, lookup := v.Lookup(parent, name()); lookup == nil {
			_, err = v.Read(a.Inode, 0, make([]byte, 8192))
			_ = v.SetXattr(a.Inode, "user.a", make([]byte, 2000), 0)
		}
	case 10:
		err = v.Directory(parent, 0, func(e Entry) bool { _, _ = v.Attributes(e.Inode); return true })
	}
	if errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
}
