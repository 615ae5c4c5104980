// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"math/rand/v2"
	"testing"
)

func TestExportIsTheStateWhenItBegan(t *testing.T) {
	for seed := range uint64(4) {
		backing, r := newRecorder(nil), rand.New(rand.NewPCG(seed, 5))
		o := testOptions(t, backing)
		s, err := Create(backing, o)
		if err != nil {
			t.Fatal(err)
		}
		stop(s)
		m := newModel()
		step := func() {
			err := m.step(t, s, r)
			if r.IntN(3) == 0 {
				err = errors.Join(err, s.Checkpoint()) // which would use space again
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for range 60 {
			step()
		}
		before, calls := m.clone(), 0
		copied := NewMemory(1 << 30)
		err = s.Export(copied, func(done, total uint64) {
			if calls++; calls < 40 {
				step()
			}
			if done > total {
				t.Errorf("%d of %d", done, total)
			}
		})
		if err != nil || calls < 2 {
			t.Fatal(calls, err)
		}
		if err := spaceIsExact(s, m); err != nil { // and nothing is held any longer
			t.Error(err)
		}
		if _, err := Open(copied, o); KindOf(err) != RolledBack {
			t.Errorf("a backup passes for the volume: %v", err)
		}
		o.AcceptRollback = true
		restored, err := Open(copied, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := restored.Verify(nil, emitBlocks); err != nil {
			t.Error(err)
		}
		if err := before.check(restored); err != nil {
			t.Error(err)
		}
		stop(restored)
	}
}

func TestExportOfAnImageWithALog(t *testing.T) {
	image := readVersion(t, versions[0].file)
	backing := NewMemory(1 << 30)
	backing.bytes = image
	o := Options{Keys: testKeys(t, PolicyEncrypted), ReadOnly: true}
	s, err := Open(backing, o)
	if err != nil {
		t.Fatal(err)
	}
	copied := NewMemory(1 << 30)
	if err := s.Export(copied, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Export(copied, nil); KindOf(err) != Format {
		t.Errorf("over another: %v", err)
	}
	again, err := Open(copied, o)
	if err != nil {
		t.Fatal(err)
	}
	if again.Recovery() != s.Recovery() {
		t.Errorf("%+v", again.Recovery())
	}
	if _, err := again.Verify(nil, emitBlocks); err != nil {
		t.Error(err)
	}
}

func TestMemoryIsBoundedByTheCache(t *testing.T) {
	o := Options{Keys: testKeys(t, PolicyEncrypted), CachePages: 64, CheckpointAfter: -1}
	s, err := Create(NewMemory(1<<30), o)
	if err != nil {
		t.Fatal(err)
	}
	stop(s)
	for i := range uint64(6000) {
		var b Batch
		b.Put(blockKey(Location{1, i}), make([]byte, 1000))
		if err := s.Apply(&b); err != nil {
			t.Fatal(err)
		}
		if s.pages > 4*o.CachePages+8 {
			t.Fatalf("%d pages wait for a checkpoint", s.pages)
		}
	}
	if err := errors.Join(s.Checkpoint(), s.Scan(nil, nil, func(_, _ []byte) bool { return true })); err != nil {
		t.Fatal(err)
	}
	report, err := s.Verify(nil, nil)
	if _, loading := s.load(s.root.Load()); err != nil || loading != nil || report.Pages < 1500 {
		t.Fatal(report, err, loading)
	}
	resident := 0
	var count func(p *page)
	count = func(p *page) {
		c := p.content.Load()
		if c == nil {
			return
		}
		resident++
		for _, child := range c.children {
			count(child)
		}
	}
	count(s.root.Load())
	if resident > o.CachePages || resident == 0 {
		t.Errorf("%d of %d pages are in memory", resident, report.Pages)
	}
}
