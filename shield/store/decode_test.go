// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"strings"
	"testing"
)

func FuzzDecodePage(f *testing.F) {
	leaf := make([]byte, BlockSize)
	(&content{keys: [][]byte{[]byte("a"), []byte("b")}, values: [][]byte{nil, bytes.Repeat([]byte{1}, 900)}}).encode(0, leaf)
	inner := make([]byte, BlockSize)
	(&content{keys: [][]byte{[]byte("m")}, children: []*page{{pointer: makePointer(300, 1)}, {pointer: makePointer(301, 1)}}}).encode(1, inner)
	f.Add(leaf, uint8(0))
	f.Add(inner, uint8(1))
	f.Add(leaf[:8], uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, level uint8) {
		block := make([]byte, BlockSize)
		copy(block, b)
		c, err := decodePage(block, level)
		if err != nil {
			return
		}
		again := make([]byte, BlockSize)
		c.encode(level, again)
		if !bytes.Equal(block, again) {
			t.Error("what was read is not what is written")
		}
		if c.size() > BlockSize || c.isLeaf() != (level == 0) {
			t.Errorf("%d bytes, level %d", c.size(), level)
		}
	})
}

func FuzzDecodeImage(f *testing.F) {
	whole := make([]byte, BlockSize-rootHeader)
	image{epoch: 3, root: makePointer(400, 1), level: 2, clean: true, generation: 1, blocks: 1024, seals: 77}.encode(whole)
	f.Add(whole[:imageSize])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		plain := make([]byte, BlockSize-rootHeader)
		copy(plain, b)
		i, err := decodeImage(plain)
		if err != nil {
			return
		}
		again := make([]byte, BlockSize-rootHeader)
		i.encode(again)
		if !bytes.Equal(plain, again) {
			t.Error("what was read is not what is written")
		}
	})
}

func FuzzOpenRoot(f *testing.F) {
	keys := newKeyring(testKeys(f, PolicyEncrypted))
	sealed := image{epoch: 2, blocks: 1024}
	block, _, err := keys.sealRoot(sealed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(block)
	f.Add(make([]byte, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		changed := make([]byte, BlockSize)
		copy(changed, b)
		// Nonces are random, so that another process's seed opens here too; what it opens to is the same.
		if i, _, err := keys.openRoot(changed, 0); err == nil && i != sealed || err != nil && bytes.Equal(changed, block) {
			t.Error(i, err)
		}
		if _, _, err := keys.openRoot(changed, 1); err == nil {
			t.Error("a root block in the place of the other")
		}
	})
}

func FuzzDecodeGroup(f *testing.F) {
	var b Batch
	b.Put([]byte("key"), []byte("value"))
	b.Delete([]byte("other"))
	b.Patch([]byte("key"), 7, []byte("more"))
	new(Store).Free(&b, makePointer(400, 0), makePointer(401, 0), makePointer(500, 0))
	f.Add(encodeGroup([]run{{300, 4}}, []placed{{Location{1, 2}, makePointer(300, 1)}}, [][]byte{b.encoded}))
	f.Add([]byte("V\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := decodeGroup(b)
		if err != nil {
			return
		}
		again, err := decodeGroup(encodeGroup(g.runs, g.blocks, g.batches))
		if err != nil || len(again.runs) != len(g.runs) || len(again.blocks) != len(g.blocks) || len(again.batches) != len(g.batches) {
			t.Errorf("%+v, then %+v: %v", g, again, err)
		}
		for _, batch := range g.batches {
			_ = operations(batch, func(o operation) error {
				if len(o.key) > maximumKey || o.offset+len(o.value) > maximumValue {
					t.Errorf("%+v", o)
				}
				return nil
			})
		}
	})
}

func FuzzOpenLog(f *testing.F) {
	keys := newKeyring(testKeys(f, PolicyEncrypted))
	box, err := keys.ofLog(5)
	if err != nil {
		f.Fatal(err)
	}
	block := make([]byte, BlockSize)
	keys.sealLog(box, 5, 3, [16]byte{9}, logBlock{1, 0, 1, []byte("payload")}, block)
	f.Add(block)
	f.Fuzz(func(t *testing.T, b []byte) {
		changed := make([]byte, BlockSize)
		copy(changed, b)
		if l, err := keys.openLog(box, 5, 3, [16]byte{9}, changed); err == nil && string(l.payload) != "payload" || err != nil && bytes.Equal(changed, block) {
			t.Error(l, err)
		}
	})
}

func TestLogBlockIsOfOneEpochPlaceAndRootOnly(t *testing.T) {
	keys := newKeyring(testKeys(t, PolicyEncrypted))
	box, _ := keys.ofLog(5)
	next, _ := keys.ofLog(6)
	block := make([]byte, BlockSize)
	keys.sealLog(box, 5, 3, [16]byte{9}, logBlock{1, 0, 1, []byte("payload")}, block)
	if _, err := keys.openLog(box, 5, 3, [16]byte{9}, block); err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() error{
		"Epoch": func() error { _, err := keys.openLog(next, 6, 3, [16]byte{9}, block); return err },
		"Place": func() error { _, err := keys.openLog(box, 5, 4, [16]byte{9}, block); return err },
		"Root":  func() error { _, err := keys.openLog(box, 5, 3, [16]byte{8}, block); return err },
	} {
		if open() == nil {
			t.Errorf("%s does not matter", name)
		}
	}
}

func TestBatchRefusesWhatNoValueCanBe(t *testing.T) {
	s, err := Create(NewMemory(1<<30), Options{Keys: testKeys(t, PolicyEncrypted), CheckpointAfter: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, add := range map[string]func(b *Batch){
		"EmptyKey":       func(b *Batch) { b.Put(nil, nil) },
		"OwnKey":         func(b *Batch) { b.Delete([]byte{0, 'F'}) },
		"LongKey":        func(b *Batch) { b.Put(bytes.Repeat([]byte{1}, maximumKey+1), nil) },
		"LongValue":      func(b *Batch) { b.Put([]byte{1}, bytes.Repeat([]byte{1}, maximumValue+1)) },
		"LongPatch":      func(b *Batch) { b.Patch([]byte{1}, maximumValue, []byte{1}) },
		"NegativePatch":  func(b *Batch) { b.Patch([]byte{1}, -1, []byte{1}) },
		"FreeOfNothing":  func(b *Batch) { s.Free(b, makePointer(initialBlocks-1, 0)) },
		"FreeOfTheLog":   func(b *Batch) { s.Free(b, makePointer(logStart, 0)) },
		"FreeBeyondEnd":  func(b *Batch) { s.Free(b, makePointer(1<<40, 0)) },
		"AfterAGoodPart": func(b *Batch) { b.Put([]byte("k"), nil); s.Free(b, makePointer(1<<40, 0)) },
	} {
		var b Batch
		add(&b)
		if err := s.Apply(&b); KindOf(err) != Format {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Scan(nil, nil, func(key, _ []byte) bool { t.Errorf("key %q", key); return true }); err != nil {
		t.Error(err)
	}
}

func TestErrorsSayKindPlaceAndCause(t *testing.T) {
	err := &Error{Kind: Tampered, Place: "block 7", What: "does not authenticate"}
	if got := err.Error(); got != "tampered: block 7: does not authenticate" {
		t.Error(got)
	}
	for kind := WrongKey; kind <= ReadOnly; kind++ {
		if strings.HasPrefix(kind.String(), "kind ") {
			t.Errorf("kind %d has no name", kind)
		}
	}
}
