// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"bytes"
	"errors"
	"testing"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

var samples = []inode{
	{mode: ModeRegular | 0o6755, links: 1, flags: flagInline, size: 5, inline: []byte("hello"), created: Time{1, 2}},
	{mode: ModeRegular | 0o600, links: 3, size: 1 << 40, blocks: 7, uid: 1, gid: 2, modified: Time{-1, 999_999_999}},
	{mode: ModeDirectory | 0o1777, links: 4, size: 3, cookie: 9, parent: RootInode},
	{mode: ModeCharacter, links: 1, device: 0x501},
	{mode: ModeSymlink | 0o777, links: 1, size: 4095, blocks: 1},
}

func TestInodeRoundTrip(t *testing.T) {
	for _, want := range samples {
		value := append(want.appendHeader(nil), want.inline...)
		if len(value) != headerSize+len(want.inline) {
			t.Fatalf("%d bytes", len(value))
		}
		got, err := decodeInode(value)
		if err != nil || !bytes.Equal(got.appendHeader(nil), value[:headerSize]) || !bytes.Equal(got.inline, want.inline) {
			t.Errorf("%+v %v, should be %+v", got, err, want)
		}
	}
}

func TestImpossibleInodesAreRefused(t *testing.T) {
	for name, change := range map[string]func(i *inode){
		"UnknownType":           func(i *inode) { i.mode = 0o050000 },
		"NoType":                func(i *inode) { i.mode = 0o644 },
		"BitsBeyondTheMode":     func(i *inode) { i.mode |= 1 << 20 },
		"NanosecondsOfASecond":  func(i *inode) { i.changed.Nanoseconds = nanosPerSecond },
		"TooLarge":              func(i *inode) { i.flags, i.inline, i.size = 0, nil, MaximumSize+1 },
		"UnknownFlag":           func(i *inode) { i.flags |= 1 << 30 },
		"TooManyLinks":          func(i *inode) { i.links = MaximumLinks + 1 },
		"ShortContents":         func(i *inode) { i.size++ },
		"ContentsOfABlockFile":  func(i *inode) { i.flags = 0 },
		"LargeContents":         func(i *inode) { i.size, i.inline = 1025, make([]byte, 1025) },
		"DirectoryOutsideAll":   func(i *inode) { *i = samples[2]; i.parent = 0 },
		"DirectoryOfOneLink":    func(i *inode) { *i = samples[2]; i.links = 1 },
		"DirectoryOfFewCookies": func(i *inode) { *i = samples[2]; i.cookie = 2 },
		"DirectoryWithContents": func(i *inode) { *i = samples[2]; i.flags = flagInline },
		"PipeWithContents":      func(i *inode) { i.mode = ModePipe },
		"ImpossiblyManyBlocks":  func(i *inode) { i.blocks = 1 << 63 },
	} {
		i := samples[0]
		change(&i)
		if _, err := decodeInode(append(i.appendHeader(nil), i.inline...)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := decodeInode(make([]byte, headerSize-1)); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
}

// FuzzDecode has every decoder read the same bytes: what one accepts it writes back the same, and nothing panics.
func FuzzDecode(f *testing.F) {
	for _, i := range samples {
		f.Add([]byte("I12345678"), append(i.appendHeader(nil), i.inline...))
	}
	var key keyBuffer
	f.Add(key.name(1, "name"), entry{2, ModeRegular, 3}.appendName(nil))
	f.Add(key.numbers(kindCookie, 1, 3), append(appendEntry(nil, 2, ModeDirectory), "name"...))
	f.Add(key.numbers(kindBlocks, 1, 3), bytes.Repeat([]byte{1}, groupSize*pointerSize))
	f.Add(key.numbers(kindOrphan, 1), make([]byte, 16))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if i, err := decodeInode(value); err == nil {
			if again := append(i.appendHeader(nil), i.inline...); !bytes.Equal(again, value) {
				t.Errorf("inode %x became %x", value, again)
			}
			_, _ = i.attributes(1), i.held()
		}
		if e, err := decodeName(value); err == nil && !bytes.Equal(e.appendName(nil), value) {
			t.Errorf("name %x became %x", value, e.appendName(nil))
		}
		if e, err := decodeCookie(key, value); err == nil && !bytes.Equal(append(appendEntry(nil, e.Inode, e.Mode), e.Name...), value) {
			t.Errorf("cookie %x became %+v", value, e)
		}
		if pointers, err := decodePointers(nil, value); err == nil && len(pointers) > groupSize {
			t.Errorf("%d pointers", len(pointers))
		}
		if _, s, err := decodeNote(key, value); err == nil && len(value) != 16 {
			t.Errorf("note %x became %v", value, s)
		}
		count := 0
		Blocks(key, value, func(at store.Location, p store.Pointer) {
			if count++; p == (store.Pointer{}) {
				t.Error("a hole was emitted")
			}
		})
		if count > groupSize {
			t.Errorf("%d blocks", count)
		}
	})
}
